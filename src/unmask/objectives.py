"""Objectives: a loss is a list of terms, each a sum that is divided once, by everything that was asked in a step.

The objectives of pre-training differ in what a batch hides, asks for and lets see; their loss is the same cross
entropy. What bites: dividing each micro-batch by its own count weights rows with few masks too much. The weights of a
whole step are therefore known before the first micro-batch runs, and nothing asked divides by one: zero gradients,
never NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from unmask.batch import IGNORE_INDEX, KINDS, KINDS_AND_NEXT, Batch
from unmask.masking.mask import MaskingSettings
from unmask.masking.schedule import rate_at
from unmask.settings import Settings, Share

Floats = npt.NDArray[np.float64]

ObjectiveName = Literal["mlm", "clm", "mntp", "hybrid", "clm_then_mlm", "diffusion"]

_PLACES = (np.arange(1000) + 0.5) / 1000
"""Of a run, over which what changes on its way is averaged."""


class ObjectiveSettings(Settings):
    """What the network is trained to do."""

    name: ObjectiveName = "mlm"
    """mlm: hidden tokens. clm: each next token, seeing those before it; masking does not count. mntp: hidden tokens,
    told at the place before them, so that clm has the same head. hybrid: some rows clm, the others mntp. clm_then_mlm:
    first the one, then the other. diffusion: hidden tokens, each document at a rate of its own from 0 to 1, weighted by
    one over the rate; of masking only the unit counts, which must be token."""
    mntp_share: Share = 0.5
    """Share of the rows that hybrid hides tokens in; the others are read as clm reads them."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How that share goes over the run: not at all, or to final_mntp_share in one of two ways."""
    final_mntp_share: Share = 1.0
    """That share at the end of the run; constant does not look at it."""
    clm_share: Share = 0.5
    """Share of the run that clm_then_mlm is clm before it is mlm."""

    @property
    def predicts_next(self) -> bool:
        """Whether the trained network says at each place what the token behind it is."""
        return self.name in ("clm", "mntp", "hybrid")

    @property
    def hangs_on_length(self) -> bool:
        """Whether what a row is asked hangs on how far the run is, in shares of it."""
        return self.name == "clm_then_mlm" or (self.name == "hybrid" and self.schedule != "constant")

    def hiding_share(self, place: Floats) -> Floats:
        """Return (N,) the share of the rows that tokens are hidden in, at ``place`` (N,) of the run, from 0 to 1.

        The others are read from left to right.
        """
        match self.name:
            case "clm":
                return np.zeros_like(place)
            case "hybrid":
                return rate_at(place, self.schedule, self.mntp_share, self.final_mntp_share, ())
            case "clm_then_mlm":
                return np.where(place < self.clm_share, 0.0, 1.0)
            case _:
                return np.ones_like(place)

    @property
    def is_mixed(self) -> bool:
        """Whether some rows are read from left to right and others are not."""
        return self.name in ("hybrid", "clm_then_mlm")

    @property
    def weighs_by_rate(self) -> bool:
        """Whether a hidden token weighs one over the rate that it was hidden at, so that a row weighs by its tokens."""
        return self.name in ("mntp", "hybrid", "diffusion")

    def asked_share(self, masking: MaskingSettings) -> float:
        """Return the share of the ordinary tokens that a run asks for, on average over its length."""
        hiding = self.hiding_share(_PLACES)
        rate = np.full_like(_PLACES, 0.5) if self.name == "diffusion" else masking.rates(_PLACES)
        return float(np.mean(1 - hiding + hiding * rate))


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


