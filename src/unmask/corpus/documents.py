"""A document and its identity: the same text has the same id anywhere, whatever its line ends and outer white space.

What bites: the id is of the normalised text, so two files that differ in a trailing newline are one document.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

ID_BYTES = 16
"""Length of a document's id."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text, and where it came from."""

    text: str
    source: str
    """Name of the source in the mixture."""
    where: str
    """``file:line`` of its first line, for messages."""


def normalise(text: str) -> str:
    """Return ``text`` in NFC, with line ends as newlines and without white space around it."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def document_id(text: str) -> bytes:
    """Return the 16 bytes that name a text: BLAKE2b-128 of its normalised UTF-8 form.

    Readers refuse text with lone surrogates, which has no UTF-8 form.
    """
    return blake2b(normalise(text).encode("utf-8"), digest_size=ID_BYTES).digest()


def low64(ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return (N,) the low 64 bits of ``ids`` (N, 16), each read as a little-endian number: its first 8 bytes."""
    assert ids.dtype == np.uint8, f"ids are bytes, not {ids.dtype}"
    assert ids.ndim == 2, f"ids are (N, {ID_BYTES}), not {ids.shape}"
    assert ids.shape[1] == ID_BYTES, f"ids are (N, {ID_BYTES}), not {ids.shape}"
    return np.ascontiguousarray(ids[:, :8]).view("<u8")[:, 0].astype(np.uint64)
