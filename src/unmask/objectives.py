"""Objectives: a loss is a list of terms, each a sum that is divided once, by everything that was asked in a step.

What bites: dividing each micro-batch by its own count weights rows with few masks too much. The weights of a whole step
are therefore known before the first micro-batch runs, and nothing asked divides by one: zero gradients, never NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unmask.batch import IGNORE_INDEX, KINDS, Batch
from unmask.settings import Settings


class ObjectiveSettings(Settings):
    """What the network is trained to do."""

    name: Literal["mlm"] = "mlm"
    """Masked language modelling."""


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a loss on one micro-batch; a step adds up coefficient * loss_sum and divides by all weight_sum."""

    name: str
    loss_sum: Tensor
    """() with gradient."""
    weight_sum: float
    """What this micro-batch brings to the denominator."""
    coefficient: float
    by_kind: Tensor
    """(2, S, K) float32 without gradient: sums of loss and counts, by source and by the objective's kinds."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss: its terms, and what a batch weighs in each of them, known before the network runs."""

    terms: Callable[[nn.Module, Batch], list[Term]]
    weights: Callable[[Batch], dict[str, float]]
    """By name of the term."""
    kinds: tuple[str, ...] = KINDS
    """What the loss is told apart by, K names; ("loss",) where it is told as a whole."""

    def step_weights(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Return each term's denominator of a step: all that was asked in ``batches``, or 1 where that is nothing."""
        weights = [self.weights(batch) for batch in batches]
        return {name: sum(weight[name] for weight in weights) or 1.0 for name in weights[0]}


def masked_language_modelling(model: nn.Module, batch: Batch) -> list[Term]:
    """Cross entropy in nats at the asked positions (Devlin et al. 2019, section 3.1)."""
    losses = cross_entropies(model(batch), batch.targets)  # (M,)
    weighted = losses if batch.weights is None else losses * batch.weights
    return [Term("mlm", weighted.sum(), asked_weight(batch), 1.0, _by_kind(batch, losses.detach()))]


def _by_kind(batch: Batch, losses: Tensor) -> Tensor:
    """Return (2, S, 3) sums of ``losses`` (M,) and counts, by source and kind."""
    num_cells = batch.num_sources * len(KINDS)
    cell = batch.kind  # (M,), negative at the padding
    if batch.source is not None:
        cell = torch.where(cell < 0, -1, cell + len(KINDS) * batch.source[batch.asked // batch.segment.shape[1]])
    is_cell = cell == torch.arange(num_cells, device=losses.device)[:, None]  # (3 S, M)
    return torch.stack([(is_cell * losses).sum(1), is_cell.sum(1)]).view(2, batch.num_sources, len(KINDS))


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """Return (M,) float32 cross entropies of ``logits`` (M, V), 0 where nothing is asked."""
    return functional.cross_entropy(logits.float(), targets, ignore_index=IGNORE_INDEX, reduction="none")


def asked_weight(batch: Batch) -> float:
    """Return how much is asked in a batch."""
    return float(batch.num_asked if batch.weights is None else batch.weights.sum())


OBJECTIVES: dict[str, Objective] = {
    "mlm": Objective(masked_language_modelling, lambda batch: {"mlm": asked_weight(batch)}),
}
