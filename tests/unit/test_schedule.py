"""The rate of masking over a run: hand-made values, and what every way has in common."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.masking.mask import MaskingSettings
from unmask.masking.schedule import SCHEDULES, ScheduleName, rate_at

PLACES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("constant", [0.3, 0.3, 0.3, 0.3, 0.3]),
        ("linear", [0.3, 0.2625, 0.225, 0.1875, 0.15]),
        ("cosine", [0.3, 0.225 + 0.075 * math.sqrt(0.5), 0.225, 0.225 - 0.075 * math.sqrt(0.5), 0.15]),
        ("steps", [0.3, 0.3, 0.225, 0.225, 0.15]),
    ],
)
def test_rates_by_hand(name: ScheduleName, rates: list[float]) -> None:
    settings = MaskingSettings(schedule=name, schedule_steps=(0.4, 0.9))
    assert settings.rates(PLACES) == pytest.approx(rates)


@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    first=st.floats(0.01, 1),
    last=st.floats(0.01, 1),
    steps=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True).map(sorted),
)
def test_every_way_begins_at_the_first_rate_and_stays_between(
    name: ScheduleName, first: float, last: float, steps: list[float]
) -> None:
    rates = rate_at(np.linspace(0, 1, 50), name, first, last, steps)
    assert rates[0] == first
    assert rates[-1] == pytest.approx(first if name == "constant" else last)
    assert (np.diff(rates) * np.sign(last - first) >= -1e-12).all()


def test_every_name_has_its_way() -> None:
    assert set(get_args(ScheduleName)) == set(SCHEDULES)
