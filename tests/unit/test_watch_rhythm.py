from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from unmask.watch.rhythm import DAY, WEEK, finest_rhythm, phase_of, start_of, stretch_of


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("seconds", [900, 3600, DAY, WEEK])
def test_a_time_lies_in_its_stretch(seconds: int) -> None:
    times = at("2026-11-24T13:07:11") + np.arange(0, 3 * WEEK, 12_345.0)
    start = start_of(stretch_of(times, seconds), seconds)
    assert (start <= times).all()
    assert (times < start + seconds).all()


def test_weeks_begin_on_monday_and_days_at_midnight() -> None:
    [week] = start_of(stretch_of(np.array([at("2026-11-24T13:07")]), WEEK), WEEK)
    [day] = start_of(stretch_of(np.array([at("2026-11-24T13:07")]), DAY), DAY)
    assert week == at("2026-11-23")
    assert day == at("2026-11-24")


def test_phases_are_weekdays_and_hours() -> None:
    times = np.array([at("2026-11-23T00:30"), at("2026-11-28T05:00"), at("2026-11-29T23:59")])
    assert phase_of(times, "weekday").tolist() == [0, 5, 6]
    assert phase_of(times, "weekend").tolist() == [0, 1, 1]
    assert phase_of(times, "hour").tolist() == [0, 5, 23]
    assert phase_of(times, "weekday and hour").tolist() == [0, 125, 167]
    assert phase_of(times, "none").tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("days", "seconds", "rhythm"),
    [
        (28, DAY, "weekday"),
        (27, DAY, "weekend"),  # one Sunday is missing
        (9, DAY, "none"),
        (28, 3600, "weekday and hour"),
        (14, 3600, "weekend and hour"),
        (5, 3600, "hour"),
        (2, 3600, "none"),
        (70, WEEK, "none"),
    ],
)
def test_the_finest_rhythm_that_the_reference_knows(days: int, seconds: int, rhythm: str) -> None:
    start = at("2026-09-28") + np.arange(0, days * DAY, seconds, dtype=np.float64)
    assert finest_rhythm(start, seconds) == rhythm
