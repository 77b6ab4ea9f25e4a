"""The page of ``unmask evaluate --report``: a section for every suite that was measured.

What bites: a suite that was not measured has no section, and the page says what its figures are not for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from unmask.report.accuracy import accuracy
from unmask.report.charts import Bar, BarRow, Chart, Level, Series, bar_chart, line_chart
from unmask.report.html import (
    ABSENT,
    Details,
    Figure,
    Json,
    Listing,
    Page,
    Prose,
    Section,
    Table,
    at,
    decimals,
    number,
    objects,
    percent,
    plain,
    read_figure,
    render_page,
)
from unmask.report.learning import learning_curve
from unmask.report.limit_text import as_likelihood

FOOTER = (
    "Figures in square brackets are intervals of 95\u202f%. This page is one file, holds no scripts and loads nothing."
)
SCORERS = {
    "pll": "model, a token hidden at a time",
    "word_l2r": "model, and the rest of its word",
    "trigrams": "trigrams of the training text (floor)",
    "shorter": "the shorter sentence (floor)",
}
GROUPS = {"field": "field", "phenomenon": "phenomenon", "paradigm": "paradigm"}


def render_suites(evaluation: Json) -> str:
    """Return the page on an unmask-evaluation as one HTML document. Raises MissingExtra without matplotlib."""
    sections = suite_sections(evaluation)
    if at(evaluation, "mlm") is not None:
        sections = [learning_curve((), evaluation), *(s for s in [accuracy(evaluation)] if s), *sections]
    model = plain(at(evaluation, "model", "path"))
    names = ", ".join(section.title.lower() for section in sections)
    return render_page(
        Page(
            title="What was measured",
            kicker=model,
            lead=f"{model}: {names}.",
            opening=[],
            sections=[*sections, _not_for()],
            footer=FOOTER,
        )
    )


def suite_sections(evaluation: Json) -> list[Section]:
    """Return the sections of the suites that ``evaluation`` holds."""
    return [make(found) for name, make in _SECTIONS.items() if (found := at(evaluation, name)) is not None]


def _likelihood(found: Json) -> Section:
    text = (
        "Each token is hidden once and predicted from all others, and the logarithms are added up. The second way "
        "hides the rest of the word too, so that the pieces of a long word do not give each other away. This is no "
        "probability of the text: do not put it beside a causal model's perplexity or bits per character."
    )
    rows = []
    for method in ("pll", "word_l2r"):
        bits, nats = (read_figure(at(found, method, name)) for name in ("bits_per_character", "nats_per_token"))
        rows.append((SCORERS[method], _text(bits), _text(nats)))
    caption = f"{decimals(found.get('documents'), 0)} texts, {decimals(found.get('characters'), 0)} characters"
    table = Table(caption, ("Hidden", "Bits per character", "Nats per token"), rows)
    return Section("likelihood", "Pseudo-log-likelihood", [Prose(text), table])


def _minimal_pairs(found: Json) -> Section:
    text = (
        "Pairs of sentences that differ in one point; right is who finds the acceptable one more expected. A tie "
        f"counts one half. Hiding the rest of a word changes {percent(found.get('flipped'))} of the verdicts."
        f"{_above_trigrams(read_figure(at(found, 'above', 'trigrams')))}"
    )
    bars = [
        BarRow(SCORERS.get(name, name), [_share_bar(figure, "series-1" if name in ("pll", "word_l2r") else "muted")])
        for name, value in (at(found, "accuracy") or {}).items()
        if (figure := read_figure(value)) is not None
    ]
    chart = bar_chart(
        "pairs",
        title=f"Acceptable sentence preferred, {decimals(found.get('pairs'), 0)} pairs",
        description="; ".join(f"{row.label}: {row.bars[0].text}" for row in bars) + ".",
        x_label="pairs that are right (%)",
        rows=bars,
        level=Level("chance", 50.0),
    )
    tables = [_by_group(found[f"by_{group}"], group) for group in GROUPS if at(found, f"by_{group}") is not None]
    details = [Details(f"By {table.columns[0].lower()}", [table]) for table in tables]
    return Section("minimal-pairs", "Minimal pairs", [Prose(text), chart, *details])


def _above_trigrams(difference: Figure | None) -> str:
    """Say whether the model beats counts of its own training text, where that was measured."""
    if difference is None or difference.low is None or difference.high is None:
        return ""
    if difference.low > 0:
        return f" The model beats counted trigrams on the same pairs, by {difference.percent()} of them."
    if difference.high < 0:
        return f" Counted trigrams do better on the same pairs: the model is {difference.percent()} above them."
    return f" It is not told apart from counted trigrams on the same pairs: {difference.percent()} above them."


def _by_group(groups: Json, group: str) -> Table:
    scorers = [name for name in SCORERS if any(at(part, "accuracy", name) for part in groups.values())]

    def share(value: object) -> str:
        figure = read_figure(value)
        return ABSENT if figure is None else figure.percent()

    rows = [
        (name, decimals(at(part, "pairs"), 0), *(share(at(part, "accuracy", scorer)) for scorer in scorers))
        for name, part in groups.items()
    ]
    return Table("Pairs that are right", (GROUPS[group].capitalize(), "Pairs", *scorers), rows)


def _calibration(found: Json) -> Section:
    ece, brier = read_figure(found.get("ece")), read_figure(found.get("brier"))
    text = (
        "At [MASK] positions of held-out text: how sure the model is of its first guess, and how often that is right. "
        f"Calibration error {ABSENT if ece is None else ece.percent()}, where probabilities that are just right would "
        f"show {percent(at(found, 'perfect_ece', 'value'))} on as many positions; Brier score {_text(brier, 3)}."
    )
    return Section("calibration", "Calibration", [Prose(text), reliability_chart(objects(found.get("bins")))])


def reliability_chart(bins: Sequence[Json]) -> Chart:
    """Draw how often guesses are right over how sure the model is of them."""
    sure, right = ([100 * (number(part.get(key)) or 0.0) for part in bins] for key in ("confidence", "accuracy"))
    ends = (
        f"from {sure[0]:.0f} to {sure[-1]:.0f} per cent sure, {right[0]:.0f} to {right[-1]:.0f} right" if sure else ""
    )
    return line_chart(
        "reliability",
        title="Right guesses by the probability that they were given; each point is as many positions",
        description=f"{len(bins)} points {ends}.",
        x_label="probability of the first guess (%)",
        y_label="right (%)",
        series=[
            Series(label="this model", x=sure, y=right, markers=True),
            Series(label="just right", x=sure, y=sure, colour="muted"),
        ],
    )


def _robustness(found: Json) -> Section:
    figure = plain(found.get("figure"))
    text = (
        f"The figure is {figure}. A rate is the share of the characters that a kind of error can change, letters or "
        "spaces, that it does change. The slope is the change of the figure for each per cent."
    )
    kinds: Mapping[str, Json] = at(found, "kinds") or {}
    rows = [
        (kind, *(_text(read_figure(value), 3) for value in (at(of, "clean"), *(at(of, "at") or {}).values())))
        for kind, of in kinds.items()
    ]
    rates = [f"At {percent(float(rate), 0)}" for rate in (at(next(iter(kinds.values()), None), "at") or {})]
    details = Details(
        "The figures behind the chart", [Table(f"{figure}, with errors", ("Errors", "Clean", *rates), rows)]
    )
    slopes = [(kind, _text(read_figure(at(of, "slope")), 4)) for kind, of in kinds.items()]
    table = Table(f"Change of the figure ({figure}) for each per cent", ("Errors", "Slope"), slopes)
    return Section("robustness", "Errors in the text", [Prose(text), table, _decay_chart(kinds, figure), details])


def _decay_chart(kinds: Mapping[str, Json], figure: str) -> Chart:
    series = []
    for place, (kind, of) in enumerate(kinds.items(), start=1):
        by_rate = {0.0: at(of, "clean"), **{100 * float(rate): value for rate, value in (at(of, "at") or {}).items()}}
        found = [read_figure(value) for value in by_rate.values()]
        values = [None if one is None else one.value for one in found]
        series.append(Series(label=kind, x=[*by_rate], y=values, colour=f"series-{place}", markers=True))
    ways = [f"{line.label} from {decimals(line.y[0])} to {decimals(line.last())}" for line in series]
    return line_chart(
        "robustness",
        title=f"{figure[:1].upper()}{figure[1:]}, by the share of characters that are wrong",
        description=f"{'; '.join(ways)}.",
        x_label="characters changed, of those that can be (%)",
        y_label=figure,
        series=series,
    )


def _memorisation(found: Json) -> Section:
    text = (
        "Sentences with a random number were planted in the training text. Exposure says how high a planted number "
        f"ranks among {decimals(found.get('references'), 0)} that were not: "
        f"{decimals(found.get('by_chance'))} bits on average if nothing was remembered, {decimals(found.get('most'))} "
        "where it is the likeliest of all. Canaries of 0 copies are the control: their ranks must be uniform (p "
        f"{decimals(at(found, 'control', 'uniform_p'), 3)})."
    )
    rows = [
        BarRow(_copies(copies), [Bar(value=one.value, text=one.text(), low=one.low, high=one.high)])
        for copies, value in (at(found, "exposure") or {}).items()
        if (one := read_figure(value)) is not None
    ]
    chance = number(found.get("by_chance"))
    chart = bar_chart(
        "exposure",
        title="Exposure by how many documents hold the canary",
        description="; ".join(f"{row.label}: {row.bars[0].text}" for row in rows) + ".",
        x_label="exposure (bits)",
        rows=rows,
        level=None if chance is None else Level("by chance", chance),
    )
    return Section("memorisation", "What it remembers", [Prose(text), chart])


def _copies(copies: str) -> str:
    return {"0": "never planted (control)", "1": "1 copy"}.get(copies, f"{copies} copies")


def _share_bar(figure: Figure, colour: str) -> Bar:
    low, high = (None if end is None else 100 * end for end in (figure.low, figure.high))
    return Bar(value=100 * figure.value, text=figure.percent(), colour=colour, low=low, high=high)


def _text(figure: Figure | None, digits: int = 2) -> str:
    return ABSENT if figure is None else figure.text(digits)


def _not_for() -> Section:
    items = [
        (
            "Choosing between recipes.",
            "One model was measured. Train each recipe from several seeds and compare pairs.",
        ),
        ("Beside causal models.", "A masked model gives no probability of a text, so their figures do not compare."),
        ("Promising a task.", "Fine-tune and measure on the task itself; suites say where to look when it goes wrong."),
    ]
    return Section("not-for", "What this page is not for", [Listing(items)])


_SECTIONS: dict[str, Callable[[Json], Section]] = {
    "likelihood": _likelihood,
    "text": as_likelihood,
    "minimal_pairs": _minimal_pairs,
    "calibration": _calibration,
    "robustness": _robustness,
    "memorisation": _memorisation,
}
