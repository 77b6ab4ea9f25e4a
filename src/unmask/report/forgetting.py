"""What a run forgot of general text while it learned its own.

What bites: one text is easier to guess than the other, so each curve is drawn from where it started.
"""

from __future__ import annotations

from collections.abc import Sequence

from unmask.report.charts import Chart, Level, Series, line_chart
from unmask.report.html import Block, Details, Figure, Json, Prose, Section, Table, at, decimals, number, read_figure
from unmask.report.learning import lines, tokens_axis


def forgetting(metrics: Sequence[Json], evaluation: Json | None) -> Section | None:
    """Return the section on general text, None where the run looked at none."""
    found = [line for line in lines(metrics, "evaluation") if number(at(line, "general", "masked")) is not None]
    if not found:
        return None
    text = (
        "Beside its own text the run looked at general text that it did not learn from: the same held-out passages "
        "with the same hidden tokens, from before the first step to the last. Both curves start where the run started: "
        "down is learned, up is forgotten. On the way only part of the held-out documents is looked at, so the end of "
        "a curve and the final figure differ a little. To keep more, mix some of that text into the corpus, lower the "
        "learning rate, or stop earlier."
    )
    blocks: list[Block] = [Prose(text), _curves(found), Details("The figures behind the chart", [_figures(found)])]
    if (said := forgotten_in_words(evaluation)) is not None:
        blocks.insert(0, Prose(said, note=True))
    return Section("forgetting", "What it forgot", blocks)


def forgotten_in_words(evaluation: Json | None) -> str | None:
    """Say what was forgotten of general text; None where that was not measured."""
    general = at(evaluation, "general")
    before, after, more = (read_figure(at(general, name)) for name in ("before", "after", "forgotten"))
    if before is None or after is None or more is None or more.interval is None:
        return None
    return _in_words(before, after, more.value, *more.interval)


def _in_words(before: Figure, after: Figure, more: float, low: float, high: float) -> str:
    """Say what became of general text, and whether that is more than chance."""
    size = f"{more:+.2f} nats [{low:+.2f}, {high:+.2f}]"
    way = f"cross entropy at [MASK] went from {before.value:.2f} to {after.value:.2f}"
    if low > 0:
        return f"What was forgotten: {size} on general text, whose {way}."
    if high < 0:
        return f"Nothing was forgotten: {size} on general text, whose {way}. The run learned something for it as well."
    return f"Not shown to have forgotten anything: {size} on general text, whose {way}."


def _curves(found: Sequence[Json]) -> Chart:
    x, unit = tokens_axis(found)
    own, general = (_since_the_start(found, *keys) for keys in (("masked",), ("general", "masked")))
    return line_chart(
        "forgetting",
        title="What was learned of the new text and forgotten of general text",
        description=f"Change of cross entropy at [MASK] since the first step, in nats per token: the new text "
        f"{decimals(own[-1])}, general text {decimals(general[-1])}.",
        x_label=f"tokens seen{unit}",
        y_label="change of cross entropy (nats per token)",
        series=[
            Series(label="new text", x=x, y=own, colour="series-1", markers=True),
            Series(label="general text", x=x, y=general, colour="series-2", markers=True),
        ],
        levels=[Level("as before", 0.0)],
    )


def _since_the_start(found: Sequence[Json], *keys: str) -> list[float | None]:
    """Return how far the figure under ``keys`` is from where it was in the first line."""
    values = [number(at(line, *keys)) for line in found]
    first = next((value for value in values if value is not None), 0.0)
    return [None if value is None else value - first for value in values]


def _figures(found: Sequence[Json]) -> Table:
    rows = [
        (
            decimals(line.get("step"), 0),
            decimals(line.get("masked")),
            decimals(at(line, "general", "masked")),
            decimals(at(line, "general", "unigram", "masked")),
        )
        for line in found
    ]
    columns = ("Step", "New text", "General text", "Unigram line of general text")
    return Table("Cross entropy at [MASK], nats per token", columns, rows)
