"""Stretches of time and the rhythm of a week: which stretches of the reference a new one may be compared with.

What bites: requests of one hour are alike, so chance is drawn over whole stretches, never over requests, wherever the
reference was seen over time; and a Sunday is only compared with what it shares its rhythm with.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from unmask.watch.window import Floats

Span = Literal["15m", "1h", "6h", "1d", "7d"]
SECONDS: Final[dict[Span, int]] = {"15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "7d": 604_800}
DAY, WEEK, MONTH = 86_400, 604_800, 30 * 86_400
_MONDAY = 4 * DAY  # 1 January 1970 was a Thursday

Rhythm = Literal["weekday and hour", "weekend and hour", "weekday", "weekend", "hour", "none"]
RHYTHMS: Final[tuple[Rhythm, ...]] = ("weekday and hour", "weekend and hour", "weekday", "weekend", "hour", "none")
"""Finest first."""
_OF_DAYS: Final[tuple[Rhythm, ...]] = ("weekday", "weekend")
LEAST_OF_A_PHASE = 4
"""Stretches of each phase of a rhythm that the reference must have."""

Places = npt.NDArray[np.int64]


def stretch_of(time: Floats, seconds: int) -> Places:
    """Return (N,) the number of the stretch of ``seconds`` that each time falls in; they begin at midnight UTC."""
    return np.floor((time - _MONDAY) / seconds).astype(np.int64)


def start_of(stretch: Places, seconds: int) -> Floats:
    """Return when stretches begin, in unix seconds."""
    return np.asarray(stretch * float(seconds) + _MONDAY)


def phase_of(start: Floats, rhythm: Rhythm) -> Places:
    """Return (B,) the phase of stretches that begin at ``start``: 0 is Monday at midnight UTC."""
    since_monday = np.mod(np.asarray(start, np.float64) - _MONDAY, WEEK)
    weekday, hour = (since_monday // DAY).astype(np.int64), (since_monday % DAY // 3600).astype(np.int64)
    weekend = (weekday >= 5).astype(np.int64)
    phases = {
        "weekday and hour": weekday * 24 + hour,
        "weekend and hour": weekend * 24 + hour,
        "weekday": weekday,
        "weekend": weekend,
        "hour": hour,
        "none": np.zeros_like(hour),
    }
    return phases[rhythm]


def finest_rhythm(start: Floats, seconds: int) -> Rhythm:
    """Return the finest rhythm of which stretches that begin at ``start`` (B,) have enough of every phase.

    Every phase that a week can have is there, so that no later stretch finds nothing to be compared with.
    """
    week = _MONDAY + np.arange(0, WEEK, min(seconds, WEEK), dtype=np.float64)
    for rhythm in RHYTHMS[:-1] if seconds < DAY else _OF_DAYS:
        wanted = np.unique(phase_of(week, rhythm))
        seen, counts = np.unique(phase_of(start, rhythm), return_counts=True)
        if len(wanted) > 1 and np.array_equal(wanted, seen) and counts.min() >= LEAST_OF_A_PHASE:
            return rhythm
    return "none"
