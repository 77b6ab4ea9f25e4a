"""When a departure is an alarm: a budget of false ones for a month, over all signals and all windows of it.

Half of the budget goes to windows that alone are rare enough, half to signals that depart in two of three windows, at
a level that only then is rare. What bites: ranks among few stretches are coarse, and beyond the highest of them lies
only what its tail suggests; a reference that would have to be believed too far beyond is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from unmask.settings import Count, OpenShare, Positive, Settings, ShareBelowOne
from unmask.watch.rhythm import MONTH, SECONDS, Places, Span
from unmask.watch.window import Floats

LOOKED_BACK = 2
"""Windows before the newest in which a signal may have departed first."""
QUIET = 3
"""Windows without a departure after which an alarm is over."""
_FARTHEST = 20  # how many times rarer than the rarest of the reference a window may be said to be


class AlarmSettings(Settings):
    """What is promised of alarms, and how traffic is cut into windows."""

    every: Span = "1d"
    """Length of a window in time; one is judged after the other."""
    alarms_per_month: Positive = 1.0
    """False alarms in 30 days, over all signals together, that are accepted on average."""
    least_effect: ShareBelowOne = 0.05
    """Share of the requests that must have changed at least; what changes fewer is no alarm, however sure it is."""
    least_rows: Count = 50
    """Requests below which a window is not judged."""
    mode: Literal["windows", "anytime"] = "windows"
    """Alarms by the month, or one chance for all time, however often somebody looks and stops."""
    ever: OpenShare = 0.05
    """In the mode anytime: the chance that an alarm is ever false."""

    @property
    def windows_a_month(self) -> float:
        """How many windows there are in 30 days."""
        return MONTH / SECONDS[self.every]

    @property
    def budget(self) -> float:
        """The false alarms that are accepted for each window."""
        return self.alarms_per_month / self.windows_a_month


@dataclass(frozen=True, slots=True)
class Levels:
    """The p-values from which on a window departs: alone, and together with one of the two before it."""

    at_once: float
    repeated: float

    @property
    def possible(self) -> bool:
        """Whether any window can give an alarm."""
        return self.at_once > 0 or self.repeated > 0


def levels_of_deals(budget: float) -> Levels:
    """Return the levels where p-values are as fine as one likes: ``budget`` / 2 each way.

    Of independent windows the newest and one of the two before it are below ``repeated`` 2 repeated**2 of the time.
    """
    return Levels(min(1.0, budget / 2), min(1.0, math.sqrt(budget / 4)))


def levels_of_ranks(budget: float, null: Floats, stretch: Places) -> Levels:
    """Return the levels where p-values are ranks among the largest scores ``null`` (B,) of stretches of the reference.

    A new window is among the k highest of B + 1 with chance k / (B + 1), two of them with k (k + 1) / (B + 1)(B + 2).
    Where days are like those before them that is too little, so the reference must not have repeated itself more
    often than the budget allows either, give or take a standard deviation.
    """
    count = len(null)
    at_once = max(math.floor((count + 1) * budget / 2) / (count + 1), min(budget / 2, 1 / (count + 1)))
    if at_once * (count + 1) * _FARTHEST < 1:
        at_once = 0.0
    left = budget - at_once
    again = 0
    while again < count and 2 * (again + 1) * (again + 2) / ((count + 1) * (count + 2)) <= left:
        again += 1
    while again > 0 and _repeated(null, stretch, again) > left * count + math.sqrt(left * count):
        again -= 1
    return Levels(at_once, again / (count + 1))


def _repeated(null: Floats, stretch: Places, highest: int) -> int:
    """Return how many of the ``highest`` stretches of the reference follow another one within LOOKED_BACK."""
    chosen = np.sort(stretch[np.argsort(-null, kind="stable")[:highest]])
    return int((np.diff(chosen) <= LOOKED_BACK).sum())


@dataclass(frozen=True, slots=True)
class Judged:
    """What a window said: for each signal its p-value among all of them, and how much has changed at least."""

    start: float
    rows: int
    p: Mapping[str, float]
    effect: Mapping[str, float]

    def departed(self, level: float, least_effect: float) -> frozenset[str]:
        """Return the signals that are rare to ``level`` and have changed enough."""
        return frozenset(name for name, p in self.p.items() if p <= level and self.effect[name] >= least_effect)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON writes it."""
        return {"start": self.start, "rows": self.rows, "p": dict(self.p), "effect": dict(self.effect)}


def raised(history: Sequence[Judged], levels: Levels, least_effect: float) -> frozenset[str]:
    """Return the signals for which the newest window of ``history`` is an alarm."""
    *earlier, newest = history[-1 - LOOKED_BACK :]
    before = frozenset[str]().union(*(one.departed(levels.repeated, least_effect) for one in earlier))
    return newest.departed(levels.at_once, least_effect) | (newest.departed(levels.repeated, least_effect) & before)


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm: from when on, for which signals, and how many windows it has been quiet since."""

    since: float
    signals: frozenset[str]
    quiet: int = 0

    def plain(self) -> dict[str, Any]:
        """Return it as JSON writes it."""
        return {"since": self.since, "signals": sorted(self.signals), "quiet": self.quiet}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """Return what :meth:`plain` wrote."""
        return cls(values["since"], frozenset(values["signals"]), values["quiet"])


def after(alarm: Alarm | None, history: Sequence[Judged], levels: Levels, least_effect: float) -> Alarm | None:
    """Return the alarm that is on after the newest window of ``history``, given the one that was before."""
    newest, new = history[-1], raised(history, levels, least_effect)
    if alarm is None:
        return Alarm(newest.start, new) if new else None
    still = newest.departed(max(levels.at_once, levels.repeated), least_effect)
    changed = replace(alarm, signals=alarm.signals | new, quiet=0 if still else alarm.quiet + 1)
    return changed if changed.quiet < QUIET else None


@dataclass(frozen=True, slots=True)
class Wealth:
    """A game against the reference that nobody wins by looking often: bets on small p-values, from any window on.

    Each p-value is a rank of the newest window among the reference and all windows before it, so they are independent
    (Vovk, Gammerman and Shafer 2005, theorem 8.2), and the chance that the wealth ever reaches 1 / ``ever`` is at most
    ``ever`` (Ville 1939). Of one unit, 1 / n (n + 1) is first staked at window n: a change that comes late is bet on
    with fresh money (the mixture over change points).
    """

    windows: int = 0
    at_stake: float = 0.0

    @property
    def value(self) -> float:
        """What is at stake and what has not been staked yet."""
        return self.at_stake + 1 / (self.windows + 1)

    def after(self, p: float) -> Wealth:
        """Return the wealth after a window of this p-value."""
        number = self.windows + 1
        return Wealth(number, (self.at_stake + 1 / (number * (number + 1))) * bet(p))


def bet(p: float) -> float:
    """Return what a unit that is bet on a p-value being small becomes: the mean of e p^(e - 1) over e in (0, 1).

    (1 - p + p ln p) / (p ln^2 p), whose mean over uniform p is 1 (Vovk and Wang 2021).
    """
    p = min(max(p, 1e-300), 1 - 1e-6)
    log = math.log(p)
    return (1 - p + p * log) / (p * log**2)


def rank_among(scores: npt.NDArray[np.floating], newest: float, chance: float) -> float:
    """Return the p-value of ``newest`` among ``scores``, ties broken by ``chance`` in [0, 1): exactly uniform."""
    higher, equal = int((scores > newest).sum()), int((scores == newest).sum())
    return (higher + chance * (equal + 1)) / (len(scores) + 1)
