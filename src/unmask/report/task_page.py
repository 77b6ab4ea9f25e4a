"""The report of a fine-tuning, and that of a label curve: what was reached, beside what is reached without.

What bites: a figure on the examples that chose the weights is no test figure, and the page says which of the two it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unmask.report.charts import Bar, BarRow, Chart, Level, Series, bar_chart, line_chart
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

TASKS = {
    "classify": "Classification of texts",
    "tag": "Tagging of words",
    "answer": "Answers from a context",
    "embed": "Vectors of texts",
}
FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "entity_f1": "strict entity F1",
    "precision": "precision",
    "recall": "recall",
    "tag_accuracy": "accuracy of tags",
    "f1": "F1 of words",
    "exact_match": "exact match",
    "spearman": "Spearman's correlation",
}
BESIDE = {
    "pretrained": "pre-trained",
    "scratch": "the same network from scratch",
    "probe": "frozen states and a linear probe",
    "shuffled": "shuffled labels",
    "majority": "always the commonest",
    "tfidf": "TF-IDF and logistic regression",
    "frequent_tag": "the usual tag of each word",
    "sentence_overlap": "from the sentence most like the question",
    "no_answer": "never an answer",
}


def render_task(run: Json, settings: Json, metrics: Sequence[Json], evaluation: Json) -> str:
    """Return the report of a fine-tuning as one HTML document. Raises MissingExtra where matplotlib is missing."""
    task = at(evaluation, "task")
    headline = str(at(task, "headline"))
    reached, name = read_figure(at(task, "figures", headline)), _capital(FIGURES.get(headline, headline))
    sections = [_reached(task, headline), _trust(task), _learning(metrics), _recipe(run, settings)]
    held_out = "test" if at(task, "held_out") == "test" else "development"
    chosen_by = "" if held_out == "test" else " These examples also chose the weights: a test set would score lower."
    return render_page(
        Page(
            title=f"{name} {ABSENT if reached is None else f'{reached.value:.3f}'}",
            kicker=_kicker(run, task),
            lead=f"{_standing(task, headline)}{chosen_by}",
            opening=[_tiles(task, held_out)],
            sections=[section for section in sections if section is not None],
            footer=FOOTER,
        )
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _kicker(run: Json, task: object) -> str:
    parts = [TASKS.get(str(at(task, "name")), str(at(task, "name"))), f"from {plain(at(run, 'parent', 'path'))}"]
    parameters = number(at(run, "model", "parameters"))
    return " \u00b7 ".join([*parts, f"{parameters / 1e6:.1f} million parameters"] if parameters else parts)


def _standing(task: object, headline: str) -> str:
    """Say in a sentence what pre-training brought, by the control from scratch, where there is one."""
    control = read_figure(at(task, "controls", "scratch", "difference"))
    name = FIGURES.get(headline, headline)
    if control is None or control.interval is None:
        return f"The {name} on held-out examples, beside what is reached without the model."
    low, high = control.interval
    what = f"{control.value:+.3f} [{low:+.3f}, {high:+.3f}]"
    if low > 0:
        return f"Pre-training paid: {what} {name} over the same network from scratch, on the same examples and seed."
    if high < 0:
        return f"Pre-training did harm here: {what} {name} beside the same network from scratch."
    return f"Pre-training is not told apart from the same network from scratch: {what} {name}."


def _tiles(task: object, held_out: str) -> Tiles:
    tiles = []
    figures = at(task, "figures")
    for name, value in figures.items() if isinstance(figures, Mapping) else ():
        figure = read_figure(value)
        if figure is not None:
            low, high = figure.interval or (figure.value, figure.value)
            hint = f"95\u202f% interval [{low:.3f}, {high:.3f}], {held_out} examples"
            tiles.append(Tile(_capital(FIGURES.get(str(name), str(name))), f"{figure.value:.3f}", hint=hint))
    return Tiles(tiles)


def _reached(task: object, headline: str) -> Section:
    """Return the model beside floors and controls."""
    rows, table = [], []
    ours = read_figure(at(task, "figures", headline))
    if ours is not None:
        rows.append(BarRow("this model", [_bar(ours, "series-1")]))
        table.append(("this model", ours.text(), ABSENT))
    probed = read_figure(at(task, "probe", headline))
    if probed is not None:
        rows.append(BarRow(BESIDE["probe"], [_bar(probed, "series-2")]))
        table.append((BESIDE["probe"], probed.text(), ABSENT))
    for group in ("controls", "floors"):
        found = at(task, group)
        for name, value in found.items() if isinstance(found, Mapping) else ():
            figure = read_figure(at(value, headline) if group == "floors" else at(value, "value"))
            if figure is None:
                continue
            label = f"{BESIDE.get(str(name), str(name))} ({group[:-1]})"
            rows.append(BarRow(label, [_bar(figure, "muted")]))
            difference = read_figure(at(value, "difference"))
            table.append((label, figure.text(), ABSENT if difference is None else difference.text()))
    name = FIGURES.get(headline, headline)
    text = (
        "A floor is what is reached without any network, a control what this network reaches without what is claimed "
        "for it. A model is worth its cost by what it is above the highest of them."
    )
    blocks: list[Block] = [Prose(text)]
    if rows:
        said = "; ".join(f"{label}: {value}" for label, value, _ in table)
        title = f"{_capital(name)} on held-out examples: more is better"
        blocks.append(bar_chart("reached", title=title, description=said, x_label=name, rows=rows))
    blocks.append(Details("The figures behind the chart", [Table(name, ("", name, "this model minus it"), table)]))
    return Section("reached", "What was reached, and without", blocks)


def _bar(figure: Figure, colour: str) -> Bar:
    low, high = figure.interval or (None, None)
    return Bar(value=figure.value, text=figure.text(), colour=colour, low=low, high=high)


def _trust(task: object) -> Section | None:
    """Return reliability and risk against coverage; None where the task has no probabilities."""
    trust = at(task, "trust")
    if not isinstance(trust, Mapping):
        return None
    error = {name: read_figure(at(trust, name, "ece")) for name in ("raw", "fitted")}
    temperature = decimals(at(trust, "fitted", "temperature"))
    said = ", ".join(f"{name} {figure.text()}" for name, figure in error.items() if figure is not None)
    text = (
        f"A probability can be believed where it is right as often as it says. Scores are divided by a temperature of "
        f"{temperature}, fitted on the development examples and stored with the model. Calibration error, as it came "
        f"and fitted: {said}."
    )
    limits = at(trust, "coverage_at_risk")
    rows = [
        (f"{float(limit):.0%} wrong at most", percent(at(value, "coverage")), decimals(at(value, "confidence")))
        for limit, value in (limits.items() if isinstance(limits, Mapping) else ())
    ]
    columns = ("If of the answers", "so many can be answered", "from this confidence on")
    blocks: list[Block] = [Prose(text), _reliability(trust), _coverage(trust), Table("Abstaining", columns, rows)]
    return Section("trust", "Can its probabilities be believed?", blocks)


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


def _recipe(run: Json, settings: Json) -> Section:
    rows = [
        (f"{group}.{name}", plain(value))
        for group, values in settings.items()
        if isinstance(values, Mapping)
        for name, value in values.items()
    ]
    work = at(run, "work")
    rows += [(str(name), plain(value)) for name, value in (work.items() if isinstance(work, Mapping) else ())]
    table = Table("Settings and files", ("", "value"), rows, words=2)
    return Section("recipe", "Recipe", [Details("All settings", [table])])


def render_curve(run: Json, settings: Json, evaluation: Json, *, is_sketch: bool = False) -> str:
    """Return the report of a label curve as one HTML document. Raises MissingExtra where matplotlib is missing.

    ``is_sketch`` says that it is too small for its figures to be quoted.
    """
    curve = at(evaluation, "curve")
    name = FIGURES.get(str(at(curve, "figure")), str(at(curve, "figure")))
    sections = [_curve_section(curve, name), _differences(curve, name), _recipe(run, settings)]
    seeds, held_out = decimals(at(curve, "seeds"), 0), decimals(at(curve, "held_out"), 0)
    return render_page(
        Page(
            title="What pre-training is worth, by the number of labels",
            kicker=f"{TASKS.get(str(at(curve, 'task')), '')} \u00b7 {seeds} seeds \u00b7 {held_out} held-out examples",
            lead=f"{'A sketch: a direction, not figures to quote. ' if is_sketch else ''}{_curve_lead(curve, name)}",
            opening=[_curve_chart(curve, name)],
            sections=sections,
            footer=FOOTER,
        )
    )


def _counts(curve: object) -> list[str]:
    found = at(curve, "counts")
    return [plain(count).replace(",", "") for count in found] if isinstance(found, Sequence) else []


def _curve_lead(curve: object, name: str) -> str:
    differences = at(curve, "differences")
    won: list[str] = []
    lost: list[str] = []
    for key, value in differences.items() if isinstance(differences, Mapping) else ():
        figure = read_figure(value)
        if figure is None or figure.interval is None:
            continue
        (won if figure.interval[0] > 0 else lost).append(f"{str(key).rpartition(' ')[2]} labels ({figure.text()})")
    if not won:
        return f"At no number of labels is pre-training told apart from the same network from scratch, by {name}."
    rest = f" It is not told apart at {', '.join(lost)}." if lost else ""
    return f"Pre-training is ahead of the same network from scratch, in {name}, at {', '.join(won)}.{rest}"


def _curve_chart(curve: object, name: str) -> Chart:
    counts = _counts(curve)
    x = [float(count) for count in counts]
    series: list[Series] = []
    for group in ("arms", "floors"):
        found = at(curve, group)
        for label, by_count in found.items() if isinstance(found, Mapping) else ():
            values = [read_figure(at(by_count, count)) for count in counts]
            y = [None if value is None else value.value for value in values]
            colour = f"series-{len(series) + 1}"
            series.append(Series(label=BESIDE.get(str(label), str(label)), x=x, y=y, colour=colour, markers=True))
    return line_chart(
        "labels",
        title=f"{_capital(name)} on held-out examples, by the number of labelled ones",
        description="; ".join(f"{one.label}: {', '.join(decimals(value) for value in one.y)}" for one in series),
        x_label="labelled examples",
        y_label=name,
        series=series,
        levels=list[Level](),
    )


def _curve_section(curve: object, name: str) -> Section:
    counts = _counts(curve)
    rows = []
    for group in ("arms", "floors"):
        found = at(curve, group)
        for label, by_count in found.items() if isinstance(found, Mapping) else ():
            figures = [read_figure(at(by_count, count)) for count in counts]
            rows.append(
                (BESIDE.get(str(label), str(label)), *(ABSENT if one is None else one.text() for one in figures))
            )
    text = (
        "Means over seeds with intervals over seeds and held-out examples together. Under one seed all arms see the "
        "same labelled examples, and the smaller draws are part of the larger ones."
    )
    return Section("figures", "The figures", [Prose(text), Table(name, ("", *counts), rows)])


def _differences(curve: object, name: str) -> Section:
    found = at(curve, "differences")
    rows = []
    for key, value in found.items() if isinstance(found, Mapping) else ():
        figure = read_figure(value)
        rows.append((str(key), ABSENT if figure is None else figure.text(), decimals(at(value, "p_holm"), 3)))
    text = "Paired by seed and example; p of all sign flips over the seeds, corrected for being several (Holm)."
    table = Table(f"Difference in {name}", ("", "difference", "p"), rows)
    return Section("differences", "Is the difference real?", [Prose(text), table])
