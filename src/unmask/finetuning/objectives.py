"""What each task's network is trained to do: one term, summed over texts, words or pairs and divided once a step.

What bites: a contrastive pair learns from the other pairs beside it, so there micro-batches would change the loss.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unmask.batch import Batch
from unmask.objectives import Objective, Term, asked_weight, cross_entropies

SHARPNESS = 20.0
"""Scale of the cosines of contrastive pairs (Henderson et al. 2017; the usual value for sentence embeddings)."""

NAME = "task"


def classify_loss(model: nn.Module, batch: Batch) -> list[Term]:
    """Cross entropy in nats of the one class of each text, or the mean over classes where it may have several."""
    scores = model(batch).float()  # (R, C)
    if batch.truth is None:
        losses = cross_entropies(scores, batch.targets[: batch.num_asked])
    else:
        losses = F.binary_cross_entropy_with_logits(scores, batch.truth, reduction="none").mean(1)
    weights = None if batch.weights is None else batch.weights[: batch.num_asked]
    return _term(losses if weights is None else losses * weights, asked_weight(batch), batch.num_asked)


def tag_loss(model: nn.Module, batch: Batch) -> list[Term]:
    """Cross entropy in nats of the tag of each word."""
    losses = cross_entropies(model(batch), batch.targets)  # (M,)
    return _term(losses if batch.weights is None else losses * batch.weights, asked_weight(batch), batch.num_asked)


def answer_loss(model: nn.Module, batch: Batch) -> list[Term]:
    """Mean cross entropy in nats of an answer's first and last token among the window's (Devlin et al. 2019, 4.2).

    The first token stands for no answer.
    """
    assert batch.truth is not None
    scores = model(batch).float().masked_fill(batch.segment[..., None] == 0, -torch.inf)  # (R, L, 2)
    losses = F.cross_entropy(scores, batch.truth, reduction="none").mean(1)
    return _term(losses, asked_weight(batch), batch.num_asked)


def scored_pair_loss(model: nn.Module, batch: Batch) -> list[Term]:
    """Squared difference between the cosine of each pair of rows and its score."""
    assert batch.truth is not None
    one, two = _pairs(model, batch)
    return _term(((one * two).sum(1) - batch.truth) ** 2, pair_weight(batch), len(one))


def contrastive_loss(model: nn.Module, batch: Batch) -> list[Term]:
    """Cross entropy in nats of each text's partner among all partners of the batch (Henderson et al. 2017, 4.4)."""
    one, two = _pairs(model, batch)
    own = torch.arange(len(one), device=one.device)
    return _term(F.cross_entropy(SHARPNESS * one @ two.mT, own, reduction="none"), pair_weight(batch), len(one))


def pair_weight(batch: Batch) -> float:
    """Return how many pairs a batch holds."""
    return len(batch.segment) / 2


def _pairs(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return (P, D) unit vectors of the even rows and of the odd ones."""
    vectors = F.normalize(model(batch).float(), dim=1)
    return vectors[0::2], vectors[1::2]


def _term(losses: Tensor, weight: float, count: int) -> list[Term]:
    whole = torch.stack([losses.detach().sum(), losses.new_tensor(count)])
    return [Term(NAME, losses.sum(), weight, 1.0, whole.view(2, 1, 1))]


def _objective(
    terms: Callable[[nn.Module, Batch], list[Term]], weight: Callable[[Batch], float] = asked_weight
) -> Objective:
    return Objective(terms, lambda batch: {NAME: weight(batch)}, kinds=("loss",))


OBJECTIVES: dict[str, Objective] = {
    "classify": _objective(classify_loss),
    "tag": _objective(tag_loss),
    "answer": _objective(answer_loss),
    "embed": _objective(scored_pair_loss, pair_weight),
    "contrast": _objective(contrastive_loss, pair_weight),
}
"""By the name of the task; ``contrast`` is embed where the pairs have no scores."""
