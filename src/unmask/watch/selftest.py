"""Alarms tried on the user's own reference: how often they are false, and how soon they come once traffic changes.

Part of the reference is held out and judged against the rest as traffic would be. What bites: the rest is smaller than
the reference, so what is found here is on the careful side; and a reference of B windows can not say more of the rate
of false alarms than B windows do, so its interval is that of B windows, however often they are dealt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, chi2

from unmask.stats import Figure
from unmask.watch.alarms import Alarm, Judged, after
from unmask.watch.baseline import Baseline, as_reference
from unmask.watch.features import Sums
from unmask.watch.injections import Injection
from unmask.watch.rhythm import start_of, stretch_of
from unmask.watch.window import Window, joined

CHUNKS, HELD_OUT, SPLITS = 8, 2, 20
LOOKED_FOR = 7
"""Windows after a shift in which it is looked for."""
SHARES = (0.1, 0.3, 1.0)
"""Shares of the traffic that shift."""

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Tried:
    """How a run of held-out windows came out: its alarms, and after how many windows the first came (0: never)."""

    windows: int
    alarms: int
    first: int


def alarms_of(baseline: Baseline, judged: Sequence[Judged]) -> Tried:
    """Return what alarms the windows ``judged`` give one after the other."""
    alarm: Alarm | None = None
    alarms, first = 0, 0
    for place in range(len(judged)):
        before = alarm
        alarm = after(before, judged[: place + 1], baseline.levels, baseline.settings.least_effect)
        if alarm is not None and before is None:
            alarms += 1
            first = first or place + 1
    return Tried(len(judged), alarms, first)


class OverTime:
    """A reference in stretches of time, tried by holding out two eighths of it."""

    def __init__(self, baseline: Baseline, reference: Window) -> None:
        seconds = baseline.seconds
        stretch, block = np.unique(stretch_of(reference.time, seconds), return_inverse=True)
        kept = np.isin(stretch, baseline.stretch)
        self._baseline, self._sums = baseline, baseline.features.sums(reference, block, len(stretch)).take(kept)
        self._stretch = stretch[kept]
        self._start = start_of(self._stretch, seconds)
        self._chunk = np.arange(len(self._stretch)) * CHUNKS // len(self._stretch)
        self.windows = len(self._stretch)
        self.rows_of_a_window = int(np.median(self._sums.rows))

    def splits(self, number: int, chance: Random) -> Iterator[tuple[Baseline, npt.NDArray[np.int64]]]:
        """Yield baselines of six eighths of the reference, and which stretches were held out."""
        for _ in range(number):
            out = np.isin(self._chunk, chance.choice(CHUNKS, HELD_OUT, replace=False))
            rest = replace(self._baseline, sums=self._sums.take(~out), stretch=self._stretch[~out])
            if rest.levels.possible:
                yield rest, np.flatnonzero(out)

    def healthy(self, number: int, chance: Random) -> Iterator[Tried]:
        """Yield what held-out stretches give."""
        for rest, out in self.splits(number, chance):
            yield alarms_of(rest, rest.judge_sums(self._sums.take(out), self._start[out]))

    def shifted(self, injection: Injection, share: float, number: int, chance: Random) -> Iterator[Tried]:
        """Yield what held-out stretches give of which a ``share`` of the requests shifts from the first one on."""
        changed = self._changed(injection, share, chance)
        for rest, out in self.splits(number, chance):
            looked = out[:LOOKED_FOR]
            yield alarms_of(rest, rest.judge_sums(changed.take(looked), self._start[looked]))

    def _changed(self, injection: Injection, share: float, chance: Random) -> Sums:
        """Return the sums of every stretch with rows of ``injection`` put in the place of healthy ones."""
        sums, counts = self._sums.sums.copy(), self._sums.counts.copy()
        for place, rows in enumerate(self._sums.rows):
            number = round(share * rows)
            into = chance.integers(len(injection.shifted), size=number)
            out = into if injection.paired else chance.integers(len(injection.healthy), size=number)
            lost = self._baseline.features.one(injection.healthy.rows(out))
            won = self._baseline.features.one(injection.shifted.rows(into))
            sums[place] += won.sums[0] - lost.sums[0]
            counts[place] += won.counts[0] - lost.counts[0]
        return Sums(sums, np.maximum(counts, 0), self._sums.rows)


class OverRows:
    """A reference without time, tried by holding out rows."""

    def __init__(self, baseline: Baseline, reference: Window, rows: int) -> None:
        self._baseline, self._reference, self.rows_of_a_window = baseline, reference, rows
        self.windows = len(reference) // rows

    def splits(self, number: int, windows: int, chance: Random) -> Iterator[tuple[Baseline, list[Window]]]:
        """Yield baselines of most rows, and windows of the others."""
        for _ in range(number):
            order = chance.permutation(len(self._reference))
            out, rest = order[: windows * self.rows_of_a_window], order[windows * self.rows_of_a_window :]
            held = [self._reference.rows(part) for part in np.split(out, windows)]
            yield replace(self._baseline, rows=self._reference.rows(rest)), held

    def healthy(self, number: int, chance: Random) -> Iterator[Tried]:
        """Yield what held-out windows give."""
        for rest, held in self.splits(number, max(1, self.windows // 3), chance):
            yield alarms_of(rest, [rest.judge(window, 0.0) for window in held])

    def shifted(self, injection: Injection, share: float, number: int, chance: Random) -> Iterator[Tried]:
        """Yield what held-out windows give of which a ``share`` of the requests shifts from the first one on."""
        for rest, held in self.splits(number, min(LOOKED_FOR, max(1, self.windows // 3)), chance):
            judged = []
            for window in held:
                stays = round((1 - share) * len(window))
                drawn = injection.shifted.rows(chance.integers(len(injection.shifted), size=len(window) - stays))
                judged.append(rest.judge(joined([window.rows(slice(stays)), drawn]), 0.0))
                if alarms_of(rest, judged).alarms:
                    break
            yield alarms_of(rest, judged)


def tried_on(
    baseline: Baseline,
    reference: Window,
    injections: Sequence[Injection],
    *,
    rows: int = 1000,
    seed: int = 0,
    progress: Callable[..., None] = lambda *_: None,
) -> dict[str, Any]:
    """Return how alarms of ``baseline`` do on its own ``reference``, as JSON writes it.

    ``rows`` is the size of a window where the reference has no time. Where the rest is too short for any alarm, no
    split is left and the figures are None.
    """  # fmt: skip
    healthy = as_reference(reference)
    tried_by = OverTime(baseline, healthy) if baseline.in_time else OverRows(baseline, healthy, _fitting(rows, healthy))
    chance = np.random.Generator(np.random.Philox(seed))
    steps = 1 + len(injections) * len(SHARES)
    progress("healthy traffic", 0, steps)
    found = list(tried_by.healthy(SPLITS, chance))
    shifts = []
    for number, (injection, share) in enumerate(((one, share) for one in injections for share in SHARES), start=1):
        progress(injection.name, number, steps)
        tried = list(tried_by.shifted(injection, share, SPLITS, chance))
        shifts.append({"name": injection.name, "share": share, **_noticed(tried, tried_by.rows_of_a_window)})
    return {
        "windows": tried_by.windows,
        "rows_of_a_window": tried_by.rows_of_a_window,
        "wished_a_month": baseline.settings.alarms_per_month,
        "false_alarms_a_month": _false_alarms(found, tried_by.windows, baseline.settings.windows_a_month),
        "shifts": shifts,
    }


def _fitting(rows: int, reference: Window) -> int:
    return max(1, min(rows, len(reference) // 6))


def _false_alarms(tried: Sequence[Tried], windows: int, a_month: float) -> dict[str, Any] | None:
    """Return alarms a month with the exact interval of a Poisson count over the ``windows`` that there are."""
    if not (judged := sum(one.windows for one in tried)):
        return None
    number = sum(one.alarms for one in tried) / judged * windows
    low = float(chi2.ppf(0.025, 2 * number)) / 2 if number else 0.0
    high = float(chi2.ppf(0.975, 2 * number + 2)) / 2
    scale = a_month / windows
    return Figure(number * scale, low * scale, high * scale, windows, 0.95, "Poisson, over windows").plain()


def _noticed(tried: Sequence[Tried], rows: int) -> dict[str, Any]:
    """Return in how many runs a shift was noticed, with the interval of Clopper and Pearson, and how soon."""
    if not tried:
        return {"noticed": None, "windows": None, "requests": None}
    count, after_windows = len(tried), [one.first for one in tried if one.first]
    hits = len(after_windows)
    low = float(beta.ppf(0.025, hits, count - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, count - hits)) if hits < count else 1.0
    middle = float(np.median(after_windows)) if hits else None
    return {
        "noticed": Figure(hits / count, low, high, count, 0.95, "exact, over held-out parts").plain(),
        "windows": middle,
        "requests": None if middle is None else round(middle * rows),
    }
