"""What a run forgot of general text while it learned its own.

What bites: the two texts have different limits, so only the way of each curve says something, never their distance.
"""

from __future__ import annotations

from collections.abc import Sequence

from unmask.report.charts import Chart, Series, line_chart
from unmask.report.html import Block, Details, Figure, Json, Prose, Section, Table, at, decimals, number, read_figure
from unmask.report.learning import lines, tokens_axis


def forgetting(metrics: Sequence[Json], evaluation: Json | None) -> Section | None:
    """Return the section on general text, None where the run looked at none."""
    found = [line for line in lines(metrics, "evaluation") if number(at(line, "general", "masked")) is not None]
    if not found:
        return None
    text = (
        "Beside its own text the run looked at general text that it did not learn from: the same held-out passages "
        "with the same hidden tokens, from before the first step to the last. A curve that rises is what is forgotten. "
        "To keep more of it, mix some of that text into the corpus, lower the learning rate, or stop earlier. How far "
        "apart the two curves are says nothing: one text is easier to guess than the other."
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
    own, general = ([number(at(line, *keys)) for line in found] for keys in (("masked",), ("general", "masked")))
    ways = [
        f"{name} from {decimals(of[0])} to {decimals(of[-1])}"
        for name, of in (("the new text", own), ("general text", general))
    ]
    return line_chart(
        "forgetting",
        title="Cross entropy at [MASK], on the text that is learned and on general text",
        description=f"In nats per token: {', '.join(ways)}.",
        x_label=f"tokens seen{unit}",
        y_label="cross entropy at [MASK] (nats per token)",
        series=[
            Series(label="new text", x=x, y=own, colour="series-1", markers=True),
            Series(label="general text", x=x, y=general, colour="series-2", markers=True),
        ],
    )


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
