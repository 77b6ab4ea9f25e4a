"""A split of a corpus in memory, of documents that a test names token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unmask.corpus.shards import Shard, Split

Document = tuple[Sequence[int] | npt.NDArray[np.integer], Sequence[bool] | npt.NDArray[np.bool_]]
"""Tokens, and whether a word begins at each."""


def split_of(*shards: Iterable[Document], sources: Sequence[int] = (0,)) -> Split:
    """Return a split of ``shards``; ``sources`` go round the documents of each."""
    split = Split(Path(), "made", 0)
    split.shards = [_shard(list(documents), sources, number) for number, documents in enumerate(shards)]
    split.token_starts = np.cumsum([0, *(len(shard.tokens) for shard in split.shards)])
    split.document_starts = np.cumsum([0, *(len(shard.ids) for shard in split.shards)])
    return split


def _shard(documents: list[Document], sources: Sequence[int], number: int) -> Shard:
    names = [blake2b(f"{number}-{document}".encode(), digest_size=16).digest() for document in range(len(documents))]
    return Shard(
        tokens=np.concatenate([np.asarray(tokens, np.uint16) for tokens, _ in documents]),
        starts=np.cumsum([0, *(len(tokens) for tokens, _ in documents)]),
        ids=np.frombuffer(b"".join(names), np.uint8).reshape(-1, 16),
        characters=np.array([len(tokens) for tokens, _ in documents], np.int32),
        source=np.resize(np.asarray(sources, np.int32), len(documents)),
        word_start=np.packbits(np.concatenate([np.asarray(begins, np.bool_) for _, begins in documents])),
    )
