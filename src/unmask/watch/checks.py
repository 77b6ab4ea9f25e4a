"""What checks have found so far, window by window: the file beside a baseline (``unmask-checks`` 1).

What bites: a window is judged once. Whoever checks late is told of every window that ended meanwhile, and whoever
checks often is told nothing new until the next one has ended, so looking often costs no false alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from unmask import files
from unmask.errors import DataError, UserError
from unmask.watch.alarms import Alarm, Judged, Wealth, after
from unmask.watch.baseline import Baseline
from unmask.watch.features import Sums
from unmask.watch.rhythm import start_of, stretch_of
from unmask.watch.window import Window

FORMAT, VERSION = "unmask-checks", 1
MOST_KEPT = 400
"""Windows that are remembered; older ones are forgotten."""
MOST_DUE = 400
"""Windows that are judged at once; of more that ended meanwhile, only the newest are."""


@dataclass(frozen=True, slots=True)
class Event:
    """An alarm that began or was over with the window that starts at ``time``."""

    time: float
    what: str
    signals: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON writes it."""
        return {"time": self.time, "what": self.what, "signals": list(self.signals)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """Where the checks against one baseline stand."""

    baseline: str
    """The checksum of its file."""
    until: float | None = None
    """When the last window ended that was looked at."""
    skipped: int = 0
    """Windows that had too few requests."""
    judged: tuple[Judged, ...] = ()
    alarm: Alarm | None = None
    events: tuple[Event, ...] = ()
    wealth: Wealth = field(default_factory=Wealth)
    seen: tuple[list[list[float]], ...] = ()
    """Sums, counts and rows of the windows so far, which the mode anytime needs."""
    unsent: tuple[Mapping[str, Any], ...] = ()
    """Messages that nobody took yet."""
    latest: Mapping[str, Any] | None = None
    """What is told of the newest window."""

    def due(self, now: float, seconds: int) -> list[float]:
        """Return when the windows begin that have ended by ``now`` and were not looked at: at first, the newest."""
        running = int(stretch_of(np.array([now]), seconds)[0])
        first = running - 1
        if self.until is not None:
            first = max(int(stretch_of(np.array([self.until]), seconds)[0]), running - MOST_DUE)
        return [float(start) for start in start_of(np.arange(first, running), seconds)]

    def past(self, end: float) -> Self:
        """Return these checks after a window with too few requests that ended at ``end``."""
        return replace(self, until=end, skipped=self.skipped + 1)

    def after(self, baseline: Baseline, window: Window, start: float, seed: int = 0) -> Self:
        """Return these checks after ``window``, measured against ``baseline``, which began at ``start``."""
        judged = baseline.judge(window, start)
        history = (*self.judged, judged)[-MOST_KEPT:]
        now = replace(self, until=start + baseline.seconds, judged=history)
        if baseline.settings.mode == "anytime":
            now = now.bet(baseline, window, seed)
        else:
            alarm = after(self.alarm, history, baseline.levels, baseline.settings.least_effect)
            now = replace(now, alarm=alarm)
        return replace(now, events=(*self.events, *_events(self.alarm, now.alarm, start))[-MOST_KEPT:])

    def bet(self, baseline: Baseline, window: Window, seed: int) -> Self:
        """Return these checks after the newest window was bet on; an alarm stays until there is a new baseline."""
        one = baseline.features.one(window)
        seen = (*self.seen, [part[0].tolist() if part.ndim > 1 else [float(part[0])] for part in one.parts()])
        sums, counts, rows = (np.array([of_window[part] for of_window in seen]) for part in range(3))
        newest = self.judged[-1]
        starts = np.array([judged.start for judged in self.judged[-len(seen) :]])
        wealth = baseline.bet(self.wealth, Sums(sums, counts, rows[:, 0]), starts, newest, seed)
        alarm = self.alarm
        if alarm is None and wealth.value >= 1 / baseline.settings.ever:
            rarest = min(newest.p.values())
            alarm = Alarm(newest.start, frozenset(name for name, p in newest.p.items() if p <= rarest))
        return replace(self, wealth=wealth, seen=seen, alarm=alarm)

    def plain(self) -> dict[str, Any]:
        """Return them as JSON writes them."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "baseline": self.baseline,
            "until": self.until,
            "skipped": self.skipped,
            "judged": [one.plain() for one in self.judged],
            "alarm": None if self.alarm is None else self.alarm.plain(),
            "events": [one.plain() for one in self.events],
            "wealth": {"windows": self.wealth.windows, "at_stake": self.wealth.at_stake},
            "seen": list(self.seen),
            "unsent": list(self.unsent),
            "latest": self.latest,
        }


def _events(before: Alarm | None, now: Alarm | None, start: float) -> list[Event]:
    """Return what the window that began at ``start`` changed."""
    if now is None:
        return [] if before is None else [Event(start, "over", tuple(sorted(before.signals)))]
    new = now.signals if before is None else now.signals - before.signals
    return [Event(start, "alarm" if before is None else "more", tuple(sorted(new)))] if new else []


def read_checks(path: Path, baseline: str) -> Checks:
    """Return the checks in the file ``path``, or none yet where it is missing or of another baseline.

    Raises DataError where it is damaged.
    """
    if not path.is_file():
        return Checks(baseline=baseline)
    values = files.read_object(path, UserError)
    if files.sealed(values) != values or (values.get("format"), values.get("version")) != (FORMAT, VERSION):
        raise DataError(path, f"is damaged or not of {FORMAT} {VERSION}; remove it to begin anew")
    if values["baseline"] != baseline:
        return Checks(baseline=baseline)
    return Checks(
        baseline=baseline,
        until=values["until"],
        skipped=values["skipped"],
        judged=tuple(Judged(**one) for one in values["judged"]),
        alarm=None if values["alarm"] is None else Alarm.from_plain(values["alarm"]),
        events=tuple(Event(one["time"], one["what"], tuple(one["signals"])) for one in values["events"]),
        wealth=Wealth(**values["wealth"]),
        seen=tuple(values["seen"]),
        unsent=tuple(values["unsent"]),
        latest=values["latest"],
    )


def write_checks(path: Path, checks: Checks) -> None:
    """Write ``checks`` to ``path``, whole or not at all."""
    files.write_json(path, files.sealed(checks.plain()))
