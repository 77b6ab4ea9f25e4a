"""A loss is divided once, by everything that was asked in the step; nothing asked is a zero gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from unmask.batch import IGNORE_INDEX, Batch, collate
from unmask.model.config import ModelSettings, resolve
from unmask.model.heads import MaskedLM, new_masked_lm
from unmask.objectives import OBJECTIVES, cross_entropies

ROWS, LENGTH, VOCABULARY = 64, 24, 97
MLM = OBJECTIVES["mlm"]


@pytest.fixture
def model() -> MaskedLM:
    config = resolve(ModelSettings(preset="tiny", hidden_size=32, num_attention_heads=2), VOCABULARY, 0)
    return new_masked_lm(config, torch.Generator().manual_seed(3)).double()


def rows(asked_share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, labels and kinds (ROWS, LENGTH); rows differ widely in how much is asked."""
    random = np.random.default_rng(seed)
    ids = random.integers(5, VOCABULARY, size=(ROWS, LENGTH)).astype(np.int32)
    share = asked_share * random.uniform(0, 2, size=(ROWS, 1))
    asked = random.random((ROWS, LENGTH)) < share
    asked[:, 0] = False
    return ids, np.where(asked, ids, IGNORE_INDEX), np.where(asked, random.integers(0, 3, size=ids.shape), -1)


def batches(size: int, asked_share: float) -> list[Batch]:
    ids, labels, kind = rows(asked_share)
    segment = np.ones_like(ids)
    parts = [slice(first, first + size) for first in range(0, ROWS, size)]
    return [collate(input_ids=ids[p], segment=segment[p], labels=labels[p], kind=kind[p]) for p in parts]


def gradients(model: MaskedLM, micro_batches: list[Batch]) -> torch.Tensor:
    model.zero_grad()
    weights = MLM.step_weights(micro_batches)
    for batch in micro_batches:
        for term in MLM.terms(model, batch):
            (term.coefficient / weights[term.name] * term.loss_sum).backward()  # type: ignore[no-untyped-call]
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def test_one_batch_and_micro_batches_have_the_same_gradient(model: MaskedLM) -> None:
    """1 x 64, 4 x 16 and 8 x 8, in float64, with ragged counts of asked positions."""
    whole = gradients(model, batches(64, 0.15))
    for size in (16, 8):
        pieces = gradients(model, batches(size, 0.15))
        assert (pieces - whole).norm() < 1e-6 * whole.norm()  # cross entropy itself is taken in float32


def test_dividing_each_micro_batch_by_its_own_count_would_be_caught(model: MaskedLM) -> None:
    """The mistake that the law forbids changes the gradient by far more than the tolerance above."""
    whole, wrong = gradients(model, batches(64, 0.15)), torch.zeros(())
    for batch in batches(8, 0.15):
        wrong = wrong + gradients(model, [batch]) / 8
    assert (wrong - whole).norm() > 0.01 * whole.norm()


def test_nothing_asked_is_a_zero_gradient(model: MaskedLM) -> None:
    found = gradients(model, batches(64, 0.0))
    assert torch.equal(found, torch.zeros_like(found))


def test_terms_agree_with_the_dense_loss_and_split_by_kind(model: MaskedLM) -> None:
    [batch] = batches(64, 0.3)
    [term] = MLM.terms(model, batch)
    everywhere = collate(
        input_ids=batch.input_ids.numpy(),
        segment=batch.segment.numpy(),
        labels=np.zeros((ROWS, LENGTH), np.int64),
        kind=np.zeros((ROWS, LENGTH), np.int64),
    )
    logits = model(everywhere)[: ROWS * LENGTH].view(ROWS, LENGTH, VOCABULARY)
    dense = functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none")
    assert term.loss_sum.item() == pytest.approx(dense.sum().item(), rel=1e-5)
    assert term.by_kind[1].sum().item() == batch.num_asked == (batch.labels != IGNORE_INDEX).sum().item()
    kinds = rows(0.3)[2].ravel()
    for number in range(3):
        part = torch.from_numpy(kinds == number)
        assert term.by_kind[0, 0, number].item() == pytest.approx(dense[part].sum().item(), rel=1e-5)


