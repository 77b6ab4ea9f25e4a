"""The report of several runs: their figures, their learning curves and their settings on one page.

What bites: a curve has a colour of its own, so a page shows MOST_RUNS runs at most.
"""

from __future__ import annotations

from collections.abc import Sequence

from unmask.errors import RunError
from unmask.report.charts import Chart, Level, Series, line_chart
from unmask.report.html import (
    ABSENT,
    Block,
    Details,
    Figure,
    Listing,
    Page,
    Prose,
    Section,
    Table,
    at,
    decimals,
    duration,
    moment,
    plain,
    render_page,
)
from unmask.report.side_by_side import FinishedRun, SideBySide

MOST_RUNS = 8
LONGEST_NAME = 16  # characters, at the end of a curve
FOOTER = (
    "Figures in square brackets are intervals over the choice of held-out documents, one seed a run. This page is one "
    "file, holds no scripts and loads nothing."
)


def render_comparison(runs: Sequence[FinishedRun]) -> str:
    """Return the page on ``runs`` as one HTML document.

    Raises RunError where there are too many and MissingExtra where matplotlib is not installed.
    """
    if len(runs) > MOST_RUNS:
        raise RunError(f"a report shows {MOST_RUNS} runs at most, got {len(runs)}; name fewer, or leave out --report")
    compared = SideBySide(runs)
    return render_page(
        Page(
            title=f"{len(runs)} runs compared",
            kicker=" · ".join(run.name for run in runs),
            lead=compared.verdict(),
            opening=[Prose(compared.basis, note=compared.fingerprint is None)],
            sections=[_figures(compared), _curves(compared), _differences(compared), _runs(compared), _not_for()],
            footer=FOOTER,
        )
    )


def _figures(compared: SideBySide) -> Section:
    columns = ["Run", f"Cross entropy at [MASK], {compared.unit}"]
    if compared.fingerprint is not None:
        columns += ["Better than unigram by", "First guess right"]
    rows = []
    for run in compared.runs:
        found = compared.standing(run)
        cells = [found.masked and found.masked.text(3), found.gap and found.gap.text(3)]
        cells.append(found.accuracy and found.accuracy.percent())
        rows.append((run.name, *(cell or ABSENT for cell in cells[: len(columns) - 1])))
    cost = [
        (
            run.name, decimals(run.run.get("tokens"), 0), duration(run.run.get("seconds")),
            decimals(at(run.run, "model", "parameters"), 0), decimals(run.run.get("step"), 0),
        )
        for run in compared.runs
    ]  # fmt: skip
    blocks: list[Block] = [
        Table("How good they are, on held-out text; less is better in the first column", columns, rows),
        Table("What they took", ("Run", "Tokens seen", "Training time", "Parameters", "Steps"), cost),
    ]
    return Section("figures", "Figures", blocks)


def _curves(compared: SideBySide) -> Section:
    text = (
        "Measured on the way on a part of the held-out text, at [MASK] positions. Against tokens one sees who learns "
        "most from the same text, against time who learns most for the same wait; time depends on the machine and on "
        "what else it was doing."
    )
    tokens = _curve(compared, "tokens", "tokens seen", (("millions", 1e6), ("thousands", 1e3)))
    seconds = _curve(compared, "seconds", "training time", (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0)))
    return Section("curves", "Learning curves", [Prose(text), tokens, seconds])


def _curve(compared: SideBySide, over: str, label: str, units: Sequence[tuple[str, float]]) -> Chart:
    curves = [compared.curve(run, over) for run in compared.runs]
    longest = max((max(x, default=0.0) for x, _ in curves), default=0.0)
    unit, size = next(((name, size) for name, size in units if longest >= 2 * size), units[-1])
    series = [
        Series(
            label=_short(run.name), x=[value / size for value in x], y=y, colour=f"series-{place}", markers=len(x) < 30
        )
        for place, (run, (x, y)) in enumerate(zip(compared.runs, curves, strict=True), start=1)
    ]
    unigram = _unigram(compared)
    ends = [f"{line.label} ends at {decimals(line.last())}" for line in series]
    return line_chart(
        f"curve-{over}",
        title=f"Cross entropy at [MASK] positions of held-out text, against {label}",
        description=f"In {compared.unit}: {', '.join(ends)}.",
        x_label=f"{label} ({unit})",
        y_label=f"cross entropy ({compared.unit})",
        series=series,
        levels=[Level("unigram", unigram.value)] if unigram else [],
    )


def _unigram(compared: SideBySide) -> Figure | None:
    """Return the unigram line where all runs share it."""
    return None if compared.fingerprint is None else compared.runs[0].nats("unigram", "masked")


def _differences(compared: SideBySide) -> Section:
    rows = [(name, *map(plain, values)) for name, values in compared.differences().items()]
    columns = ("Setting", *(run.name for run in compared.runs))
    table = Table("As each run has them", columns, rows, words=len(columns))
    return Section("settings", "Settings that differ", [table if rows else Prose("None: these runs share them all.")])


def _runs(compared: SideBySide) -> Section:
    blocks: list[Block] = []
    for run in compared.runs:
        rows = (
            ("Preset", plain(at(run.run, "model", "preset"))),
            ("Begun", moment(run.run.get("created"))),
            ("Attempts", plain(run.run.get("attempt"))),
            ("Corpus", plain(at(run.run, "corpus", "fingerprint"))),
            ("Frozen set", run.fingerprint),
            ("Processor", plain(run.environment.get("processor"))),
        )
        blocks.append(Details(run.name, [Table(run.name, ("Key", "Value"), rows, words=2)]))
    return Section("runs", "The runs", blocks)


def _not_for() -> Section:
    items = [
        (
            "Choosing between near neighbours.",
            "Where intervals overlap, train each recipe from several seeds before you prefer one.",
        ),
        (
            "What the model is for.",
            "A lower cross entropy is no promise for a task: fine-tune and measure on the task itself.",
        ),
    ]
    return Section("not-for", "What this page is not for", [Listing(items)])


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
