"""What a step sees: the same rows and masks whatever the micro-batch, the ranks and the place of resumption."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unmask.batch import IGNORE_INDEX, KINDS, MASKED, Batch
from unmask.corpus.directory import Corpus
from unmask.corpus.order import rows_at
from unmask.masking.diffusion import document_rates
from unmask.masking.mask import MaskingSettings
from unmask.objectives import ObjectiveSettings, asked_weight
from unmask.training import batches as training_batches
from unmask.training.batches import StepBatches


@pytest.fixture(scope="module")
def batches(made_corpus: Corpus) -> StepBatches:
    return StepBatches(
        rows=made_corpus.rows(32),
        vocabulary=made_corpus.vocabulary,
        masking=MaskingSettings(mlm_probability=0.3),
        seed=5,
        batch_rows=12,
        micro_batch_rows=0,
    )


def whole(parts: list[Batch], name: str) -> torch.Tensor:
    return torch.cat([getattr(part, name) for part in parts])


@given(micro=st.integers(1, 12), ranks=st.integers(1, 4), step=st.integers(0, 10**6))
def test_micro_batches_and_ranks_deal_the_same_rows_and_masks(
    batches: StepBatches, micro: int, ranks: int, step: int
) -> None:
    [expected] = batches(step)
    for rank in range(ranks):
        dealt = replace(batches, micro_batch_rows=micro, rank=rank, ranks=ranks)(step)
        for name in ("input_ids", "labels", "segment", "positions"):
            assert torch.equal(whole(dealt, name), getattr(expected, name)[rank::ranks])
        assert sum(part.num_asked for part in dealt) == int((expected.labels[rank::ranks] != IGNORE_INDEX).sum())


@given(place=st.integers(0, 500))
def test_a_row_is_masked_by_its_document_wherever_it_is_packed(
    made_corpus: Corpus, batches: StepBatches, place: int
) -> None:
    """Rows of 32 and rows of 64 hide the same tokens of the same documents in the first epoch."""
    wide = hidden_of(made_corpus, batches, 64)
    rows = made_corpus.rows(32).gather(np.array([place % made_corpus.rows(32).num_rows]))
    narrow = hidden_of(made_corpus, batches, 32)
    for document, offset in zip(rows.document[~rows.special], rows.offset[~rows.special], strict=True):
        assert narrow[int(document), int(offset)] == wide[int(document), int(offset)]


_HIDDEN: dict[int, dict[tuple[int, int], int]] = {}


def rates_of(batches: StepBatches) -> dict[str, Any]:
    return batches.mask_rates(np.ones(batches.vocabulary.size, np.int64), ["made"])


def test_mask_rates_agree_with_a_slow_twin(batches: StepBatches) -> None:
    """Every row once: a loop over positions and windows of the steps' own batches."""
    num_rows = batches.rows.num_rows
    [batch] = replace(batches, batch_rows=num_rows)(0)
    special = torch.isin(batch.input_ids, torch.tensor([batches.vocabulary.cls_id, batches.vocabulary.sep_id]))
    tokens = int(((batch.segment > 0) & ~special).sum())
    kinds = batch.kind[: batch.num_asked].tolist()
    windows = {(row, int(number)) for row in range(num_rows) for number in batch.segment[row] if number}
    asked = {(row, int(batch.segment[row, place])) for row, place in (batch.labels != IGNORE_INDEX).nonzero().tolist()}
    rates = rates_of(batches)
    assert rates["tokens"] == tokens
    for number, name in enumerate(KINDS):
        assert rates[name] == pytest.approx(kinds.count(number) / tokens)
    assert rates["selected"] == pytest.approx(len(kinds) / tokens)
    assert rates["windows_unasked"] == pytest.approx(1 - len(asked) / len(windows))
    assert 0 < rates["windows_unasked"] < 0.1


def test_mask_rates_look_at_a_bounded_number_of_rows(batches: StepBatches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_batches, "MEASURED_POSITIONS", 330)
    assert 200 < rates_of(batches)["tokens"] < 11 * 32


