"""Whether a difference between two models is more than chance.

What bites: five pairs of seeds can never reach 0.05, since the smallest two-sided p of a sign flip over five is 2 / 32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

import numpy as np
import numpy.typing as npt

from unmask.stats.figure import Figure

MOST_EXACT = 14
"""Pairs up to which all sign flips are tried; more are drawn at random."""
_FLIPS, _AT_ONCE = 10_000, 100


def permutation_p(differences: npt.ArrayLike, *, seed: int = 0) -> float:
    """Return the two-sided p-value of paired ``differences`` (N,) having no sign: their mean under sign flips.

    All flips up to MOST_EXACT pairs, else random ones with the observed one counted in (Phipson and Smyth 2010).
    """
    values = np.asarray(differences, np.float64)
    observed = abs(values.mean()) - 1e-9 * np.abs(values).mean()  # sums in another order are still equal
    if len(values) <= MOST_EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=len(values))))
        return float((np.abs(signs @ values) / len(values) >= observed).mean())
    chance = np.random.Generator(np.random.Philox(seed))
    parts = [chance.choice((1.0, -1.0), size=(_AT_ONCE, len(values))) @ values for _ in range(_FLIPS // _AT_ONCE)]
    return float((1 + (np.abs(np.concatenate(parts)) / len(values) >= observed).sum()) / (1 + _FLIPS))


def interval_p(difference: Figure, seeds: int) -> float:
    """Return the two-sided p-value of ``difference`` over ``seeds`` being none: of the Student's t with its interval.

    It is under 0.05 where an interval of 95 % leaves 0 out, so seeds and items count in both alike; unlike that of sign
    flips it has no least value that the number of seeds sets.
    """
    from scipy.stats import t

    freedom = seeds - 1 if seeds > 1 else math.inf
    half = (difference.high - difference.low) / 2
    if half == 0:
        return float(difference.value == 0)
    return float(2 * t.sf(abs(difference.value) / half * t.ppf((1 + difference.level) / 2, freedom), freedom))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values adjusted for being several (Holm 1979), by the same names."""
    adjusted, highest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def seeds_needed(sd_of_differences: float, effect: float) -> int:
    """Return how many pairs of seeds show ``effect`` with 80 % power at 5 %, at least the six that can show any.

    n = (1.96 + 0.84)^2 (sd / effect)^2 of paired differences, the normal approximation.
    """
    return max(6, math.ceil(7.85 * (sd_of_differences / effect) ** 2))
