"""The model under torch.compile: one graph, the same answers, no new graph for another number of asked."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.packed import FAMILIES, documents, model_of, pack, small
from torch._dynamo.testing import CompileCounterWithBackend

from unmask.batch import Batch
from unmask.model.config import Family
from unmask.model.heads import MaskedLM


def batches() -> list[Batch]:
    first = pack([documents([20, 7]), documents([30], seed=1)], 32)
    second = pack([documents([4, 25], seed=2), documents([31], seed=3)], 32)
    return [first, dataclasses.replace(second, num_asked=40)]


def outcome(model: MaskedLM, run: object, batch: Batch) -> tuple[torch.Tensor, list[torch.Tensor]]:
    assert callable(run)
    model.zero_grad()
    logits = run(batch)
    logits.float().logsumexp(-1).sum().backward()
    return logits.detach(), [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_is_traced_in_one_graph(family: Family) -> None:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("eager")
    model = model_of(small(family))
    compiled = torch.compile(model, backend=counter, fullgraph=True, dynamic=False)
    with torch.autocast("cpu", torch.bfloat16):
        for batch in batches():
            assert torch.allclose(compiled(batch), model(batch), rtol=0.05, atol=0.1)
    assert counter.frame_count == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # the compiler's own, about itself
@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_answers_and_gradients_are_the_eager_ones(family: Family) -> None:
    torch._dynamo.reset()
    model = model_of(small(family))
    compiled = torch.compile(model, fullgraph=True, dynamic=False)
    for batch in batches():
        (logits, gradients), (expected, theirs) = outcome(model, compiled, batch), outcome(model, model, batch)
        assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-4)
        for ours, other in zip(gradients, theirs, strict=True):
            assert (ours - other).abs().max() <= 1e-4 * other.abs().max() + 1e-5
