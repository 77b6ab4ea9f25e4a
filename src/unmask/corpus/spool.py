"""Texts on their way through a build, on the disk: written once, read in order as often as it takes.

What bites: a batch is bounded by its bytes, but never smaller than one document; the longest one sets the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unmask.corpus.documents import ID_BYTES

_BATCH_DOCUMENTS = 1024
_BATCH_BYTES = 1 << 20
_RECORD = np.dtype([("bytes", "<u8"), ("source", "<i4"), ("id", np.uint8, ID_BYTES)])


@dataclass(frozen=True, slots=True)
class Batch:
    """Some documents, in the order of writing."""

    first: int
    """Number of the first of them."""
    texts: list[str]
    ids: npt.NDArray[np.uint8]
    """(n, 16)"""
    sources: npt.NDArray[np.int32]
    """(n,) numbers of the sources."""

    @property
    def numbers(self) -> slice:
        """Where these documents stand among all."""
        return slice(self.first, self.first + len(self.texts))

    def select(self, mask: npt.NDArray[np.bool_]) -> Batch:
        """Return those of the documents where ``mask`` (n,) is true; they no longer stand in one run."""
        texts = [text for text, chosen in zip(self.texts, mask.tolist(), strict=True) if chosen]
        return Batch(self.first, texts, self.ids[mask], self.sources[mask])


class Spool:
    """Documents in two files: texts end to end, and a record of fixed size for each."""

    def __init__(self, folder: Path) -> None:
        """Open the files in ``folder``, empty."""
        self._texts, self._records = (folder / "texts.bin").open("w+b"), (folder / "records.bin").open("w+b")
        self._num_documents = 0

    def __len__(self) -> int:
        """Return the number of documents."""
        return self._num_documents

    def add(self, text: str, identity: bytes, source: int) -> None:
        """Append a document."""
        data = text.encode("utf-8")
        self._texts.write(data)
        record = np.zeros((), dtype=_RECORD)
        record["bytes"], record["source"], record["id"] = len(data), source, np.frombuffer(identity, dtype=np.uint8)
        self._records.write(record.tobytes())
        self._num_documents += 1

    def batches(self) -> Iterator[Batch]:
        """Yield all documents in order; not to be mixed with adding or with a second reading."""
        self._texts.seek(0)
        self._records.seek(0)
        first = 0
        while data := self._records.read(_BATCH_DOCUMENTS * _RECORD.itemsize):
            records = np.frombuffer(data, dtype=_RECORD)
            full = (np.cumsum(records["bytes"]) - records["bytes"]) // _BATCH_BYTES
            for group in np.split(records, np.flatnonzero(np.diff(full)) + 1):
                texts = [self._texts.read(int(size)).decode("utf-8") for size in group["bytes"]]
                yield Batch(first, texts, group["id"], group["source"])
                first += len(group)

    def close(self) -> None:
        """Let go of the files."""
        self._texts.close()
        self._records.close()
