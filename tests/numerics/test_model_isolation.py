"""Law 6: documents do not see each other, whatever the family, direction, number format and way to attend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.packed import FAMILIES, VOCABULARY, documents, model_of, pack, small
from torch import Tensor

from unmask.batch import Batch
from unmask.model.attention import sights
from unmask.model.config import Family

ROW = 48  # longer than the window of the local layers, so that both masks are at work

every_shape = pytest.mark.parametrize("family", FAMILIES)
every_direction = pytest.mark.parametrize("is_causal", [False, True])
every_format = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@contextmanager
def computing_in(dtype: torch.dtype) -> Iterator[None]:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        yield


def answers(model: torch.nn.Module, batch: Batch) -> Tensor:
    rows, length = batch.input_ids.shape
    logits: Tensor = model(batch)
    return logits.view(rows, length, -1)


@every_shape
@every_direction
@every_format
@settings(max_examples=12)
@given(data=st.data())
def test_no_bit_of_a_document_hangs_on_its_neighbours(
    data: st.DataObject, family: Family, is_causal: bool, dtype: torch.dtype
) -> None:
    cuts = data.draw(st.lists(st.integers(1, 20), min_size=2, max_size=5).filter(lambda cuts: sum(cuts) <= ROW))
    kept = data.draw(st.integers(0, len(cuts) - 1))
    seed = data.draw(st.integers(0, 1000))
    model = model_of(small(family, is_causal=is_causal))
    row, other = documents(cuts, seed), documents(cuts, seed + 1)
    other[kept] = row[kept]
    start = sum(cuts[:kept])
    place = slice(start, start + cuts[kept])
    with computing_in(dtype):
        here, there = answers(model, pack([row], ROW)), answers(model, pack([other], ROW))
    assert torch.equal(here[0, place], there[0, place])
    assert not torch.equal(here, there)


@every_shape
@every_direction
@every_format
def test_padding_is_seen_by_nobody_and_stays_finite(family: Family, is_causal: bool, dtype: torch.dtype) -> None:
    model, batch = model_of(small(family, is_causal=is_causal)), pack([documents([20]), []], ROW)
    input_ids = batch.input_ids.clone()
    batch.input_ids[0, 20:] = VOCABULARY - 1
    with computing_in(dtype):
        changed = answers(model, batch)
        batch.input_ids.copy_(input_ids)
        here = answers(model, batch)
    assert torch.equal(here[0, :20], changed[0, :20])
    assert torch.isfinite(here).all()


@every_shape
@every_direction
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_alone_and_packed_agree_to_rounding(
    family: Family, is_causal: bool, dtype: torch.dtype, tolerance: float
) -> None:
    model, texts = model_of(small(family, is_causal=is_causal)), documents([1, 2, 17, 28])
    if dtype == torch.float64:
        model.double()
    with computing_in(dtype):
        packed = torch.split(answers(model, pack([texts], ROW))[0], [1, 2, 17, 28])
        for text, together in zip(texts, packed, strict=True):
            alone = answers(model, pack([[text]], len(text)))[0]
            assert (alone - together).abs().max() <= tolerance * alone.abs().max()


@every_shape
@every_format
def test_the_future_is_hidden_only_where_asked(family: Family, dtype: torch.dtype) -> None:
    (text,) = documents([30])
    later = text.clone()
    later[20:] = later[20:] % (VOCABULARY - 1) + 1
    for is_causal in (True, False):
        model = model_of(small(family, is_causal=is_causal))
        with computing_in(dtype):
            here, there = answers(model, pack([[text]], ROW)), answers(model, pack([[later]], ROW))
        assert torch.equal(here[0, :20], there[0, :20]) is is_causal
        assert not torch.equal(here[0, 20:30], there[0, 20:30])


@every_shape
@every_format
def test_rows_of_both_directions_stand_in_one_batch_as_they_would_alone(family: Family, dtype: torch.dtype) -> None:
    """And in a row that is read from left to right a document still sees nothing of the one before it."""
    cuts = [9, 20, 15]
    rows = [documents(cuts, seed) for seed in (1, 2)]
    other = [documents([9], 5)[0], *rows[0][1:]]
    mixed, moved = (
        replace(pack(held, ROW), is_causal=torch.tensor([True, False])) for held in (rows, [other, rows[1]])
    )
    with computing_in(dtype):
        found, after = (answers(model_of(small(family)), batch) for batch in (mixed, moved))
        for row, is_causal in enumerate((True, False)):
            alone = answers(model_of(small(family, is_causal=is_causal)), pack(rows, ROW))
            assert torch.equal(found[row], alone[row])
    assert torch.equal(found[0, 9:44], after[0, 9:44])
    assert not torch.equal(found[0, :9], after[0, :9])


def test_a_local_layer_reaches_half_its_window() -> None:
    model = model_of(small("modernbert", num_hidden_layers=2, global_attn_every_n_layers=2))
    (text,) = documents([ROW])
    hidden = model.model.embeddings(text[None])
    moved = hidden.clone()
    moved[0, 30] = -moved[0, 30]
    batch = pack([[text]], ROW)
    local = sights(batch.segment, batch.positions, model.config, torch.float32)["local"]
    differs = (model.model.layers[1](hidden, local) != model.model.layers[1](moved, local)).any(-1)[0]
    assert differs.nonzero().squeeze(1).tolist() == list(range(22, 39))
