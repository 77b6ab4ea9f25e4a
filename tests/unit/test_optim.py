"""Schedules are pure functions of the step; the average of the weights is the average that it says."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unmask.errors import SettingError
from unmask.training.kept import WeightAverage
from unmask.training.optim import (
    OptimizerSettings,
    ScheduleSettings,
    clip_gradient,
    course_of,
    make_optimizer,
    set_rate,
)


@pytest.mark.parametrize("name", ["wsd", "linear", "cosine"])
@given(steps=st.integers(1, 5000), warmup=st.floats(0, 0.5), decay=st.floats(0, 0.5))
def test_every_schedule_stays_in_range_and_ends_low(name: str, steps: int, warmup: float, decay: float) -> None:
    chosen = ScheduleSettings.parse({"name": name, "warmup": warmup, "decay": decay})
    for step in {0, steps // 3, steps // 2, steps - 1}:
        assert 0 <= course_of(chosen, steps).factor(step) <= 1


def test_the_shapes_at_places_that_are_easy_to_work_out() -> None:
    chosen = ScheduleSettings(name="wsd", warmup=0.1, decay=0.4)
    assert course_of(chosen, 1000).factor(0) == pytest.approx(0.005)
    assert course_of(chosen, 1000).factor(300) == 1
    assert course_of(chosen, 1000).factor(699) == pytest.approx(1 - math.sqrt(0.0995 / 0.4))
    assert course_of(chosen, 1000).factor(999) < 0.001
    assert course_of(ScheduleSettings(name="linear", warmup=0.1), 1000).factor(549) == pytest.approx(0.5, abs=1e-3)
    assert course_of(ScheduleSettings(name="cosine", warmup=0.1), 1000).factor(549) == pytest.approx(0.5, abs=1e-3)
    assert course_of(ScheduleSettings(name="linear", warmup=0), 10).factor(0) == pytest.approx(0.95)


def test_shares_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SettingError, match=r"warmup \+ decay must be at most 1, got 1.2"):
        ScheduleSettings.parse({"warmup": 0.6, "decay": 0.6})


def test_matrices_decay_and_vectors_do_not() -> None:
    model = nn.Linear(3, 3)
    optimizer = make_optimizer(model, OptimizerSettings(learning_rate=0.1, weight_decay=0.5))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.allclose(model.weight, before[0] * (1 - 0.1 * 0.5))
    assert torch.equal(model.bias, before[1])


def test_a_step_at_rate_zero_moves_nothing() -> None:
    model = nn.Linear(3, 3)
    optimizer = make_optimizer(model, OptimizerSettings())
    set_rate(optimizer, 0.0)
    before = model.weight.detach().clone()
    model(torch.randn(4, 3)).square().sum().backward()
    optimizer.step()
    assert torch.equal(model.weight, before)


def test_clipping_scales_to_the_limit_and_zero_leaves_the_gradient() -> None:
    weight = nn.Parameter(torch.zeros(4))
    for limit, norm in ((1.0, 1.0), (0.0, 6.0), (10.0, 6.0)):
        weight.grad = torch.full((4,), 3.0)
        assert clip_gradient([weight], limit).item() == pytest.approx(6.0)
        assert weight.grad.norm().item() == pytest.approx(norm, rel=1e-4)


def test_the_average_agrees_with_its_slow_twin_and_swaps_both_ways() -> None:
    model = nn.Linear(2, 2, bias=False)
    average, slow = WeightAverage(model, 0.9), model.weight.detach().clone()
    for step in range(1, 40):
        with torch.no_grad():
            model.weight += torch.randn(2, 2)
        average.update(model, step)
        decay = min(0.9, (1 + step) / (10 + step))
        slow = decay * slow + (1 - decay) * model.weight.detach()
    assert torch.allclose(average.weights["weight"], slow, atol=1e-5)
    trained = model.weight.detach().clone()
    average.exchange(model)
    assert torch.allclose(model.weight, slow, atol=1e-5)
    average.exchange(model)
    assert torch.equal(model.weight, trained)


def test_no_average_is_kept_at_decay_zero() -> None:
    model = nn.Linear(2, 2)
    average = WeightAverage(model, 0.0)
    average.update(model, 1)
    before = model.weight.detach().clone()
    average.exchange(model)
    assert average.weights == {}
    assert torch.equal(model.weight, before)