@given(micro=st.integers(1, 12), ranks=st.integers(1, 3), step=st.integers(0, 99))
def test_a_rate_that_changes_is_that_of_the_row_wherever_it_is_dealt(
    batches: StepBatches, micro: int, ranks: int, step: int
) -> None:
    falling = MaskingSettings(mlm_probability=0.9, schedule="linear", final_probability=0.1)
    run = replace(batches, masking=falling, rows_in_all=100 * batches.batch_rows)
    [expected] = run(step)
    for rank in range(ranks):
        dealt = replace(run, micro_batch_rows=micro, rank=rank, ranks=ranks)(step)
        assert torch.equal(whole(dealt, "labels"), expected.labels[rank::ranks])


@given(micro=st.integers(1, 12), ranks=st.integers(1, 3), step=st.integers(0, 99))
def test_a_row_of_a_hybrid_is_read_the_same_way_wherever_it_is_dealt(
    batches: StepBatches, micro: int, ranks: int, step: int
) -> None:
    changing = ObjectiveSettings(name="hybrid", schedule="linear", mntp_share=0.1, final_mntp_share=0.9)
    run = replace(batches, objective=changing, rows_in_all=100 * batches.batch_rows)
    [expected] = run(step)
    assert expected.is_causal is not None
    assert expected.weights is not None
    for rank in range(ranks):
        dealt = replace(run, micro_batch_rows=micro, rank=rank, ranks=ranks)(step)
        for name in ("is_causal", "input_ids", "labels"):
            assert torch.equal(whole(dealt, name), getattr(expected, name)[rank::ranks])
        assert sum(float(asked_weight(part)) for part in dealt) == pytest.approx(
            weight_of_rows(expected)[rank::ranks].sum()
        )
        for part in (cut for batch in dealt for cut in batch.split(2)):
            assert part.is_causal is not None
            assert len(part.is_causal) == len(part.segment)


