"""The page of ``unmask gate``: one page that says whether a candidate passes, and why."""

from __future__ import annotations

from unmask.report.charts import Bar, BarRow, Level, bar_chart
from unmask.report.diagnosis_page import FOOTER
from unmask.report.html import (
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
    flat,
    number,
    objects,
    percent,
    plain,
    read_figure,
    render_page,
)


def render_gate(gate: Json) -> str:
    """Return the page on an unmask-gate as one HTML document. Raises MissingExtra without matplotlib."""
    criteria = objects(at(gate, "criteria"))
    stopped = [plain(one.get("name")) for one in criteria if one.get("passed") is not True]
    here, asked = (at(gate, "pass_rate", name) for name in ("here", "asked"))
    return render_page(
        Page(
            title="It does not pass" if stopped else "It passes",
            kicker=f"{plain(at(gate, 'candidate'))} beside {plain(at(gate, 'baseline'))}",
            lead=f"Stopped by {', '.join(stopped)}." if stopped else "It is shown to be no worse, within every margin.",
            opening=[
                Tiles(
                    [
                        Tile("Criteria", f"{len(criteria) - len(stopped)} of {len(criteria)}", "pass"),
                        Tile("An equal model passes", percent(here), hint=f"{percent(asked)} is asked for"),
                        Tile("Examples", decimals(at(gate, "examples"), 0), hint=_needed(gate)),
                    ]
                )
            ],
            sections=[_criteria(criteria), _how(gate)],
            footer=FOOTER,
        )
    )


def _needed(gate: Json) -> str:
    needed, examples = (number(at(gate, name)) for name in ("needed", "examples"))
    if needed is None or examples is None or needed <= examples:
        return "as many as it takes"
    return f"{needed:,.0f} are needed for that"


def _criteria(criteria: list[Json]) -> Section:
    rows, bars = [], []
    for one in criteria:
        difference, margin = read_figure(one.get("difference")), number(one.get("margin"))
        name, verdict = plain(one.get("name")), "passes" if one.get("passed") is True else "stops it"
        rows.append((f"{name} {verdict}:", f"{plain(one.get('says'))}."))
        if difference is not None and difference.low is not None and margin:
            lost = max(0.0, -difference.low)
            bars.append(BarRow(name, [Bar(value=100 * lost / margin, text=f"{lost:.3f} of {margin:g}")]))
    chart = bar_chart(
        "margins",
        title="What is lost at worst: left of the margin it passes",
        description="; ".join(f"{row.label}: {row.bars[0].text}" for row in bars),
        x_label="per cent of the margin",
        rows=bars,
        level=Level("margin", 100.0),
    )
    return Section("criteria", "What was asked, and what came of it", [chart, Listing(rows)])


def _how(gate: Json) -> Section:
    policy = at(gate, "policy")
    level, rate = percent(at(policy, "evidence", "level"), 0), percent(at(policy, "evidence", "pass_rate"))
    text = (
        "Each criterion passes where the lower bound of a paired bootstrap over the examples is above minus its "
        f"margin; the bounds are one-sided, at {level}. All criteria have to pass, so a candidate that is worse by a "
        "margin is stopped at least that often. The examples needed are those with which an equal candidate passes "
        f"all criteria {rate} of the time."
    )
    table = Table("Policy", ("", "value"), flat(policy or {}), words=2)
    return Section("how", "How it was decided", [Prose(text), Details("The policy", [table])])
