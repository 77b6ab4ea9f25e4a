"""How training went: too short, too few examples for what the network can remember, or at the cost of what was known.

What bites: every learning curve flattens towards its end because the rate of learning falls to zero, so a slope that is
left there understates what more steps would bring; and a gap between training and development examples is what labels
cost, not by itself a mistake.
"""

from __future__ import annotations

import numpy as np

from unmask.stats import bootstrap
from unmask.stats.figure import Figure, Floats, resampled_sums
from unmask.watch.diagnosis.case import LEVEL, Case, Finding, changed, in_points, is_worth, judged, skipped

LEAST_RISE = 0.02
"""What a doubling of the steps must promise."""
LEAST_GAP = 0.1
"""Between training and development examples."""
HALVED = 1 - 2**-0.5
"""What doubling the labels takes off the gap, where it falls with the square root of their number."""
LEAST_FORGOTTEN = 0.05
"""Nats at [MASK] of general text."""
FEWEST_POINTS = 4


def under_training(case: Case, ceiling: float = 1.0) -> Finding:
    """Return whether the figure was still rising when training ended, and training examples are not learned yet.

    ``ceiling`` is what the figure can reach: no training raises what wrong labels hold down.
    """
    name = "under-training"
    if case.training is None or len(case.training.curve) < FEWEST_POINTS:
        return skipped(name, "takes a run of unmask finetune, whose metrics.jsonl has the learning curve")
    missing = max(0.0, ceiling - case.value)
    gain = rise_of(case.training.curve, missing)
    learned = None if case.train is None else _value(case, case.train.per_item)
    is_unlearned = learned is None or 1 - learned > missing / 2
    is_found = is_unlearned and is_worth(gain) and gain.value >= LEAST_RISE
    says = f"twice the steps promise {in_points(gain)}, by the slope of the last half"
    if learned is not None:
        says += f"; {case.figure} is {learned:.3f} on training examples, {case.value:.3f} on development examples"
    epochs = max(1, round(2 * case.training.epochs))
    return judged(
        name,
        is_found,
        says=f"{says}, after {case.training.epochs:.1f} epochs",
        gain=gain,
        advice="train for longer",
        command=case.finetune(f"training.epochs={max(epochs, 3)}"),
        facts={"curve": [list(point) for point in case.training.curve], "training": learned},
    )


def rise_of(curve: object, missing: float) -> Figure:
    """Return by how much a doubling of the steps lifts the figure: the slope over log2 of the steps, of the last half.

    ``curve`` is (step, figure) pairs. Least squares with Student's interval; no more than what is ``missing``.
    """
    from scipy.stats import linregress, t

    points = np.asarray(curve, np.float64)
    points = points[points[:, 0] > 0]
    late = points[points[:, 0] >= points[-1, 0] / 2]
    late = late if len(late) >= FEWEST_POINTS else points[-FEWEST_POINTS:]
    found = linregress(np.log2(late[:, 0]), late[:, 1])
    reach = float(t.ppf(0.95, len(late) - 2) * found.stderr)
    slope = float(found.slope)
    rise = Figure(slope, slope - reach, slope + reach, len(late), 0.9, "")
    return changed(rise, lambda end: min(end, missing), "least squares over log2 of the steps")


def over_fitting(case: Case) -> Finding:
    """Return whether the model knows its training examples far better than others."""
    name = "over-fitting"
    if case.train is None:
        return skipped(name, "give --train FILE to see what the model makes of what it learned from")
    gap = _gap(case, case.train.per_item)
    is_found = gap.low > LEAST_GAP
    gain = changed(gap, lambda end: max(0.0, HALVED * end), "gap as the inverse square root of the labels")
    learned = _value(case, case.train.per_item)
    count = len(case.learned)
    says = f"{case.figure} is {learned:.3f} on training examples and {case.value:.3f} on others, with {count:,} labels"
    if case.training is not None and case.training.curve:
        best = max(value for _, value in case.training.curve)
        fallen = best - case.training.curve[-1][1]
        if fallen >= LEAST_RISE:
            says += f"; after its best it fell by {100 * fallen:.1f} points"
    return judged(
        name,
        is_found,
        says=says,
        gain=gain,
        advice="label as many again; the label curve says whether that pays",
        command=f"{case.finetune()} --labels {_counts(count)}",
        facts={"gap": gap.plain(), "training": learned},
    )


def _counts(count: int) -> str:
    return ",".join(str(max(1, count // part)) for part in (4, 2)) + ",all"


def _gap(case: Case, learned: Floats) -> Figure:
    """Return the figure of training examples minus that of the others, each drawn by itself."""
    one, other = (
        case.combine(resampled_sums(table, np.random.Generator(np.random.Philox(seed))))
        for seed, table in enumerate((learned, case.dev.per_item))
    )
    low, high = np.nanquantile(one - other, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = _value(case, learned) - case.value
    return Figure(value, float(low), float(high), len(case.dev), LEVEL, "bootstrap over examples")


def _value(case: Case, per_item: Floats) -> float:
    return bootstrap(per_item, case.combine).value


def forgetting(case: Case) -> Finding:
    """Return whether the pre-training of the model's base cost it what it knew of general text."""
    name = "forgetting"
    lost = None if case.training is None else case.training.forgotten
    if lost is None:
        return skipped(name, "takes a base that was trained with --general TEXT, which may be forgotten")
    is_found = lost.low > LEAST_FORGOTTEN
    return judged(
        name,
        is_found,
        says=f"general text lost {lost.value:+.3f} nats at [MASK] [{lost.low:.3f}, {lost.high:.3f}] in pre-training",
        advice="mix general text into the corpus, a tenth of its rows, and pre-train again",
        command="unmask corpus build OWN=0.9 GENERAL=0.1 --out MIXED",
        facts={"forgotten": lost.plain()},
    )
