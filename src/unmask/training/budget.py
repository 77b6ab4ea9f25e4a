"""How long a run is: a budget in time, tokens or steps becomes a number of steps, once.

What bites: a budget in time is measured on a few steps before the run and stored; from then on everything is a function
of the step, and the run takes the time that those steps take, not exactly the time that was asked.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from unmask.errors import SettingError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WARM, _LEAST, _MOST = 2, 3, 40
_ENOUGH_SECONDS = 4.0  # of trial steps, once the least number of them is timed


@dataclass(frozen=True, slots=True)
class Budget:
    """One of seconds, tokens and steps."""

    seconds: float | None = None
    tokens: int | None = None
    steps: int | None = None


def parse_budget(text: str) -> Budget:
    """Read ``NUMBER(s|m|h|d|tok|steps)``, as in 5m, 1.5h, 20_000_000tok, 800steps. Raises SettingError."""
    found = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*(s|m|h|d|tok|steps)", text.strip())
    if found is None or float(found[1]) <= 0 or (found[2] == "steps" and not float(found[1]).is_integer()):
        raise SettingError(
            f"budget must be a number above 0 and s, m, h, d, tok or steps (5m, 20000000tok), got {text!r}"
        )
    number, unit = float(found[1]), found[2]
    if unit in _SECONDS:
        return Budget(seconds=number * _SECONDS[unit])
    return Budget(tokens=int(number)) if unit == "tok" else Budget(steps=int(number))


def timed_steps(run_step: Callable[[int], None], clock: Callable[[], float] = time.perf_counter) -> tuple[float, float]:
    """Return the seconds that a step takes, the median of a few, and the seconds that it took to find out.

    ``run_step(n)`` runs the n-th trial step. ``clock`` tells the seconds: processes that take the steps together must
    read the same one.
    """
    start, seconds = clock(), []
    for number in range(_WARM + _MOST):
        before = clock()
        run_step(number)
        now = clock()
        seconds.append(now - before)
        if len(seconds) >= _WARM + _LEAST and now - start > _ENOUGH_SECONDS:
            break
    return statistics.median(seconds[_WARM:]), clock() - start


def steps_for(
    budget: Budget, *, step_tokens: float, pace: Callable[[], tuple[float, float]], overhead_seconds: float
) -> int:
    """Return the number of steps that ``budget`` pays for, at least one.

    ``step_tokens`` real tokens pass in a step, ``pace`` is what :func:`timed_steps` returns, asked of a budget in time
    alone and itself a part of it, as is ``overhead_seconds``: what evaluation and saving will take.
    """
    if budget.steps is not None:
        return budget.steps
    if budget.tokens is not None:
        return max(1, round(budget.tokens / step_tokens))
    assert budget.seconds is not None
    step_seconds, spent = pace()
    return max(1, int((budget.seconds - overhead_seconds - spent) / step_seconds))
