"""How far windows depart from their reference, signal by signal, and how rare that is within the reference itself.

Two ways, one score. Over time, every stretch of the reference is held against all others of its phase, as the new one
is; its ranks among those are its p-values (Vovk, Gammerman and Shafer 2005). Without time, rows of reference and window
are dealt anew many times, which is the exact permutation test. Several signals are one test: the largest score counts,
and chance has its largest too (Westfall and Young 1993). What bites: a score is scaled by a formula that need not be
right; it makes signals comparable, and only its rank is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.stats import gamma, norm

from unmask.watch.features import GROUP_OF, FeatureMap, Sums
from unmask.watch.rhythm import Places
from unmask.watch.window import Floats

DEALS = 2000
"""Random deals of the permutation test, where no smaller p is needed."""
_CAUTION = 2.0
_DEALT_AT_ONCE = 1 << 22  # numbers of a selector


@dataclass(frozen=True, slots=True)
class Departure:
    """How far C windows are from the reference."""

    scores: Floats
    """(C, S) larger is rarer; 0 where a signal was not measured."""
    differences: Floats
    """(C, K) of the means from those that they are compared with, NaN where not measured."""

    @property
    def largest(self) -> Floats:
        """(C,) the largest score of each window."""
        return np.asarray(self.scores.max(1))


class Stretches:
    """The reference as B stretches of time with their phases."""

    def __init__(self, features: FeatureMap, sums: Sums, phase: Places) -> None:
        self.features, self.phase = features, phase
        counts = sums.counts[:, features.owner]
        self._seen = counts > 0
        self._means = np.divide(sums.sums, counts, out=np.zeros_like(sums.sums), where=self._seen)
        self._noise = features.variance / np.maximum(counts, 1)  # (B, K) of a mean, were requests independent
        self._member = (phase == np.arange(phase.max() + 1)[:, None]).astype(np.float64)  # (phases, B)
        self._between()
        self._weights = self._seen / (self._tau + self._noise)
        self._total = self._member @ self._weights
        self._weighted = self._member @ (self._weights * self._means)
        self.null = self._of_itself()

    def depart(self, sums: Sums, phase: Places) -> Departure:
        """Return how far windows with these ``sums`` and phases (C,) are from the reference."""
        counts = sums.counts[:, self.features.owner]
        seen = counts > 0
        means = np.divide(sums.sums, counts, out=np.zeros_like(sums.sums), where=seen)
        noise = self.features.variance / np.maximum(counts, 1)
        weight = self._total[phase]
        apart = means - self._weighted[phase] / np.maximum(weight, 1e-300)
        spread = self._tau + noise + 1 / np.maximum(weight, 1e-300)
        seen &= weight > 0
        scores = _scores(_standardised(apart, spread, seen), self.features, self._moments)
        return Departure(scores, np.where(seen, apart, np.nan))

    def p_values(self, departure: Departure) -> Floats:
        """Return (C, S) the p-value of each signal among all of them: of scores among largest scores."""
        return p_among(self.null.largest, departure.scores)

    def _of_itself(self) -> Departure:
        """Return how far each stretch is from all others of its phase; what it says of the spread is left out too."""
        weight = self._total[self.phase] - self._weights
        apart = self._means - (self._weighted[self.phase] - self._weights * self._means) / np.maximum(weight, 1e-300)
        tau = self._tau_of(self._excess.sum(0) - self._excess, self._scale.sum(0) - self._scale)
        spread = tau + self._noise + 1 / np.maximum(weight, 1e-300)
        seen = self._seen & (weight > 1e-9 * self._total[self.phase])
        z = _standardised(apart, spread, seen)
        squares = _squares(z, self.features)
        self._moments = _moments(squares)
        scores = _scores(z, self.features, _moments(squares, without_own=True))
        return Departure(scores, np.where(seen, apart, np.nan))

    def _between(self) -> None:
        """Estimate the variance between stretches of a phase beyond the noise of requests, by moments (K,).

        A stretch differs from the plain mean of n others by tau + noise and (tau + their noise) / n in the mean.
        """
        number = self._member @ self._seen
        others = np.maximum(number[self.phase] - self._seen, 1)
        valid = self._seen & (number[self.phase] > self._seen)
        mean = (self._member @ self._means)[self.phase] - self._means
        noise = (self._member @ (self._noise * self._seen))[self.phase] - self._noise * self._seen
        apart = self._means - mean / others
        self._excess = np.where(valid, apart**2 - self._noise - noise / others**2, 0.0)
        self._scale = np.where(valid, 1 + 1 / others, 0.0)
        self._tau = self._tau_of(self._excess.sum(0), self._scale.sum(0))

    @staticmethod
    def _tau_of(excess: Floats, scale: Floats) -> Floats:
        return np.asarray(np.maximum(excess, 0) / np.maximum(scale, 1e-9))


def p_among(null: Floats, scores: Floats) -> Floats:
    """Return the p-values of ``scores`` among those of the reference ``null`` (B,): ranks, (1 + reached) / (1 + B).

    Beyond the highest of the reference they fall exponentially, as its upper quarter does, but half as fast: few
    stretches know little of their tail.
    """
    ordered = np.sort(null)
    reached = len(ordered) - np.searchsorted(ordered, scores, side="left")
    upper = max(4, len(ordered) // 4)
    excess = float((ordered[-upper:] - ordered[-upper - 1]).mean())
    beyond = np.maximum(scores - ordered[-1], 0) / (_CAUTION * max(excess, 1e-9))
    return np.asarray((1 + reached) / (1 + len(ordered)) * np.exp(-beyond))


class Deals:
    """The exact permutation test of a window of W rows against a reference of N."""

    def __init__(self, features: FeatureMap, reference_rows: int, window_rows: int, deals: int = DEALS) -> None:
        self.features, self._number, self._window = features, deals, window_rows
        self._rows = reference_rows + window_rows

    def test(self, reference: Rows, window: Rows) -> tuple[Departure, Floats]:
        """Return how far the window (C = 1) is from the reference, and (1, S) the p-value of each signal."""
        values, measured = (np.concatenate(pair) for pair in zip(reference, window, strict=True))
        inside, counted = self._dealt(values, measured)
        apart, spread, seen = self._apart(inside, counted, values.sum(0), measured.sum(0))
        z = _standardised(apart, spread, seen)
        scores = _scores(z, self.features, _moments(_squares(z[1:], self.features)))
        reached = (scores[1:].max(1)[:, None] >= scores[0] - 1e-9).sum(0)
        departure = Departure(scores[:1], np.where(seen[:1], apart[:1], np.nan))
        return departure, np.asarray((1 + reached) / (1 + self._number))[None]

    def _dealt(self, values: npt.NDArray[np.float32], measured: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Return (1 + deals, K) sums and (1 + deals, S) counts of what is dealt to the window, the true one first."""
        width, table = values.shape[1], np.concatenate([values, measured], axis=1)
        found = [table[-self._window :].sum(0, dtype=np.float64)[None]]
        parts = dealt(self._rows, self._window, self._number)
        found += [(part.astype(np.float32) @ table).astype(np.float64) for part in parts]
        whole = np.concatenate(found)
        return whole[:, :width], whole[:, width:]

    def _apart(
        self, sums: Floats, counts: Floats, all_sums: Floats, all_counts: Floats
    ) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        owner = self.features.owner
        inside, outside = counts[:, owner], (all_counts - counts)[:, owner]
        seen = (inside > 0) & (outside > 0)
        apart = sums / np.maximum(inside, 1) - (all_sums - sums) / np.maximum(outside, 1)
        spread = self.features.variance * (1 / np.maximum(inside, 1) + 1 / np.maximum(outside, 1))
        return apart, spread, seen


