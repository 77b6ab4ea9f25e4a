"""The best weights are kept, the first of equals, and patience counts evaluations without a better one."""

from __future__ import annotations

import torch
from torch import nn

from unmask.training.kept import BestWeights, KeptWeights


def judged(scores: list[float], patience: int = 0) -> tuple[BestWeights, list[bool]]:
    """Let the weights be the number of the evaluation; return what is kept, and whether it was settled after each."""
    model = nn.Linear(1, 1, bias=False)
    kept, settled = BestWeights(model, patience), []
    for step, score in enumerate(scores):
        model.weight.data.fill_(float(step))
        kept.judge(model, step, {"score": score})
        settled.append(kept.is_settled)
    return kept, settled


def test_the_first_of_the_best_is_kept() -> None:
    kept, settled = judged([0.1, 0.4, 0.3, 0.4, 0.2])
    assert kept.weights["weight"].item() == 1
    assert kept.state() == {"best": {"score": 0.4, "step": 1, "waited": 3}}
    assert not any(settled)


def test_patience_ends_it() -> None:
    assert judged([0.1, 0.4, 0.3, 0.2], patience=2)[1] == [False, False, False, True]
    assert judged([0.1, 0.1, 0.2, 0.1], patience=2)[1] == [False] * 4


def test_a_resumed_run_goes_on_counting() -> None:
    kept, _ = judged([0.5, 0.4], patience=2)
    other = BestWeights(nn.Linear(1, 1, bias=False), 2)
    other.restore(kept.state())
    other.judge(nn.Linear(1, 1, bias=False), 2, {"score": 0.5})
    assert other.is_settled
    assert other.step == 0


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    kept, _ = judged([0.2, float("nan"), 0.1])
    assert (kept.score, kept.step) == (0.2, 0)


def test_keeping_nothing_changes_nothing() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    kept = KeptWeights()
    kept.update(model, 1)
    kept.exchange(model)
    kept.judge(model, 1, {"score": 1.0})
    assert torch.equal(model.weight, before)
    assert (kept.weights, kept.state(), kept.is_settled) == ({}, {}, False)
