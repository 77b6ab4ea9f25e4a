"""Collating masked rows: what is asked, where it stands, and the padding of the list."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.batch import ASKED_MULTIPLE, IGNORE_INDEX, Rows, collate, positions_in


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