@lru_cache(maxsize=1)
def dealt(rows: int, window: int, deals: int) -> list[npt.NDArray[np.bool_]]:
    """Return (deals, rows) in parts: which ``window`` of the rows each deal gives to the window.

    Chance that knows nothing of what the rows hold, so the same deals serve every test of this size.
    """
    chance = np.random.Generator(np.random.Philox(0))
    at_once, parts = max(1, _DEALT_AT_ONCE // rows), []
    for first in range(0, deals, at_once):
        keys = chance.random((min(at_once, deals - first), rows), np.float32)
        selector = np.zeros(keys.shape, bool)
        np.put_along_axis(selector, np.argpartition(keys, window - 1, axis=1)[:, :window], values=True, axis=1)
        parts.append(selector)
    return parts


Rows = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""(N, K) the functions of each row and (N, S) whether they were measured, as FeatureMap.rows returns them."""
Moments = tuple[Floats, Floats]
"""Mean and variance of a sum of squares, one for all windows or one for each."""


def _standardised(apart: Floats, spread: Floats, seen: npt.NDArray[np.bool_]) -> Floats:
    return np.where(seen, apart / np.sqrt(spread), 0.0)


def _squares(z: Floats, features: FeatureMap) -> Floats:
    """Return (C,) the sums of squares of the waves of the embedding."""
    return np.asarray((z[:, features.owner == len(features.signals)] ** 2).sum(1))


def _moments(squares: Floats, *, without_own: bool = False) -> Moments:
    """Return mean and variance of ``squares`` (B,) of chance, of all or for each one of all others.

    What was not measured is left out.
    """
    there = (squares > 0).astype(np.float64)
    own = there if without_own else np.zeros(1)
    value = squares if without_own else np.zeros(1)
    count = np.maximum(there.sum() - own, 2)
    mean = (squares.sum() - value) / count
    variance = (((squares**2).sum() - value**2) / count - mean**2) * count / (count - 1)
    return np.maximum(mean, 1e-9), np.maximum(variance, 1e-9)


def _scores(z: Floats, features: FeatureMap, moments: Moments) -> Floats:
    """Return (C, S): minus the logarithm of a nominal p-value of each signal, times the signals of its group.

    Groups have equal shares of the budget, so that seven counts of a text do not outvote what the model answers.
    """
    found, start = [], 0
    groups = [GROUP_OF[name] for name in features.names]
    for place, width in enumerate(features.widths):
        own = z[:, start : start + width]
        if place < len(features.signals):
            log_p = np.log(2 * width) + norm.logsf(np.abs(own).max(1))
        else:
            mean, variance = moments
            log_p = gamma.logsf(_squares(z, features), mean**2 / variance, scale=variance / mean)
        measured = (own != 0).any(1)
        log_p = np.where(measured, np.minimum(log_p + np.log(groups.count(groups[place])), 0), 0.0)
        found.append(-log_p)
        start += width
    return np.stack(found, axis=1)