Add = Callable[[Mapping[str, float]], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss: its terms, and what a batch weighs in each of them, known before the network runs."""

    terms: Callable[[nn.Module, Batch], list[Term]]
    weights: Callable[[Batch], dict[str, float]]
    """By name of the term."""
    kinds: tuple[str, ...] = KINDS
    """What the loss is told apart by, K names; ("loss",) where it is told as a whole."""

    def step_weights(self, batches: Sequence[Batch], add: Add = dict) -> dict[str, float]:
        """Return each term's denominator of a step: all that was asked in ``batches``, or 1 where that is nothing.

        ``add`` sums over the processes that each have a part of the step's batches.
        """
        weights = [self.weights(batch) for batch in batches]
        sums = add({name: sum(weight[name] for weight in weights) for name in weights[0]})
        return {name: value or 1.0 for name, value in sums.items()}


def asked_tokens(name: ObjectiveName, kinds: tuple[str, ...] = KINDS) -> Objective:
    """Return the objective ``name``: cross entropy in nats of the asked tokens (Devlin et al. 2019, section 3.1)."""

    def terms(model: nn.Module, batch: Batch) -> list[Term]:
        losses = cross_entropies(model(batch), batch.targets)  # (M,)
        weighted = losses if batch.weights is None else losses * batch.weights
        return [Term(name, weighted.sum(), asked_weight(batch), 1.0, _by_kind(batch, losses.detach(), len(kinds)))]

    return Objective(terms, lambda batch: {name: asked_weight(batch)}, kinds)


def _by_kind(batch: Batch, losses: Tensor, num_kinds: int) -> Tensor:
    """Return (2, S, K) sums of ``losses`` (M,) and counts, by source and kind."""
    num_cells = batch.num_sources * num_kinds
    cell = batch.kind  # (M,), negative at the padding
    if batch.source is not None:
        cell = torch.where(cell < 0, -1, cell + num_kinds * batch.source[batch.asked // batch.segment.shape[1]])
    is_cell = cell == torch.arange(num_cells, device=losses.device)[:, None]  # (K S, M)
    return torch.stack([(is_cell * losses).sum(1), is_cell.sum(1)]).view(2, batch.num_sources, num_kinds)


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """Return (M,) float32 cross entropies of ``logits`` (M, V), 0 where nothing is asked.

    A few rows at a time, so that what is done in float32 stays in the cache: logits in bfloat16 never become a float32
    matrix, and the way back is one product in place.
    """
    losses: Tensor = _CrossEntropies.apply(logits, targets)  # type: ignore[no-untyped-call]  # torch leaves it so
    return losses


_NUMBERS_AT_ONCE, _LEAST_ROWS = 1 << 18, 16
"""Fits the cache; and with a large vocabulary still some rows for every thread."""


class _CrossEntropies(torch.autograd.Function):
    """Keeps the softmax of the logits in their own number format; minus the truth it is the gradient."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        rows = max(_LEAST_ROWS, _NUMBERS_AT_ONCE // logits.shape[1])
        shares, norms = torch.empty_like(logits), []
        for part, share in zip(torch.split(logits, rows), torch.split(shares, rows), strict=True):
            exact = part.float()
            softmax = exact.softmax(1)
            share.copy_(softmax)
            norms.append(exact.amax(1) - softmax.amax(1).log())  # log of the sum of exp: the largest share is never 0
        true = logits.gather(1, targets.clamp(min=0)[:, None]).squeeze(1).float()
        losses = torch.where(targets == IGNORE_INDEX, 0.0, torch.cat(norms) - true)
        ctx.save_for_backward(shares, targets, losses)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        shares, targets, losses = ctx.saved_tensors
        # Rounded once for the whole row, so that the row still adds up to nothing.
        gradient = torch.where(targets == IGNORE_INDEX, 0.0, gradient).to(shares.dtype)
        shares.mul_(gradient[:, None])
        at_truth = torch.expm1(-losses) * gradient  # share - 1 itself, not what rounding leaves of it
        shares[torch.arange(len(targets), device=targets.device), targets.clamp(min=0)] = at_truth.to(shares.dtype)
        return shares, None


def asked_weight(batch: Batch) -> float:
    """Return how much is asked in a batch."""
    return float(batch.num_asked if batch.weights is None else batch.weights.sum())


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "mlm": asked_tokens("mlm"),
    "clm": asked_tokens("clm", KINDS_AND_NEXT),
    "mntp": asked_tokens("mntp"),
    "hybrid": asked_tokens("hybrid", KINDS_AND_NEXT),
    "clm_then_mlm": asked_tokens("clm_then_mlm", KINDS_AND_NEXT),
    "diffusion": asked_tokens("diffusion"),
}
