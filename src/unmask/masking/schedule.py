"""How the rate of masking goes over a run: pure functions of the place in the run.

A rate that falls from 0.30 to 0.15 beats either alone at equal steps (Ankner et al. 2023, "Dynamic masking rate schedules for
MLM pretraining"). What bites: training losses at different rates are different questions; only the frozen set compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from unmask.settings import Settings, Share

Places = npt.NDArray[np.float64]


class RateSchedule(Settings):
    """The settings of ``masking.schedule``: where the rate goes from ``masking.mlm_probability``, and how."""

    name: Literal["constant", "linear", "cosine", "steps"] = "constant"
    """The shape of the way."""
    final: Share = 0.15
    """The rate at the end of the run; constant does not look at it."""
    steps: tuple[Share, ...] = (0.5,)
    """Where steps changes the rate, in shares of the run, ascending; the rate goes down by equal parts."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"steps must ascend, got {', '.join(f'{step:g}' for step in self.steps)}")
        return self


def _constant(place: Places, _: RateSchedule) -> Places:
    return np.zeros_like(place)


def _linear(place: Places, _: RateSchedule) -> Places:
    return place


def _cosine(place: Places, _: RateSchedule) -> Places:
    return np.asarray((1 - np.cos(math.pi * place)) / 2)


def _steps(place: Places, schedule: RateSchedule) -> Places:
    return np.searchsorted(np.array(schedule.steps), place, side="right") / max(1, len(schedule.steps))


WAYS: dict[str, Callable[[Places, RateSchedule], Places]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "steps": _steps,
}
"""How much of the way from the first rate to the last lies behind, 0 to 1, at each place of the run."""


def rate_at(place: Places, first: float, schedule: RateSchedule) -> Places:
    """Return the rates in force at ``place`` (N,), in shares of the run from 0 to 1, on the way from ``first``."""
    way = WAYS[schedule.name](np.clip(place, 0.0, 1.0), schedule)
    return np.asarray(first + (schedule.final - first) * way)
