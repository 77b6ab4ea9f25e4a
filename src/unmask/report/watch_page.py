"""The report of a watched model: what was judged, what changed, and what is promised of alarms.

What bites: a p-value of the newest window is already that of a signal among all of them; it is not to be corrected
again, and it is no chance that nothing changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from unmask.report.charts import Chart, Level, Series, line_chart
from unmask.report.html import (
    ABSENT,
    Block,
    Details,
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
    objects,
    percent,
    read_figure,
    render_page,
)
from unmask.report.watch_trials import accuracy, tried

FOOTER = (
    "What changed is a lower bound: at least this share of the requests is of another kind. Figures in square brackets "
    "are 95 % intervals. This page is one file, holds no scripts, loads nothing, and has no text of any request in it."
)
TITLED = 3
"""Signals of an alarm that the title names."""
SHARES = ("abstained", "truncated")
"""Numbers that are 0 or 1, of which the mean is a share."""
WORDS = {"alarm": "alarm", "more": "also changed", "over": "over"}


def render_watch(baseline: Json, checks: Json | None, labels: Sequence[Json], selftest: Json | None) -> str:
    """Return the report of the model that ``baseline`` is of as one HTML document. Raises MissingExtra.

    ``checks`` is what unmask-checks holds, ``labels`` the labelled windows, ``selftest`` what it found; None where
    there is none yet.
    """
    latest = at(checks, "latest")
    sections = [
        *([_windows(baseline, objects(at(checks, "judged")))] if objects(at(checks, "judged")) else []),
        *([_newest(latest)] if latest else []),
        *([_events(objects(at(checks, "events")))] if objects(at(checks, "events")) else []),
        *([accuracy(latest, labels)] if labels else []),
        *([tried(selftest)] if selftest else []),
        _promise(baseline),
    ]
    return render_page(
        Page(
            title=_title(checks),
            kicker=f"Traffic of {baseline['model']}",
            lead=_lead(baseline, checks),
            opening=[_tiles(baseline, checks)],
            sections=sections,
            footer=FOOTER,
        )
    )


def day(seconds: object) -> str:
    """Return unix seconds as ``24 November 2026, 05:00``, ABSENT where there are none."""
    found = number(seconds)
    if found is None:
        return ABSENT
    said = datetime.fromtimestamp(found, UTC)
    return f"{said.day} {said:%B %Y, %H:%M}"


def _title(checks: Json | None) -> str:
    if not objects(at(checks, "judged")):
        return "Nothing judged yet"
    alarm = at(checks, "alarm")
    if not alarm:
        return "Nothing has changed"
    first, more = [_name(one) for one in alarm["signals"][:TITLED]], len(alarm["signals"]) - TITLED
    return f"Changed: {', '.join(first)}{f' and {more} more' if more > 0 else ''}"


def _lead(baseline: Json, checks: Json | None) -> str:
    alarm, judged = at(checks, "alarm"), objects(at(checks, "judged"))
    against = f"{decimals(baseline['requests'], 0)} requests up to {day(baseline['until'])} UTC"
    if not judged:
        return f"A baseline of {against} stands; no window of traffic has been held against it."
    if alarm:
        return f"There is an alarm since the window of {day(alarm['since'])} UTC, held against {against}."
    return f"The newest of {len(judged)} windows began {day(judged[-1]['start'])} UTC and is held against {against}."


def _tiles(baseline: Json, checks: Json | None) -> Block:
    latest = at(checks, "latest")
    most = max(objects(at(latest, "signals")), key=lambda one: one["effect"] * (one["p"] <= 0.1), default=None)
    accuracy = read_figure(at(latest, "quality", "estimates", "average_confidence"))
    tiles = [
        Tile("Windows judged", decimals(len(objects(at(checks, "judged"))), 0), f"of {baseline['settings']['every']}"),
        Tile("Requests in the newest", decimals(at(latest, "rows"), 0)),
    ]
    if most is not None and most["p"] <= 0.1:
        tiles.append(Tile("Changed at least", percent(most["effect"], 0), hint=_name(most["name"])))
    if accuracy is not None:
        tiles.append(Tile("Accuracy, estimated", percent(accuracy.value), hint="without labels"))
    return Tiles(tiles)


def _windows(baseline: Json, judged: Sequence[Json]) -> Section:
    first = judged[0]["start"]
    days = [(one["start"] - first) / 86_400 for one in judged]
    rare = [-math.log10(max(min(one["p"].values()), 1e-6)) for one in judged]
    levels = [
        Level(label, -math.log10(level), colour)
        for label, level, colour in (
            ("alarm", at(baseline, "levels", "at_once"), "series-4"),
            ("twice of three", at(baseline, "levels", "repeated"), "series-3"),
        )
        if level and baseline["settings"]["mode"] == "windows"
    ]
    text = (
        "Each window is held against the reference, all signals at once. The higher the line, the rarer a window like "
        "this is within the reference itself: 2 is once in a hundred windows."
    )
    rarity = line_chart(
        "rarity",
        title="How rare each window is, over all signals",
        description=f"{len(judged)} windows; the newest is at {rare[-1]:.1f}.",
        x_label=f"days since {day(first)} UTC",
        y_label="minus the logarithm of p, base 10",
        series=[Series(label="windows", x=days, y=rare, markers=True)],
        levels=levels,
    )
    return Section("windows", "Window by window", [Prose(text), rarity, _changes(days, first, judged)])


def _changes(days: Sequence[float], first: float, judged: Sequence[Json]) -> Chart:
    names = sorted(judged[-1]["effect"], key=lambda name: -max(one["effect"].get(name, 0.0) for one in judged))[:4]
    series = [
        Series(
            label=_name(name),
            x=days,
            y=[_percent_of(one["effect"].get(name)) for one in judged],
            colour=f"series-{place}",
        )
        for place, name in enumerate(names, start=1)
    ]
    return line_chart(
        "changes",
        title="How much changed at least, in the four signals that changed most",
        description="; ".join(f"{_name(name)} ends at {percent(judged[-1]['effect'][name], 0)}" for name in names),
        x_label=f"days since {day(first)} UTC",
        y_label="per cent of the requests",
        series=series,
    )


def _percent_of(share: object) -> float | None:
    found = number(share)
    return None if found is None else 100 * found


def _newest(latest: Json) -> Section:
    rows = [
        (
            _name(one["name"]),
            _shown(one, "reference"),
            _shown(one, "window"),
            percent(one["effect"], 0),
            rare(one["p"]) + (" *" if one["departed"] else ""),
        )
        for one in objects(latest["signals"])
    ]
    columns = ("Signal", "Reference", "Newest window", "Changed at least", "p")
    text = (
        "Numbers are shown as their middle, with what a tenth is below and a tenth above, classes as the shares that "
        "changed most. The first signals are those of the answers, then come those of the meaning of the texts, of how "
        "they look, of how expected they are, and of the server. A star says rare enough and changed enough to count."
    )
    blocks: list[Block] = [Prose(text), Table("Signal by signal", columns, rows, words=3)]
    apart = read_figure(latest.get("told_apart"))
    if apart is not None:
        blocks.append(
            Prose(
                f"A classifier tells vectors of this window from those of the reference with an AUC of {apart.text()}; "
                "0.50 is not at all, 1.00 is always."
            )
        )
    alike = [(day(one["time"]), str(one["key"] or ABSENT)) for one in objects(latest.get("least_alike"))]
    if alike:
        table = Table("By the time they came and the key that the store has for their text", ("Time", "Key"), alike, 2)
        blocks.append(Details("The requests that are least like the reference", [table]))
    return Section("newest", f"The window of {day(latest['start'])} UTC", blocks)


def _name(signal: str) -> str:
    """Return the name of a signal so that it breaks between words."""
    return "vectors" if signal == "embedding" else signal.replace("_", " ")


def rare(p: float) -> str:
    """Return a p-value as people write it."""
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def _shown(signal: Json, side: str) -> str:
    value = signal[side]
    if signal["kind"] == "class":
        return ", ".join(f"{label} {percent(share, 0)}" for label, share in value.items())
    if signal["kind"] == "vector":
        return f"{decimals(value['measured'], 0)} vectors"
    if signal["name"] in SHARES:
        return percent(value["mean"])
    found = [number(value.get(name)) for name in ("middle", "low", "high")]
    if any(one is None for one in found):
        return ABSENT
    middle, low, high = (f"{one:.3g}" for one in found)
    return middle if low == middle == high else f"{middle} ({low} to {high})"


def _events(events: Sequence[Json]) -> Section:
    rows = [
        (day(one["time"]), WORDS.get(one["what"], ABSENT), ", ".join(map(_name, one["signals"])))
        for one in events[::-1]
    ]
    table = Table("By the window that they came with, newest first", ("Window of", "What", "Signals"), rows, words=3)
    return Section("alarms", "Alarms so far", [table])


def _promise(baseline: Json) -> Section:
    settings = baseline["settings"]
    rows = [
        ("Model", str(baseline["model"])),
        ("Requests", decimals(baseline["requests"], 0)),
        ("From", f"{day(baseline['since'])} UTC"),
        ("To", f"{day(baseline['until'])} UTC"),
        ("Windows in it", decimals(baseline["windows"], 0) if baseline["windows"] else "none: rows are compared"),
        ("Compared with", str(baseline["rhythm"] or "all rows")),
        ("Signals", ", ".join(map(_name, baseline["signals"]))),
        ("Alarm", str(baseline["promise"])),
        ("Least change", percent(settings["least_effect"], 0)),
    ]
    return Section("baseline", "What it is held against", [Table("The baseline", ("", ""), rows, words=2)])
