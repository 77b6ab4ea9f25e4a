"""Collating masked rows: what is asked, where it stands, and the padding of the list."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unmask.batch import ASKED_MULTIPLE, IGNORE_INDEX, Batch, Rows, collate, positions_in


def test_positions_start_anew_in_every_window() -> None:
    segment = np.array([[1, 1, 1, 2, 2, 0, 0], [1, 2, 3, 3, 3, 3, 3]], dtype=np.int32)
    assert positions_in(segment).tolist() == [[0, 1, 2, 0, 1, 0, 0], [0, 0, 0, 1, 2, 3, 4]]


@pytest.mark.parametrize("asked", [0, 1, 127, 128, 129])
def test_the_list_of_asked_positions_is_padded_to_a_closed_length(asked: int) -> None:
    ids = np.arange(10, 410, dtype=np.int32).reshape(4, 100)
    labels, kind = np.full_like(ids, IGNORE_INDEX), np.full(ids.shape, -1, dtype=np.int8)
    labels.ravel()[3 : 3 + asked] = ids.ravel()[3 : 3 + asked]
    kind.ravel()[3 : 3 + asked] = np.arange(asked) % 3
    batch = collate(input_ids=ids, segment=np.ones_like(ids), labels=labels, kind=kind)
    assert batch.num_asked == asked
    assert len(batch.asked) == len(batch.targets) == len(batch.kind) == (256 if asked == 129 else ASKED_MULTIPLE)
    assert batch.targets[:asked].tolist() == batch.labels.ravel()[batch.asked[:asked]].tolist()
    assert batch.kind[:asked].tolist() == [place % 3 for place in range(asked)]
    assert (batch.targets[asked:] == IGNORE_INDEX).all()
    assert (batch.kind[asked:] == -1).all()


def test_rows_of_unequal_shape_are_a_bug() -> None:
    good = np.zeros((2, 3), np.int32)
    with pytest.raises(AssertionError, match="unequal"):
        Rows(input_ids=good, segment=good, document=good, offset=good, word=good, special=np.zeros((2, 2), bool))  # type: ignore[arg-type]


@given(rows=st.integers(1, 9), at_once=st.integers(1, 10), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_batch_is_split_into_what_its_rows_would_have_been_collated_to(
    rows: int, at_once: int, share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    ids = random.integers(5, 99, (rows, 40)).astype(np.int32)
    labels = np.where(random.random(ids.shape) < share, ids, IGNORE_INDEX)
    kind = np.where(labels == IGNORE_INDEX, -1, random.integers(0, 3, ids.shape))
    segment, source = np.sort(random.integers(0, 3, ids.shape), 1).astype(np.int32), random.integers(0, 4, rows)

    def collated(first: int, end: int) -> Batch:
        of = slice(first, end)
        batch = collate(
            input_ids=ids[of], segment=segment[of], labels=labels[of], kind=kind[of], source=source[of], num_sources=4
        )
        return replace(
            batch, weights=torch.where(batch.targets < 0, 0.0, batch.targets / 7), token_type_ids=batch.labels
        )

    parts = collated(0, rows).split(at_once)
    assert len(parts) == -(-rows // at_once)
    for number, part in enumerate(parts):
        expected = collated(number * at_once, (number + 1) * at_once)
        for field in fields(Batch):
            found, right = getattr(part, field.name), getattr(expected, field.name)
            same = torch.equal(found, right) if isinstance(right, torch.Tensor) else found == right
            assert same, field.name
