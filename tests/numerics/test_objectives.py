"""A loss is divided once, by everything that was asked in the step; nothing asked is a zero gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from unmask.batch import IGNORE_INDEX, Batch, collate
from unmask.model.config import ModelSettings, resolve
from unmask.model.heads import MaskedLM, new_masked_lm
from unmask.objectives import OBJECTIVES, masked_language_modelling

ROWS, LENGTH, VOCABULARY = 64, 24, 97


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
    weights = OBJECTIVES["mlm"].step_weights(micro_batches)
    for batch in micro_batches:
        for term in masked_language_modelling(model, batch):
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
    [term] = masked_language_modelling(model, batch)
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
    [term], [whole] = masked_language_modelling(model, batch), masked_language_modelling(model, batches(64, 0.3)[0])
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