def test_sums_are_split_by_the_source_of_a_row_too(model: MaskedLM) -> None:
    ids, labels, kind = rows(0.3)
    source = np.random.default_rng(1).integers(0, 3, size=ROWS)
    batch = collate(input_ids=ids, segment=np.ones_like(ids), labels=labels, kind=kind, source=source, num_sources=4)
    [term], [whole] = MLM.terms(model, batch), MLM.terms(model, batches(64, 0.3)[0])
    assert torch.equal(term.loss_sum, whole.loss_sum)
    assert torch.allclose(term.by_kind.sum(1, keepdim=True), whole.by_kind)
    assert term.by_kind.shape == (2, 4, 3)
    losses = functional.cross_entropy(model(batch).float(), batch.targets, reduction="none")[: batch.num_asked]
    row_of = np.nonzero(labels != IGNORE_INDEX)[0]
    for number in range(4):
        for which in range(3):
            part = torch.from_numpy((source[row_of] == number) & (kind[labels != IGNORE_INDEX] == which))
            assert term.by_kind[1, number, which].item() == part.sum()
            assert term.by_kind[0, number, which].item() == pytest.approx(losses[part].sum().item(), rel=1e-5)


def both_ways(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return losses and gradient of the fast way, and the gradient of its slow twin in float64, weighted unevenly."""
    weights = torch.linspace(0.1, 2, len(targets))
    fast = logits.clone().requires_grad_()
    losses = cross_entropies(fast, targets)
    (losses * weights).sum().backward()  # type: ignore[no-untyped-call]
    exact = logits.double().requires_grad_()
    slow = functional.cross_entropy(exact, targets, ignore_index=IGNORE_INDEX, reduction="none")
    (slow * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert fast.grad is not None
    assert exact.grad is not None
    assert losses.dtype == torch.float32
    assert torch.allclose(losses.double(), slow, rtol=1e-6, atol=2e-6)
    return losses, fast.grad, exact.grad


@pytest.mark.parametrize("size", [(1, 7), (300, 1000), (40, 70_000)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3 * 2.0**-8)])
def test_cross_entropy_is_its_slow_twin(size: tuple[int, int], dtype: torch.dtype, tolerance: float) -> None:
    """Sizes of one part and of many; bfloat16 rounds three times, by 2^-8 at most."""
    chance = torch.Generator().manual_seed(5)
    logits = (4 * torch.randn(size, generator=chance)).to(dtype)
    targets = torch.randint(0, size[1], size[:1], generator=chance)
    targets[1::5] = IGNORE_INDEX
    losses, fast, slow = both_ways(logits, targets)
    assert (fast.double() - slow).abs().le(tolerance * slow.abs() + 1e-7).all()
    assert torch.equal(losses[1::5], torch.zeros_like(losses[1::5]))
    assert torch.equal(fast[1::5], torch.zeros_like(fast[1::5]))


def test_what_is_nearly_known_keeps_a_gradient_to_the_last_bit() -> None:
    """A share of 0.999 is 1 in bfloat16, and share - 1 would be nothing or twice too much."""
    logits = torch.tensor([[7.0, 0.0, -3.0], [300.0, -300.0, 0.0], [-300.0, 0.0, 300.0]]).bfloat16()
    losses, fast, slow = both_ways(logits, torch.tensor([0, 0, 0]))
    assert losses.tolist() == pytest.approx([9.57e-4, 0.0, 600.0], rel=1e-3)
    assert fast[0, 0].item() == pytest.approx(slow[0, 0].item(), rel=2**-7)
    assert fast.isfinite().all()


def test_logits_are_left_as_they_were_and_a_second_way_back_is_refused() -> None:
    logits = torch.randn(20, 50, generator=torch.Generator().manual_seed(1)).requires_grad_()
    before, loss = logits.detach().clone(), cross_entropies(logits, torch.arange(20)).sum()
    loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    assert torch.equal(logits.detach(), before)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()  # type: ignore[no-untyped-call]
