"""The optimiser and the schedule of its rate.

What bites: the schedule is a pure function of the step; nothing here remembers where the run stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The way of the rate, in steps: up over the first ``warmup`` of them, and with wsd down over the last ``decay``.

    In steps, and not in shares of the run: so it can go on past the end that was planned.
    """

    name: str
    warmup: float
    decay: float
    end: int
    begin: int = 0

    @property
    def length(self) -> int:
        """Steps from the first to the last."""
        return self.end - self.begin

    @property
    def plateau(self) -> tuple[int, int] | None:
        """The first and the last number of steps done at which the rate is neither rising nor falling, if any."""
        first = self.begin + math.ceil(self.warmup - 0.5)
        last = self.begin + math.ceil(self.length - self.decay - 0.5)
        return (first, last) if self.name == "wsd" and first <= last and last > self.begin else None

    def factor(self, step: int) -> float:
        """Return the share of the peak rate that is in force at ``step``, counted from 0."""
        at = step - self.begin + 0.5  # the middle of the step, so that neither the first nor the last is wasted
        return at / self.warmup if at < self.warmup else SCHEDULES[self.name](at, self)


def course_of(settings: ScheduleSettings, end: int, begin: int = 0) -> Course:
    """Return the course of a run from ``begin`` to ``end`` by the shares in ``settings``."""
    length = end - begin
    return Course(
        name=settings.name, warmup=settings.warmup * length, decay=settings.decay * length, end=end, begin=begin
    )


def wsd(at: float, course: Course) -> float:
    """Stable until the decay begins, then falling to zero as 1 - sqrt (Hägele et al. 2024)."""
    begin = course.length - course.decay
    return 1.0 if at < begin else 1 - math.sqrt((at - begin) / course.decay)


def linear(at: float, course: Course) -> float:
    """Falling to zero on a straight line from the end of the warm-up."""
    return (course.length - at) / (course.length - course.warmup)


def cosine(at: float, course: Course) -> float:
    """Falling to zero on half a cosine from the end of the warm-up (Loshchilov and Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * (at - course.warmup) / (course.length - course.warmup)))


SCHEDULES: dict[str, Callable[[float, Course], float]] = {"wsd": wsd, "linear": linear, "cosine": cosine}


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
