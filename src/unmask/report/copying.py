"""Copy first, context later: how much of the fall of a training loss is the learning to copy what is in plain sight.

What bites: the parts are weighed by the run's own mix. A run that keeps no selected token has nothing to copy, and none
of this is said of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unmask.report.charts import Series, line_chart
from unmask.report.html import Json, Prose, Section, at, decimals, number, percent, short_count
from unmask.report.learning import CATEGORIES, lines, tokens_axis


def copying(metrics: Sequence[Json], settings: Json) -> Section | None:
    """Return the section on where the fall of the training loss comes from, None where nothing is kept or recorded."""
    first = next(iter(lines(metrics, "evaluation")), None)
    begin = _losses(first)
    found = [line for line in lines(metrics, "train") if _losses(line) is not None]
    weights = _weights(settings)
    if begin is None or not found or weights is None or number(at(first, "step")) != 0:
        return None
    falls = [
        {name: weights[name] * (begin[name] - loss[name]) for name in CATEGORIES}
        for line in found
        if (loss := _losses(line)) is not None
    ]
    kept = [_share(fall) for fall in falls]
    text = (
        f"A selected token that is left as it was shows its own answer, and {percent(weights['kept'], 0)} of what this "
        f"run is asked are such. Learning to copy them made up {percent(kept[0], 0)} of the fall of the training loss "
        f"by its first record ({_tokens_seen(found[0])} tokens), and {percent(kept[-1], 0)} of it in the end, "
        f"{decimals(weights['kept'] * begin['kept'])} nats at most. What the loss falls by at [MASK] is frequency "
        "first and context after that: the unigram line above tells the two apart."
    )
    x, unit = tokens_axis(found)
    series = [
        Series(label=name, x=x, y=[fall[name] for fall in falls], colour=f"series-{place}")
        for place, name in enumerate(CATEGORIES, start=1)
    ]
    ends = ", ".join(f"{line.label} {decimals(line.last())}" for line in series)
    chart = line_chart(
        "copying",
        title="By how much each kind of position has lowered the training loss since the start",
        description=f"In nats per token, in the end: {ends}.",
        x_label=f"tokens seen{unit}",
        y_label="fall of the training loss (nats per token)",
        series=series,
    )
    return Section("copying", "Copy first, context later", [Prose(text), chart])


def _losses(line: Json | None) -> dict[str, float] | None:
    """Return the loss of each kind of position, None where one is not known."""
    found = {name: value for name in CATEGORIES if (value := number(at(line, name))) is not None}
    return found if len(found) == len(CATEGORIES) else None


def _weights(settings: Json) -> Mapping[str, float] | None:
    """Return what share of the selected tokens each kind is, None where none is kept."""
    masked, random = (number(at(settings, "masking", name)) for name in ("mask_replace_prob", "random_replace_prob"))
    if masked is None or random is None or masked + random > 1 - 1e-9:
        return None
    return {"masked": masked, "random": random, "kept": 1 - masked - random}


def _share(fall: Mapping[str, float]) -> float:
    """Return which part of a fall was at kept positions: between none and all of it."""
    total = sum(fall.values())
    return min(max(fall["kept"] / total, 0.0), 1.0) if total > 0 else 0.0


def _tokens_seen(line: Json) -> str:
    return " ".join(short_count(line.get("tokens"))).strip()
