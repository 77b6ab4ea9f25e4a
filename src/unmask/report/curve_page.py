"""The report of a label curve: score against the number of labelled examples, with and without pre-training.

What bites: a difference whose interval holds zero is said as one that was not told apart, whichever way it points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unmask.report.charts import Chart, Series, line_chart
from unmask.report.html import ABSENT, Json, Page, Prose, Section, Table, at, decimals, plain, read_figure, render_page
from unmask.report.run_page import FOOTER
from unmask.report.task_words import BESIDE, FIGURES, LINES, TASKS, capital, recipe


def render_curve(run: Json, settings: Json, evaluation: Json, *, is_sketch: bool = False) -> str:
    """Return the report of a label curve as one HTML document. Raises MissingExtra where matplotlib is missing.

    ``is_sketch`` says that it is too small for its figures to be quoted.
    """
    curve = at(evaluation, "curve")
    name = FIGURES.get(str(at(curve, "figure")), str(at(curve, "figure")))
    sections = [_curve_section(curve, name), _differences(curve, name), recipe(run, settings)]
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
    ahead: list[str] = []
    behind: list[str] = []
    open_: list[str] = []
    for key, value in differences.items() if isinstance(differences, Mapping) else ():
        figure = read_figure(value)
        if figure is None or figure.interval is None:
            continue
        low, high = figure.interval
        where = ahead if low > 0 else behind if high < 0 else open_
        where.append(f"{str(key).rpartition(' ')[2]} labels ({figure.text()})")
    if not ahead and not behind:
        return f"At no number of labels is pre-training told apart from the same network from scratch, by {name}."
    said = [
        f"Pre-training is {word} the same network from scratch, in {name}, at {', '.join(found)}."
        for word, found in (("ahead of", ahead), ("behind", behind))
        if found
    ]
    return " ".join([*said, *([f"It is not told apart at {', '.join(open_)}."] if open_ else [])])


def _curve_chart(curve: object, name: str) -> Chart:
    counts = _counts(curve)
    x = [float(count) for count in counts]
    series: list[Series] = []
    for group in ("arms", "floors"):
        found = at(curve, group)
        for label, by_count in found.items() if isinstance(found, Mapping) else ():
            values = [read_figure(at(by_count, count)) for count in counts]
            ends = [None if value is None else value.interval for value in values]
            series.append(
                Series(
                    label=LINES.get(str(label), str(label)),
                    x=x,
                    y=[None if value is None else value.value for value in values],
                    low=[None if pair is None else max(0.0, pair[0]) for pair in ends],
                    high=[None if pair is None else pair[1] for pair in ends],
                    colour=f"series-{len(series) + 1}",
                    markers=True,
                )
            )
    return by_labels(name, x, series)


def by_labels(name: str, counts: Sequence[float], series: Sequence[Series]) -> Chart:
    """Return the chart of a figure, called ``name``, against the number of labelled examples."""
    return line_chart(
        "labels",
        title=f"{capital(name)} on held-out examples, by the number of labelled ones",
        description="; ".join(f"{one.label}: {', '.join(decimals(value) for value in one.y)}" for one in series),
        x_label="labelled examples",
        y_label=name,
        series=series,
        counts=counts,
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
        "Means over seeds with intervals over seeds and held-out examples together (of two seeds, their range). Under "
        "one seed all arms see the same labelled examples, and the smaller draws are part of the larger ones."
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
