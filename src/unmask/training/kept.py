"""The weights that a run hands on, where they are not the ones in training: their average, or the best of them.

What bites: a resumed run must hand on the same weights, so all that decides them stands in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class KeptWeights:
    """The weights that are used and handed on, where they are not those in training: here, none.

    The loop tells it of every step and every evaluation; a checkpoint holds ``weights`` and :meth:`state`.
    """

    def __init__(self) -> None:
        """Keep none."""
        self.weights: dict[str, Tensor] = {}

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` steps."""

    def exchange(self, model: nn.Module) -> None:
        """Swap what is evaluated and the weights of ``model``; a second call swaps them back."""

    def judge(self, model: nn.Module, step: int, line: Mapping[str, Any]) -> None:
        """Take in the evaluation ``line`` of ``step``."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing better is to be expected, so that training may end."""
        return False

    def state(self) -> dict[str, Any]:
        """Return what a later attempt goes on from beside the weights."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""


class WeightAverage(KeptWeights):
    """An exponential moving average of the weights, kept in float32 beside them; ``decay`` 0 keeps none.

    Corrected for its start, so that early averages are not pulled towards the initial weights: the decay in force after
    n steps is min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the weights as they are."""
        super().__init__()
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.named_parameters()} if decay else {}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the weights after ``step`` steps."""
        if self.decay:
            share = 1 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.weights.values()), [p.detach() for p in model.parameters()], share)

    @torch.no_grad()
    def exchange(self, model: nn.Module) -> None:
        """Swap the average and the weights of ``model``."""
        for name, parameter in model.named_parameters():
            if name in self.weights:
                kept = parameter.detach().clone()
                parameter.copy_(self.weights[name])
                self.weights[name].copy_(kept)


class BestWeights(KeptWeights):
    """The weights of the best evaluation so far, by the figure ``score`` of its line; the first of equals.

    ``patience`` evaluations without a better one end the training; 0 goes to the end.
    """

    def __init__(self, model: nn.Module, patience: int) -> None:
        """Start from the weights as they are."""
        super().__init__()
        self.patience = patience
        self.weights = {name: value.detach().clone() for name, value in model.named_parameters()}
        self.score: float | None = None
        self.step, self.waited = 0, 0

    @torch.no_grad()
    def judge(self, model: nn.Module, step: int, line: Mapping[str, Any]) -> None:
        """Keep the weights where the line's score is the best, and count the evaluations since where it is not."""
        if self.score is None or line["score"] > self.score:
            self.score, self.step, self.waited = line["score"], step, 0
            for name, parameter in model.named_parameters():
                self.weights[name].copy_(parameter)
        else:
            self.waited += 1

    @property
    def is_settled(self) -> bool:
        """Whether the patience is used up."""
        return 0 < self.patience <= self.waited

    def state(self) -> dict[str, Any]:
        """Return the best score, its step and the evaluations since."""
        return {"best": {"score": self.score, "step": self.step, "waited": self.waited}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        best = state["best"]
        self.score, self.step, self.waited = best["score"], best["step"], best["waited"]
