"""The optimiser and the schedule of its rate.

What bites: the schedule is a pure function of the step; nothing here remembers where the run stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
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


def make_optimizer(
    model: nn.Module, settings: OptimizerSettings, scales: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """Return the optimiser over the parameters of ``model``; matrices decay, vectors do not.

    ``scales`` is the share of the rate that a parameter learns at, by its name, where that is not 1.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {(True, 1.0): [], (False, 1.0): []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter.ndim >= 2, (scales or {}).get(name, 1.0)), []).append(parameter)
    described = [
        {"params": parameters, "weight_decay": settings.weight_decay if decays else 0.0, "scale": scale}
        for (decays, scale), parameters in groups.items()
    ]
    return torch.optim.AdamW(described, lr=settings.learning_rate, betas=settings.betas, eps=1e-8, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate, of which every group takes its share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def clip_gradient(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """Scale the gradient to a norm of at most ``limit`` (0: leave it) and return the norm it had, ()."""
    return nn.utils.clip_grad_norm_(parameters, limit or math.inf, foreach=True)
