"""Budgets: what they read, and how they become steps."""

from __future__ import annotations

import pytest

from unmask.errors import SettingError
from unmask.training.budget import Budget, parse_budget, steps_for, timed_steps


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("5m", Budget(seconds=300)),
        ("90s", Budget(seconds=90)),
        ("1.5h", Budget(seconds=5400)),
        ("2d", Budget(seconds=172_800)),
        ("20_000_000tok", Budget(tokens=20_000_000)),
        ("800steps", Budget(steps=800)),
        (" 800 steps ", Budget(steps=800)),
    ],
)
def test_what_it_reads(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text", ["", "5", "m", "0m", "-5m", "5 minutes", "1e3steps", "nan s", "5m10s", "0.5steps", "2.5steps"]
)
def test_what_it_refuses(text: str) -> None:
    with pytest.raises(SettingError, match="budget must be a number above 0"):
        parse_budget(text)


def test_time_becomes_steps_by_the_median_of_the_timed_ones() -> None:
    """Two slow first steps and one hiccup do not count; evaluation and the trial itself come off the budget."""
    clock = [0.0]
    lengths = [30.0, 5.0, 1.0, 9.0, 1.0]

    def run_step(number: int) -> None:
        clock[0] += lengths[number]

    pace = timed_steps(run_step, lambda: clock[0])
    assert pace == (1.0, sum(lengths))
    steps = steps_for(Budget(seconds=200.0), step_tokens=1, pace=lambda: pace, overhead_seconds=20.0)
    assert steps == 200 - 20 - sum(lengths)


def test_tokens_steps_and_budgets_too_small() -> None:
    def never() -> tuple[float, float]:
        raise AssertionError("only a budget in time is measured")

    assert steps_for(Budget(steps=7), step_tokens=100, pace=never, overhead_seconds=0) == 7
    assert steps_for(Budget(tokens=1000), step_tokens=100, pace=never, overhead_seconds=0) == 10
    assert steps_for(Budget(tokens=1), step_tokens=100, pace=never, overhead_seconds=0) == 1
    assert steps_for(Budget(seconds=0.001), step_tokens=1, pace=lambda: (1.0, 0.1), overhead_seconds=5) == 1
