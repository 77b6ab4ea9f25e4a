"""The page of ``unmask diagnose``: whether a figure can be believed, and what would raise it.

What bites: gains of findings are not to be added up; each is what is gained if that alone is mended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unmask.report.charts import Bar, BarRow, Chart, bar_chart
from unmask.report.html import (
    ABSENT,
    Block,
    Code,
    Details,
    Json,
    Listing,
    Page,
    Prose,
    Section,
    Table,
    Tile,
    Tiles,
    at,
    decimals,
    objects,
    percent,
    plain,
    read_figure,
    render_page,
)
from unmask.report.task_words import FIGURES, TASKS, capital

STATES = {"found": "fails", "clear": "passes", "skipped": "was not looked at"}
FOOTER = "Figures in square brackets are intervals. This page is one file, holds no scripts and loads nothing."
_LONGEST = 400
"""Characters of an example that are shown."""


def render_diagnosis(diagnosis: Json) -> str:
    """Return the page on an unmask-diagnosis as one HTML document. Raises MissingExtra without matplotlib."""
    known = _of(diagnosis, "figure", "name")
    name, task = FIGURES.get(known, known), TASKS.get(_of(diagnosis, "model", "task"), "")
    believed, raising = (objects(at(diagnosis, part)) for part in ("believed", "raise"))
    failing, found = ([one for one in part if _of(one, "state") == "found"] for part in (believed, raising))
    value = read_figure(at(diagnosis, "figure", "value"))
    reached = ABSENT if value is None else f"{value.value:.3f}"
    return render_page(
        Page(
            title=f"{capital(name)} {reached}: why",
            kicker=f"{task} \u00b7 {_of(diagnosis, 'model', 'path')}",
            lead=_lead(failing, found, name),
            opening=[_tiles(name, diagnosis, believed, found)],
            sections=[_belief(believed), _raise(raising, found, name), _rest(raising)],
            footer=FOOTER,
        )
    )


def _of(value: Json, *path: str) -> str:
    return plain(at(value, *path))


def _lead(failing: Sequence[Json], found: Sequence[Json], name: str) -> str:
    if failing:
        return f"The figure can not be believed as it stands ({_names(failing)}). Mend that first."
    if not found:
        return f"The figure can be believed, and nothing that was looked at would raise the {name}."
    return f"The figure can be believed. What would raise the {name} most: {_of(found[0], 'check')}."


def _names(findings: Sequence[Json]) -> str:
    return ", ".join(_of(one, "check") for one in findings)


def _tiles(name: str, diagnosis: Json, believed: Sequence[Json], found: Sequence[Json]) -> Tiles:
    states = [_of(one, "state") for one in believed]
    passed, looked_at = states.count("clear"), len(states) - states.count("skipped")
    best = read_figure(found[0].get("gain")) if found else None
    value = read_figure(at(diagnosis, "figure", "value"))
    reached, hint = ABSENT, ""
    if value is not None:
        reached = f"{value.value:.3f}"
        hint = f"{value.text(3)} over {_of(diagnosis, 'figure', 'value', 'n')} examples"
    return Tiles(
        [
            Tile(capital(name), reached, hint=hint),
            Tile("Can it be believed?", f"{passed} of {looked_at}", "checks pass"),
            Tile("The largest gain", ABSENT if best is None else f"{100 * best.value:+.1f}", "points"),
        ]
    )


def _belief(findings: Sequence[Json]) -> Section:
    verdicts = _verdicts(findings, STATES)
    shown = [block for one in findings if _of(one, "state") == "found" for block in _evidence(one)]
    return Section("believed", "Can the figure be believed?", [verdicts, *shown])


def _verdicts(findings: Sequence[Json], states: Mapping[str, str]) -> Listing:
    pairs = [(f"{capital(_of(one, 'check'))} {states.get(_of(one, 'state'), ABSENT)}:", one) for one in findings]
    return Listing([(head, f"{_of(one, 'says')}.") for head, one in pairs])


def _raise(findings: Sequence[Json], found: Sequence[Json], name: str) -> Section:
    if not found:
        skipped = sum(one.get("state") == "skipped" for one in findings)
        more = f" {skipped} checks could not be made; see below what they take." if skipped else ""
        return Section("raise", f"What would raise the {name}?", [Prose(f"Nothing of what was looked at.{more}")])
    blocks: list[Block] = [
        Prose("Each gain is by mending that alone, so they are not to be added up. Brackets are 99\u202f% intervals.")
    ]
    if any(read_figure(one.get("gain")) for one in found):
        blocks.append(_chart(found, name))
    for one in found:
        blocks += [Prose(f"{capital(plain(one.get('check')))}: {plain(one.get('says'))}."), *_evidence(one)]
    return Section("raise", f"What would raise the {name}?", blocks)


def _chart(found: Sequence[Json], name: str) -> Chart:
    rows = []
    for one in found:
        gain = read_figure(one.get("gain"))
        if gain is None:
            continue
        low, high = gain.interval or (gain.value, gain.value)
        text = f"{100 * gain.value:+.1f} ({plain(one.get('basis'))})"
        bar = Bar(value=100 * gain.value, text=text, low=max(0.0, 100 * low), high=100 * high)
        rows.append(BarRow(_of(one, "check"), [bar]))
    return bar_chart(
        "gains",
        title=f"What mending it would bring, in points of {name}",
        description="; ".join(f"{row.label}: {row.bars[0].text}" for row in rows),
        x_label="points",
        rows=rows,
    )


def _evidence(finding: Json) -> list[Block]:
    """Return the examples and the next experiment of what was found."""
    blocks: list[Block] = []
    shown = objects(finding.get("examples"))
    if shown:
        rows = [(_of(one, "where"), _short(_of(one, "text")), _of(one, "why")) for one in shown]
        table = Table(f"Examples of {_of(finding, 'check')}", ("Where", "Text", "Why"), rows, words=3)
        blocks.append(Details(table.caption, [table]))
    if slices := objects(at(finding, "facts", "slices")):
        blocks.append(_slices(slices))
    if at(finding, "next", "command"):
        blocks += [Prose(f"Next: {_of(finding, 'next', 'advice')}."), Code(_of(finding, "next", "command"))]
    return blocks


def _slices(slices: Sequence[Json]) -> Table:
    rows = [
        (
            f"{_of(one, 'field')} {_of(one, 'value')}",
            decimals(one.get("examples"), 0),
            decimals(one.get("figure"), 3),
            decimals(one.get("tokens_per_word")),
            percent(one.get("cut")),
        )
        for one in slices
    ]
    return Table("Slices", ("Slice", "Examples", "Figure", "Tokens a word", "Cut"), rows)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} \u2026"


def _rest(findings: Sequence[Json]) -> Section:
    others = [one for one in findings if _of(one, "state") != "found"]
    return Section("rest", "What else was looked at", [_verdicts(others, {**STATES, "clear": "is clear"})])
