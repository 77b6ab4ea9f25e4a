"""Copying and context: how much of the fall of a training loss is the learning to copy what is in plain sight.

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
    text = (
        f"A selected token that is left as it was shows its own answer; {percent(weights['kept'], 0)} of what this run "
        f"is asked are such. In the end, {percent(_share(falls[-1]), 0)} of the fall of the training loss is the "
        f"learning to copy them. {_before_context(found, falls, number(at(first, 'unigram', 'masked')))}"
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
    return Section("copying", "Copying and context", [Prose(text), chart])


def _before_context(found: Sequence[Json], falls: Sequence[Mapping[str, float]], unigram: float | None) -> str:
    """Say how far copying was when the loss at [MASK] first came down to the unigram line."""
    if unigram is None:
        return ""
    place = next((index for index, line in enumerate(found) if (number(line.get("masked")) or 0.0) <= unigram), None)
    if place is None:
        return (
            "At [MASK] the loss has not come down to the unigram line: frequency and copying are all that was learned."
        )
    done = _clipped(falls[place]["kept"] / falls[-1]["kept"]) if falls[-1]["kept"] > 0 else 0.0
    return (
        "At [MASK] the loss came down to the unigram line, where context begins, after "
        f"{_tokens_seen(found[place])} tokens; "
        f"copying had by then made {percent(done, 0)} of its own way."
    )


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
    return _clipped(fall["kept"] / total) if total > 0 else 0.0


def _clipped(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _tokens_seen(line: Json) -> str:
    return " ".join(short_count(line.get("tokens"))).strip()
