"""The identity of documents."""

from hashlib import blake2b

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unmask.corpus.documents import document_id, low64, normalise

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def test_id_is_blake2b_of_the_normalised_text() -> None:
    assert document_id("caf\u0065\u0301\r\nbar \n") == blake2b("caf\u00e9\nbar".encode(), digest_size=16).digest()


@given(TEXTS, st.sampled_from(["", " ", "\n", "\t\r\n"]))
def test_line_ends_and_outer_white_space_do_not_matter(text: str, edge: str) -> None:
    assert document_id(edge + text.replace("\n", "\r\n") + edge) == document_id(text)


@given(TEXTS)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(TEXTS, TEXTS)
def test_other_text_has_another_id(one: str, other: str) -> None:
    assert (document_id(one) == document_id(other)) == (normalise(one) == normalise(other))


def test_low64_are_the_first_eight_bytes_little_endian() -> None:
    ids = np.array([[1, 2, 0, 0, 0, 0, 0, 0, *range(8)], [255] * 16], dtype=np.uint8)
    low = low64(ids)
    assert low.dtype == np.uint64
    assert low.tolist() == [0x0201, 2**64 - 1]
    assert low64(ids[::-1]).tolist() == [2**64 - 1, 0x0201]
