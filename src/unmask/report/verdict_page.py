"""The page of a comparison, for a person who has to decide: what to do, why, and what every arm costs.

What bites: the title is the verdict, and it says no more than the rule found; figures at fewer labels are shown and
nothing is claimed of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unmask.report.charts import Chart, Series
from unmask.report.curve_page import by_labels
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
    duration,
    number,
    plain,
    read_figure,
    render_page,
    short_count,
)
from unmask.report.run_page import FOOTER
from unmask.report.task_words import FIGURES, TASKS, capital, recipe

SAID = {"use": "yes", "label": "labels first", "simple": "not needed", "nothing": "no", "undecided": "open"}
"""What the decision comes down to, in a word."""


def render_verdict(run: Json, settings: Json, evaluation: Json) -> str:
    """Return the page of a comparison as one HTML document. Raises MissingExtra where matplotlib is missing."""
    found = at(evaluation, "comparison")
    name = FIGURES.get(str(at(found, "figure")), str(at(found, "figure")))
    verdict = at(found, "verdict")
    seeds, held_out = decimals(at(found, "seeds"), 0), decimals(at(found, "held_out"), 0)
    return render_page(
        Page(
            title=str(at(verdict, "title")),
            kicker=f"{TASKS.get(str(at(found, 'task')), '')} · {seeds} seeds · {held_out} held-out examples",
            lead=" ".join(map(str, at(verdict, "sentences") or ())),
            opening=[_tiles(found, name)],
            sections=[
                _quality(found, name),
                _difference(found, name),
                _training(found),
                _serving(found),
                _can_not(found),
                _rule(found),
                recipe(run, settings),
            ],
            footer=FOOTER,
        )
    )


def _arms(found: object) -> dict[str, Json]:
    """Return the arms by name, in the order of their cost."""
    arms = at(found, "arms")
    return {str(name): arm for name, arm in arms.items()} if isinstance(arms, Mapping) else {}


def _counts(found: object) -> list[str]:
    counts = at(found, "counts")
    return [str(count) for count in counts] if isinstance(counts, Sequence) else []


def _last(found: object, arm: str) -> Figure | None:
    """Return the figure of an arm at the most labels."""
    counts = _counts(found)
    return read_figure(at(found, "quality", arm, counts[-1])) if counts else None


def _tiles(found: object, name: str) -> Block:
    arms, counts = _arms(found), _counts(found)
    best = max(arms, key=lambda arm: figure.value if (figure := _last(found, arm)) else -1.0, default="")
    weighed = str(at(found, "verdict", "arm"))
    floor = next(iter(arms), "")
    labels = decimals(number(float(counts[-1])) if counts else None, 0)
    tiles = [
        Tile(
            "Is pre-training worth it?", SAID.get(str(at(found, "verdict", "kind")), ABSENT), hint=f"at {labels} labels"
        ),
        *(
            Tile(
                capital(str(at(arms[arm], "title"))),
                _percent(_last(found, arm)),
                hint=f"{name} {_between(_last(found, arm))}",
            )
            for arm in dict.fromkeys((floor, "scratch", weighed, best))
            if arm in arms
        ),
    ]
    return Tiles(tiles)


def _percent(figure: Figure | None) -> str:
    return ABSENT if figure is None else f"{figure.value:.3f}"


def _between(figure: Figure | None) -> str:
    if figure is None or figure.interval is None:
        return ""
    low, high = figure.interval
    return f"{low:.3f} to {high:.3f}"


def _quality(found: object, name: str) -> Section:
    counts = _counts(found)
    rows = [
        (
            capital(str(at(arm, "title"))),
            *(
                ABSENT if (one := read_figure(at(found, "quality", key, count))) is None else one.text(3)
                for count in counts
            ),
        )
        for key, arm in _arms(found).items()
    ]
    text = (
        "Means over seeds; intervals of 95 % are over seeds and held-out examples together. Under one seed all arms "
        "see the same labelled examples, and the smaller draws are part of the larger ones."
    )
    blocks: list[Block] = [Prose(text)]
    if len(counts) > 1:
        blocks.append(_chart(found, name))
    return Section("quality", "How good each arm is", [*blocks, Table(capital(name), ("", *_grouped(counts)), rows)])


def _grouped(counts: Sequence[str]) -> list[str]:
    return [f"{int(count):,} labels" for count in counts]


def _chart(found: object, name: str) -> Chart:
    counts = _counts(found)
    x = [float(count) for count in counts]
    series = []
    for place, (key, arm) in enumerate(_arms(found).items(), start=1):
        figures = [read_figure(at(found, "quality", key, count)) for count in counts]
        series.append(
            Series(
                label=str(at(arm, "short")),
                x=x,
                y=[None if one is None else one.value for one in figures],
                colour=f"series-{min(place, 8)}",
                markers=True,
            )
        )
    return by_labels(name, x, series)


def _difference(found: object, name: str) -> Section:
    counts, differences = _counts(found), at(found, "differences")
    rows = [
        (capital(str(at(arm, "title"))), *(_points(at(differences, key, count)) for count in counts))
        for key, arm in _arms(found).items()
        if at(differences, key) is not None
    ]
    margin = decimals(100 * (number(at(found, "margin")) or 0), 1)
    text = (
        f"MLM pre-training minus the arm, in points, paired by seed and example. The margin is {margin} points: the "
        "least difference that would change what one does. The verdict looks at the most labels alone."
    )
    table = Table(f"Points of {name} by which MLM pre-training is above", ("", *_grouped(counts)), rows)
    return Section("difference", "What pre-training is worth", [Prose(text), table])


def _points(value: object) -> str:
    figure = read_figure(value)
    if figure is None:
        return ABSENT
    ends = (None if end is None else 100 * end for end in (figure.low, figure.high))
    return Figure(100 * figure.value, *ends).text(1)


def _training(found: object) -> Section:
    rows = []
    for arm in _arms(found).values():
        before, after = at(arm, "pretraining"), at(arm, "finetuning")
        energy = sum(number(at(part, "energy_wh")) or 0.0 for part in (before, after))
        rows.append(
            (
                capital(str(at(arm, "title"))),
                duration(at(before, "seconds")) if before else "not ours" if at(arm, "is_named") else "none",
                _short(at(before, "flops")),
                _short(at(before, "tokens")),
                duration(at(after, "seconds")),
                "unknown" if at(arm, "is_named") else f"{energy:.2g}",
            )
        )
    text = (
        "All that was pre-trained here has cost the same number of operations. Fine-tuning is one run at the most "
        f"labels. Energy is an estimate: time times power, and the power is assumed to be {plain(at(found, 'power'))}."
    )
    columns = ("", "Pre-training", "Operations", "Tokens", "Fine-tuning", "Wh")
    return Section(
        "training", "What it costs to train", [Prose(text), Table("Training, on this machine", columns, rows)]
    )


def _short(value: object) -> str:
    found = number(value)
    if found is None:
        return ABSENT
    if found >= 1e12:
        return f"{found:.2g}".replace("e+", "e")
    return " ".join(short_count(found)).strip()


def _serving(found: object) -> Section:
    rows = []
    for arm in _arms(found).values():
        served = at(arm, "serving")
        rows.append(
            (
                capital(str(at(arm, "title"))),
                _short(at(served, "parameters")),
                decimals(at(served, "milliseconds"), 1),
                decimals(at(served, "tokens_per_second"), 0),
            )
        )
    text = (
        "Measured here, from text to answer: one text alone, the median of thirty; and tokens a second of many at "
        "once. Arms of our own have one network and are timed once. What has no figure is a look-up."
    )
    columns = ("", "Weights", "Milliseconds a text", "Tokens a second")
    return Section("serving", "What it costs to serve", [Prose(text), Table("Serving, on this machine", columns, rows)])


def _can_not(found: object) -> Section:
    rows = [(capital(str(at(arm, "title"))), str(at(arm, "can_not"))) for arm in _arms(found).values()]
    return Section("limits", "What each can not do", [Table("Limits", ("", "What it does not do"), rows, words=2)])


def _rule(found: object) -> Section:
    evidence = at(found, "evidence")
    gaps = at(evidence, "gaps", str(at(found, "verdict", "arm")))
    rows = [
        (
            capital(str(at(_arms(found).get(str(name), {}), "title"))),
            _points(gap),
            decimals(at(gap, "p"), 4),
            _points({"value": at(gap, "spread")}),
        )
        for name, gap in (gaps.items() if isinstance(gaps, Mapping) else ())
    ]
    text = (
        "Ahead is said of a difference of at least the margin whose p-value, corrected for all differences of one "
        "question (Holm), is under 0.05; not worth more is said where even the upper end of the interval is under the "
        "margin; all else is open. The cheapest arm that pre-training is not worth more than is enough. Where "
        "pre-training is ahead of all of them, and twice the labels would do as much, labels are the better buy."
    )
    table = Table("What the rule looked at", ("Above", "Points", "p, of this alone", "Spread over seeds"), rows)
    return Section("rule", "The rule behind the verdict", [Prose(text), Details("Its numbers", [table])])