def weight_of_rows(batch: Batch) -> torch.Tensor:
    assert batch.weights is not None
    return torch.zeros(len(batch.segment)).index_add(0, batch.asked // batch.segment.shape[1], batch.weights)


@pytest.mark.parametrize("name", ["mntp", "diffusion", "hybrid"])
def test_a_row_weighs_on_average_by_its_tokens_whatever_it_is_asked(batches: StepBatches, name: str) -> None:
    run = replace(batches, objective=ObjectiveSettings.parse({"name": name}), batch_rows=batches.rows.num_rows)
    weights = sum(weight_of_rows(batch).sum() for epoch in range(4) for batch in run(epoch))
    assert float(weights) == pytest.approx(4 * batches.rows.num_tokens, rel=0.1 if name == "diffusion" else 0.03)


def test_a_step_of_a_run_of_open_length_has_rows_of_all_its_parts(batches: StepBatches) -> None:
    still_open = replace(batches, objective=ObjectiveSettings(name="clm_then_mlm", clm_share=0.25))
    for step in (0, 50):
        [batch] = still_open(step)
        assert batch.is_causal is not None
        assert batch.is_causal.sum() == 3


def test_diffusion_hides_each_document_at_its_own_rate_and_shows_nothing_but_masks(batches: StepBatches) -> None:
    run = replace(batches, objective=ObjectiveSettings(name="diffusion"), batch_rows=batches.rows.num_rows)
    [batch] = run(0)
    assert batch.weights is not None
    assert set(batch.kind[: batch.num_asked].tolist()) == {MASKED}
    numbers, epoch = run.rows.order.at(np.arange(batches.rows.num_rows), run.seed)
    rate = torch.from_numpy(document_rates(run.rows.gather(numbers), run.seed, epoch).ravel())
    asked = batch.asked[: batch.num_asked]
    assert torch.allclose(batch.weights[: batch.num_asked].double() * rate[asked], torch.ones(()).double())
    assert batch.is_causal is None


def test_the_second_part_of_a_biphasic_run_is_mlm_to_the_bit(batches: StepBatches) -> None:
    two = replace(batches, objective=ObjectiveSettings(name="clm_then_mlm", clm_share=0.4), rows_in_all=120)
    causal, plain = replace(batches, objective=ObjectiveSettings(name="clm")), replace(batches, rows_in_all=120)
    assert two.rate_in_force(0) == {"hiding_rows": 0.0}
    for step, like in ((0, causal), (3, causal), (4, plain), (9, plain)):
        [found], [expected] = two(step), like(step)
        for name in ("input_ids", "labels", "asked", "targets", "kind"):
            assert torch.equal(getattr(found, name), getattr(expected, name))
        assert found.is_causal is not None
        assert found.is_causal.tolist() == [like is causal] * 12


def test_the_rate_falls_over_the_run_as_its_schedule_says(batches: StepBatches) -> None:
    falling = MaskingSettings(mlm_probability=0.6, schedule="linear", final_probability=0.2)
    run = replace(batches, masking=falling, batch_rows=64, rows_in_all=64 * 10)
    for step in (0, 4, 9):
        [batch] = run(step)
        share = batch.num_asked / int((~torch.isin(batch.input_ids, torch.tensor([0, 2, 3]))).sum())
        assert share == pytest.approx(0.6 - 0.4 * (step + 0.5) / 10, abs=0.06)
        assert run.rate_in_force(step) == {"mlm_probability": pytest.approx(0.6 - 0.4 * (step + 0.5) / 10)}
    rates = rates_of(run)
    assert rates["recipe"] == pytest.approx(0.6)
    assert rates["end"]["recipe"] == pytest.approx(0.2)
    assert rates["end"]["selected"] == pytest.approx(0.2, abs=0.03)


def test_a_run_of_open_length_hides_as_half_way(batches: StepBatches) -> None:
    """So a trial step costs what a step of the run costs on average, however far it is from the first."""
    falling = MaskingSettings(mlm_probability=0.6, schedule="linear", final_probability=0.2)
    still_open, constant = replace(batches, masking=falling), MaskingSettings(mlm_probability=0.4)
    for step in (0, 1000):
        [found], [expected] = still_open(step), replace(batches, masking=constant)(step)
        assert torch.equal(found.labels, expected.labels)
    assert replace(batches, masking=constant).rate_in_force(0) == {}


def test_static_masks_are_the_same_in_every_epoch_and_dynamic_ones_are_not(batches: StepBatches) -> None:
    num_rows = batches.rows.num_rows
    for static, shared in ((True, 1.0), (False, 0.3)):
        run = replace(batches, masking=MaskingSettings(static=static), batch_rows=num_rows)
        hidden = []
        for epoch in (0, 1):
            places = np.arange(num_rows) + epoch * num_rows
            numbers, _ = run.rows.order.at(places, run.seed)
            [batch] = run(epoch)
            hidden.append((batch.labels.numpy() != IGNORE_INDEX)[np.argsort(numbers)])
        assert (hidden[0] & hidden[1]).sum() / hidden[0].sum() == pytest.approx(shared, abs=0.03)


def hidden_of(corpus: Corpus, batches: StepBatches, length: int) -> dict[tuple[int, int], int]:
    """Return (document, offset) -> what is shown there, over the first epoch in rows of ``length``."""
    if length not in _HIDDEN:
        packed, found = corpus.rows(length), {}
        chosen = replace(batches, rows=packed, batch_rows=packed.num_rows)
        [batch] = chosen(0)
        rows = packed.gather(rows_at(np.arange(packed.num_rows), packed.num_rows, chosen.seed))
        for at in zip(*np.nonzero(~rows.special), strict=True):
            found[int(rows.document[at]), int(rows.offset[at])] = int(batch.input_ids[at])
        _HIDDEN[length] = found
    return _HIDDEN[length]


def test_an_epoch_shows_every_row_once_and_the_next_hides_other_tokens(batches: StepBatches) -> None:
    packed = batches.rows
    epochs = replace(batches, batch_rows=packed.num_rows)
    [first], [second] = epochs(0), epochs(1)
    count = {tuple(row) for row in first.labels.where(first.labels != IGNORE_INDEX, first.input_ids).tolist()}
    again = {tuple(row) for row in second.labels.where(second.labels != IGNORE_INDEX, second.input_ids).tolist()}
    assert count == again
    assert {tuple(row) for row in first.input_ids.tolist()} != {tuple(row) for row in second.input_ids.tolist()}
    assert not torch.equal(first.input_ids, second.input_ids)
