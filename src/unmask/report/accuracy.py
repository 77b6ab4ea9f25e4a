"""How often the right token is the first guess or among the first five, in all and by how common it is.

What bites: ``n`` of a figure counts the documents that its interval resamples; ``positions`` counts what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from unmask.report.charts import Bar, BarRow, bar_chart
from unmask.report.html import (
    ABSENT,
    Block,
    Details,
    Figure,
    Json,
    Prose,
    Section,
    Table,
    at,
    decimals,
    objects,
    plain,
    read_figure,
)

NAMES = {"1": "The first guess is right", "5": "The right token is among the first five"}
COLOURS = {"1": "series-1", "5": "series-3"}
LEVELS = ("cross_entropy", "unigram")


def accuracy(evaluation: Json | None) -> Section | None:
    """Return the section on accuracy at 1 and at 5, None where it was not measured."""
    measured = at(evaluation, "mlm", "accuracy", "masked")
    found = {k: figure for k in NAMES if (figure := read_figure(at(measured, k))) is not None}
    rows = [(NAMES[k], figure.percent(), decimals(at(measured, k, "n"), 0)) for k, figure in found.items()]
    blocks: list[Block] = (
        [Table("At [MASK] positions of held-out text", ("Guess", "Share", "Documents"), rows)] if rows else []
    )
    blocks += _by_frequency(objects(at(evaluation, "mlm", "accuracy_by_frequency")))
    return Section("accuracy", "How often it is right", blocks) if blocks else None


def _by_frequency(buckets: Sequence[Json]) -> list[Block]:
    """Return a chart of accuracy by how often the hidden token occurs in the training text, and its figures."""
    rows = [BarRow(_name(bucket), bars) for bucket in buckets if (bars := _bars(bucket))]
    if not rows:
        return []
    text = (
        "Common tokens are easy and make up most of any text, so one figure for all hides how an encoder does on rare "
        "ones. A bucket with few positions has a wide interval."
    )
    ends = [f"{row.label}: {', '.join(bar.text for bar in row.bars)}" for row in rows]
    chart = bar_chart(
        "frequency", title="Accuracy by how often a token occurs", description="; ".join(ends) + ".",
        x_label="share of [MASK] positions that are right (%)", rows=rows,
    )  # fmt: skip
    return [Prose(text), chart, Details("The figures behind the chart", [_table(buckets)])]


def _bars(bucket: Json) -> list[Bar]:
    found = ((k, read_figure(at(bucket, "accuracy", k))) for k in NAMES)
    return [_bar(k, figure) for k, figure in found if figure is not None]


def _bar(k: str, figure: Figure) -> Bar:
    low, high = (None if end is None else 100 * end for end in (figure.low, figure.high))
    value = 100 * figure.value
    return Bar(value=value, text=f"at {k}: {value:.0f}\u202f%", colour=COLOURS[k], low=low, high=high)


def _name(bucket: Json) -> str:
    times = plain(bucket.get("bucket"))
    return "token never seen in the training text" if times == "0" else f"token seen {times} times in the training text"


def _table(buckets: Sequence[Json]) -> Table:
    def text(figure: Figure | None) -> str:
        return ABSENT if figure is None else figure.text()

    def share(figure: Figure | None) -> str:
        return ABSENT if figure is None else figure.percent()

    rows = [
        (
            plain(bucket.get("bucket")), decimals(bucket.get("positions"), 0),
            *(share(read_figure(at(bucket, "accuracy", k))) for k in NAMES),
            *(text(read_figure(bucket.get(level))) for level in LEVELS),
        )
        for bucket in buckets
    ]  # fmt: skip
    columns = ("Times seen in training text", "Positions", "Right at 1", "Right in 5", "Cross entropy", "Unigram line")
    return Table("At [MASK] positions, cross entropy in nats per token", columns, rows)
