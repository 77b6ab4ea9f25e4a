"""How the rate of masking goes over a run: pure functions of the place in the run.

A rate that falls from 0.30 to 0.15 beats either alone at equal steps (Ankner et al. 2023, "Dynamic masking rate
schedules for MLM pretraining"). What bites: training losses at different rates are answers to different questions; only
the frozen set compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

ScheduleName = Literal["constant", "linear", "cosine", "steps"]
Places = npt.NDArray[np.float64]

Way = Callable[[Places, Sequence[float]], Places]
"""From places in the run, 0 to 1, and the places of its steps to how much of the way to the last rate is behind."""


def _constant(place: Places, _: Sequence[float]) -> Places:
    return np.zeros_like(place)


def _linear(place: Places, _: Sequence[float]) -> Places:
    return place


def _cosine(place: Places, _: Sequence[float]) -> Places:
    return np.asarray((1 - np.cos(math.pi * place)) / 2)


def _steps(place: Places, steps: Sequence[float]) -> Places:
    return np.searchsorted(np.array(steps), place, side="right") / len(steps)


SCHEDULES: dict[ScheduleName, Way] = {"constant": _constant, "linear": _linear, "cosine": _cosine, "steps": _steps}


def rate_at(place: Places, name: ScheduleName, first: float, last: float, steps: Sequence[float]) -> Places:
    """Return the rates in force at ``place`` (N,), in shares of the run from 0 to 1, on the way from first to last."""
    return np.asarray(first + (last - first) * SCHEDULES[name](place, steps))
