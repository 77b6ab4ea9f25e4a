"""The report of a fine-tuning: what was reached, beside what is reached without.

What bites: a figure on the examples that chose the weights is no test figure, and the page says which of the two it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unmask.report.charts import Bar, BarRow, Chart, Series, bar_chart, line_chart
from unmask.report.html import (
    ABSENT,
    Block,
    Details,
    Figure,
    Json,
    Page,
    Prose,
    Section,
    Table,
    Tile,
    Tiles,
    at,
    decimals,
    number,
    percent,
    plain,
    read_figure,
    render_page,
)
from unmask.report.run_page import FOOTER
from unmask.report.task_words import BESIDE, FIGURES, TASKS, capital, recipe

ON_FLOORS = (
    "A floor is what is reached without any network, a control what this network reaches without what is claimed for "
    "it. A model is worth its cost by what it is above the highest of them."
)


def render_task(run: Json, settings: Json, metrics: Sequence[Json], evaluation: Json) -> str:
    """Return the report of a fine-tuning as one HTML document. Raises MissingExtra where matplotlib is missing."""
    task = at(evaluation, "task")
    headline = str(at(task, "headline"))
    reached, name = read_figure(at(task, "figures", headline)), capital(FIGURES.get(headline, headline))
    sections = [_reached(task, headline), _trust(task), _learning(metrics), recipe(run, settings)]
    held_out = "test" if at(task, "held_out") == "test" else "development"
    chosen_by = "" if held_out == "test" else " These examples also chose the weights: a test set would score lower."
    return render_page(
        Page(
            title=f"{name} {ABSENT if reached is None else f'{reached.value:.3f}'}",
            kicker=_kicker(run, task),
            lead=f"{beside_scratch(task, headline)}{chosen_by}",
            opening=[_tiles(task, held_out)],
            sections=[section for section in sections if section is not None],
            footer=FOOTER,
        )
    )


def _kicker(run: Json, task: object) -> str:
    parts = [TASKS.get(str(at(task, "name")), str(at(task, "name"))), f"from {plain(at(run, 'parent', 'path'))}"]
    parameters = number(at(run, "model", "parameters"))
    return " \u00b7 ".join([*parts, f"{parameters / 1e6:.1f} million parameters"] if parameters else parts)


def beside_scratch(task: object, headline: str) -> str:
    """Say in a sentence what pre-training brought, by the control from scratch, where there is one."""
    control = read_figure(at(task, "controls", "scratch", "difference"))
    name = FIGURES.get(headline, headline)
    if control is None or control.interval is None:
        return f"The {name} on held-out examples, beside what is reached without the model."
    low, high = control.interval
    what = f"{control.value:+.3f} [{low:+.3f}, {high:+.3f}]"
    one_seed = "The interval is over examples; another seed may say otherwise, and a label curve asks several."
    if low > 0:
        return (
            f"Pre-training paid: {what} {name} over the same network from scratch, on the same examples and seed. "
            f"{one_seed}"
        )
    if high < 0:
        return f"Pre-training did harm here: {what} {name} beside the same network from scratch. {one_seed}"
    return f"Pre-training is not told apart from the same network from scratch: {what} {name}."


def _tiles(task: object, held_out: str) -> Tiles:
    tiles = []
    figures = at(task, "figures")
    for name, value in figures.items() if isinstance(figures, Mapping) else ():
        figure = read_figure(value)
        if figure is not None:
            low, high = figure.interval or (figure.value, figure.value)
            hint = f"95\u202f% interval [{low:.3f}, {high:.3f}], {held_out} examples"
            tiles.append(Tile(capital(FIGURES.get(str(name), str(name))), f"{figure.value:.3f}", hint=hint))
    return Tiles(tiles)


@dataclass(frozen=True, slots=True)
class Reached:
    """What was reached by one way: this model, or what stands beside it."""

    label: str
    figure: Figure
    colour: str = "muted"
    difference: Figure | None = None
    """This model minus it, paired."""


def reached(task: object, headline: str) -> list[Reached]:
    """Return what this model reached, then what a probe, each control and each floor did."""
    found: list[Reached] = []
    ours = read_figure(at(task, "figures", headline))
    if ours is not None:
        found.append(Reached("this model", ours, "series-1"))
    probed = read_figure(at(task, "probe", headline))
    if probed is not None:
        found.append(Reached(BESIDE["probe"], probed, "series-2"))
    for group in ("controls", "floors"):
        beside = at(task, group)
        for name, value in beside.items() if isinstance(beside, Mapping) else ():
            figure = read_figure(at(value, headline) if group == "floors" else at(value, "value"))
            if figure is not None:
                label = f"{BESIDE.get(str(name), str(name))} ({group[:-1]})"
                found.append(Reached(label, figure, difference=read_figure(at(value, "difference"))))
    return found


def reached_table(task: object, headline: str) -> Table:
    """Return the same as a table."""
    name = FIGURES.get(headline, headline)
    rows = [
        (one.label, one.figure.text(), ABSENT if one.difference is None else one.difference.text())
        for one in reached(task, headline)
    ]
    return Table(name, ("", name, "this model minus it"), rows)


def _reached(task: object, headline: str) -> Section:
    """Return the model beside floors and controls."""
    table, name = reached_table(task, headline), FIGURES.get(headline, headline)
    blocks: list[Block] = [Prose(ON_FLOORS)]
    if table.rows:
        blocks.append(
            bar_chart(
                "reached",
                title=f"{capital(name)} on held-out examples: more is better",
                description="; ".join(f"{label}: {value}" for label, value, _ in table.rows),
                x_label=name,
                rows=[BarRow(one.label, [_bar(one.figure, one.colour)]) for one in reached(task, headline)],
            )
        )
    blocks.append(Details("The figures behind the chart", [table]))
    return Section("reached", "What was reached, and without", blocks)


def _bar(figure: Figure, colour: str) -> Bar:
    low, high = figure.interval or (None, None)
    return Bar(value=figure.value, text=figure.text(), colour=colour, low=low, high=high)


def _trust(task: object) -> Section | None:
    """Return reliability and risk against coverage; None where the task has no probabilities."""
    trust = at(task, "trust")
    if not isinstance(trust, Mapping):
        return None
    text = calibration_words(trust)
    limits = at(trust, "coverage_at_risk")
    rows = [
        (
            f"{float(limit):.0%} wrong at most",
            percent(at(value, "coverage")),
            decimals(at(value, "confidence")),
            percent(at(value, "high")),
        )
        for limit, value in (limits.items() if isinstance(limits, Mapping) else ())
    ]
    columns = (
        "If of these answers",
        "so many can be given",
        "from this confidence on",
        "wrong among others at most (95\u202f%)",
    )
    blocks: list[Block] = [Prose(text), _reliability(trust), _coverage(trust), Table("Abstaining", columns, rows)]
    return Section("trust", "Can its probabilities be believed?", blocks)


def calibration_words(trust: Mapping[str, Any]) -> str:
    """Say whether the probabilities of a task can be believed."""
    error = {name: read_figure(at(trust, name, "ece")) for name in ("raw", "fitted")}
    temperature = decimals(at(trust, "fitted", "temperature"))
    said = ", ".join(f"{name} {figure.text()}" for name, figure in error.items() if figure is not None)
    return (
        f"A probability can be believed where it is right as often as it says. Scores are divided by a temperature of "
        f"{temperature}, fitted on the development examples and stored with the model. Calibration error, as it came "
        f"and fitted: {said}.{_beside_perfect(trust)}"
    )


def _beside_perfect(trust: Mapping[str, Any]) -> str:
    """Say what perfect probabilities would show, since a calibration error of few examples is never 0."""
    error, perfect = (read_figure(at(trust, "fitted", name)) for name in ("ece", "perfect_ece"))
    if error is None or perfect is None or perfect.high is None:
        return ""
    words = "more than that" if error.value > perfect.high else "not told apart from that"
    return f" Perfect probabilities would show {perfect.text()} on as many examples: the fitted ones show {words}."


def _reliability(trust: Mapping[str, Any]) -> Chart:
    series = [Series(label="perfect", x=[0.0, 1.0], y=[0.0, 1.0], colour="series-8")]
    for place, name in enumerate(("raw", "fitted"), start=1):
        bins = at(trust, name, "bins")
        points = [part for part in bins if isinstance(part, Mapping)] if isinstance(bins, Sequence) else []
        series.append(
            Series(
                label=name,
                x=[number(part.get("confidence")) or 0.0 for part in points],
                y=[number(part.get("accuracy")) for part in points],
                colour=f"series-{place}",
                markers=True,
            )
        )
    return line_chart(
        "reliability",
        title="How often it is right, by how sure it is",
        description="Bins of as many decisions each; on the diagonal a probability means what it says.",
        x_label="mean confidence of the bin",
        y_label="share that is right",
        series=series,
        levels=[],
    )


def _coverage(trust: Mapping[str, Any]) -> Chart:
    covered, risk = (at(trust, "risk_coverage", name) for name in ("coverage", "risk"))
    x = [number(value) or 0.0 for value in covered] if isinstance(covered, Sequence) else []
    y = [number(value) for value in risk] if isinstance(risk, Sequence) else []
    return line_chart(
        "coverage",
        title="What is wrong among the answers, by the share that is answered",
        description="The surest decisions are answered first.",
        x_label="share answered",
        y_label="share of the answers that is wrong",
        series=[Series(label="risk", x=x, y=y)],
        levels=[],
    )


def _learning(metrics: Sequence[Json]) -> Section | None:
    found = [line for line in metrics if line.get("kind") == "evaluation" and number(line.get("score")) is not None]
    if not found:
        return None
    steps = [number(line.get("step")) or 0.0 for line in found]
    scores = [number(line.get("score")) for line in found]
    chart = line_chart(
        "learning",
        title="On the development examples, over the steps",
        description=f"From {decimals(scores[0])} to {decimals(scores[-1])}; the best weights are kept.",
        x_label="steps",
        y_label="score",
        series=[Series(label="dev", x=steps, y=scores, markers=True)],
        levels=[],
    )
    return Section("learning", "How it learned", [chart])
