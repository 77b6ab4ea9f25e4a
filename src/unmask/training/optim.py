"""The optimiser, the schedule of its rate and the average of the weights.

What bites: the schedule is a pure function of the step; nothing here remembers where the run stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from unmask.settings import NonNegative, OpenShare, Positive, Settings, Share, ShareBelowOne


class OptimizerSettings(Settings):
    """How the weights are moved."""

    name: Literal["adamw"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019)."""
    learning_rate: Positive = 1e-3
    """Peak rate."""
    weight_decay: NonNegative = 0.01
    """Decay of matrices, embeddings among them; biases and norms are left alone."""
    betas: tuple[OpenShare, OpenShare] = (0.9, 0.98)
    """Decay rates of the running mean and the running square of the gradient."""
    clip: NonNegative = 1.0
    """Largest norm of the gradient; 0 does not clip."""


class ScheduleSettings(Settings):
    """How the rate goes over the run, in shares of the run."""

    name: Literal["wsd", "linear", "cosine"] = "wsd"
    """Warm-up-stable-decay, or warm-up and then a linear or cosine decay to zero."""
    warmup: ShareBelowOne = 0.1
    """Share of the run in which the rate rises from zero."""
    decay: Share = 0.4
    """Share of the run in which wsd falls to zero."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.name == "wsd" and self.warmup + self.decay > 1:
            raise ValueError(f"warmup + decay must be at most 1, got {self.warmup + self.decay:g}")
        return self


def wsd(place: float, settings: ScheduleSettings) -> float:
    """Stable until the decay begins, then falling to zero as 1 - sqrt (Hägele et al. 2024)."""
    begin = 1 - settings.decay
    return 1.0 if place < begin else 1 - math.sqrt((place - begin) / settings.decay)


def linear(place: float, settings: ScheduleSettings) -> float:
    """Falling to zero on a straight line from the end of the warm-up."""
    return (1 - place) / (1 - settings.warmup)


def cosine(place: float, settings: ScheduleSettings) -> float:
    """Falling to zero on half a cosine from the end of the warm-up (Loshchilov and Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * (place - settings.warmup) / (1 - settings.warmup)))


SCHEDULES: dict[str, Callable[[float, ScheduleSettings], float]] = {"wsd": wsd, "linear": linear, "cosine": cosine}


def rate_factor(step: int, max_steps: int, settings: ScheduleSettings) -> float:
    """Return the share of the peak rate that is in force at ``step``, counted from 0."""
    place = (step + 0.5) / max_steps  # the middle of the step, so that neither the first nor the last is wasted
    if place < settings.warmup:
        return place / settings.warmup
    return SCHEDULES[settings.name](place, settings)


def make_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return the optimiser over the parameters of ``model``; matrices decay, vectors do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [parameter for parameter in parameters if parameter.ndim >= 2],
            "weight_decay": settings.weight_decay,
        },
        {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, eps=1e-8, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class WeightAverage:
    """An exponential moving average of the weights, kept in float32 beside them; ``decay`` 0 keeps none.

    Corrected for its start, so that early averages are not pulled towards the initial weights: the decay in force after
    n steps is min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the weights as they are."""
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.named_parameters()} if decay else {}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` steps."""
        if self.decay:
            share = 1 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.weights.values()), [p.detach() for p in model.parameters()], share)

    @torch.no_grad()
    def exchange(self, model: nn.Module) -> None:
        """Swap the average and the weights of ``model``; a second call swaps them back."""
        for name, parameter in model.named_parameters():
            if name in self.weights:
                kept = parameter.detach().clone()
                parameter.copy_(self.weights[name])
                self.weights[name].copy_(kept)


def clip_gradient(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """Scale the gradient to a norm of at most ``limit`` (0: leave it) and return the norm it had, ()."""
    return nn.utils.clip_grad_norm_(parameters, limit or math.inf, foreach=True)
