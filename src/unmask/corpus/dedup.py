"""Texts that are the same, or nearly: exact copies by id, near copies by MinHash, and what still overlaps after that.

A document is the set of its word 8-grams, a shorter one a single gram of all its words. Pairs that share the smallest
hash of one of 64 orders are candidates, their signatures say which are likely, and their grams, read back from the
disk, decide. Alike means that the larger document has a share of the smaller one's grams: a Jaccard index alone would
leave a paragraph apart from the page that quotes it. What bites: clusters are chains, A like B like C puts A beside C;
and a text in one a hundred times its length is seldom a candidate, so what still overlaps is measured, not assumed.

MinHash and containment: Broder 1997, "On the resemblance and containment of documents".
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
import numpy.typing as npt

Hashes: TypeAlias = npt.NDArray[np.uint64]
Indices: TypeAlias = npt.NDArray[np.int64]

GRAM = 8
"""Words in a gram."""

NUM_HASHES = 64
"""Hash functions of a signature."""

_KEYS_IN_MEMORY = 1 << 22
_PAIRS_IN_MEMORY = 1 << 14
_GRAMS_MEASURED = 1 << 20
_LONGEST_WORD = 1 << 12  # bytes after which the places in a word repeat


def _mix(words: Hashes) -> Hashes:
    words = (words ^ (words >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    words = (words ^ (words >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return words ^ (words >> np.uint64(32))


def _numbers(count: int, stream: int) -> Hashes:
    """Return ``count`` fixed odd numbers without a pattern."""
    return _mix(np.arange(1, count + 1, dtype=np.uint64) + np.uint64(stream << 32)) | np.uint64(1)


_CODES = np.arange(256)
_IS_WORD = np.isin(_CODES, np.frombuffer(b"abcdefghijklmnopqrstuvwxyz0123456789_", dtype=np.uint8)) | (_CODES >= 0x80)
_IS_IDEOGRAPH = (_CODES >= 0xE3) & (_CODES <= 0xE9)  # lead bytes of U+3000 to U+9FFF, where each character is a word
_LETTER = _numbers(256, 1)
_PLACE = np.cumprod(np.full(_LONGEST_WORD, 0x9FB21C651E98DF25, dtype=np.uint64))
_WORD_OF_GRAM = _numbers(GRAM, 2)
_HASHES = _numbers(NUM_HASHES, 3)


class SeenIds:
    """The ids that were read so far, on the disk."""

    def __init__(self, folder: Path) -> None:
        """Keep them in a file of ``folder``, which must be a passing one."""
        self._table = sqlite3.connect(folder / "ids.sqlite", isolation_level=None)
        self._table.execute("PRAGMA journal_mode = OFF")
        self._table.execute("PRAGMA synchronous = OFF")
        self._table.execute("CREATE TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID")
        self._table.execute("BEGIN")

    def add(self, identity: bytes) -> bool:
        """Remember ``identity`` and return whether it is new. Raises OSError where the disk is full."""
        try:
            return self._table.execute("INSERT OR IGNORE INTO seen VALUES (?)", (identity,)).rowcount == 1
        except sqlite3.OperationalError as error:
            raise OSError(errno.ENOSPC, str(error)) from None

    def close(self) -> None:
        """Let go of the file."""
        self._table.close()


def grams(texts: Sequence[str]) -> tuple[Hashes, Indices]:
    """Return the hashes of the 8-grams of all ``texts``, repeats included, and (N + 1,) where those of each begin.

    Words are runs of letters, digits and underscores without case, and single ideographs. Every text has at least one.
    """
    encoded = [text.lower().encode("utf-8") for text in texts]
    words, counts = _words(encoded)
    num_grams = np.maximum(counts - (GRAM - 1), 1)
    starts = np.concatenate(([0], np.cumsum(num_grams)))
    text = np.repeat(np.arange(len(texts)), num_grams)
    place = np.arange(starts[-1]) - starts[text]  # of the gram's first word in its text
    at = (np.cumsum(counts) - counts)[text] + place
    padded = np.concatenate((words, np.zeros(GRAM, dtype=np.uint64)))
    hashes = np.zeros(len(at), dtype=np.uint64)
    for number in range(GRAM):
        hashes += np.where(place + number < counts[text], padded[at + number] * _WORD_OF_GRAM[number], np.uint64(0))
    hashes = _mix(hashes)
    for wordless in np.flatnonzero(counts == 0):
        hashes[starts[wordless]] = int.from_bytes(blake2b(encoded[wordless], digest_size=8).digest(), "little")
    return hashes, starts


def _words(encoded: Sequence[bytes]) -> tuple[Hashes, Indices]:
    """Return the hashes of the words of all texts in order, and (N,) how many each text has."""
    data = np.frombuffer(b"\n\n\n".join((*encoded, b"")), dtype=np.uint8)
    is_word, ideograph = _IS_WORD[data], _IS_IDEOGRAPH[data]
    begins = is_word.copy()
    begins[1:] &= ~is_word[:-1]
    begins |= ideograph
    begins[3:] |= ideograph[:-3] & is_word[3:]
    starts, letters = np.flatnonzero(begins), np.flatnonzero(is_word)
    if not len(starts):
        return np.zeros(0, dtype=np.uint64), np.zeros(len(encoded), dtype=np.int64)
    place = letters - starts[np.cumsum(begins)[letters] - 1]
    values = _LETTER[data[letters]] * _PLACE[place % _LONGEST_WORD]
    words = _mix(np.add.reduceat(values, np.flatnonzero(begins[letters])))
    ends = np.cumsum([len(text) + 3 for text in encoded])
    return words, np.bincount(np.searchsorted(ends, starts, side="right"), minlength=len(encoded))


class Signatures:
    """MinHash signatures and grams of documents, spooled to the disk, and the clusters that they make."""

    def __init__(self, folder: Path, threshold: float) -> None:
        """Spool to files of ``folder``; a share ``threshold`` of the smaller's grams makes a pair alike."""
        self._threshold = threshold
        self._counts: list[Indices] = [np.zeros(1, dtype=np.int64)]
        self._rows, self._grams = (folder / "signatures.bin").open("w+b"), (folder / "grams.bin").open("w+b")
        self._columns = [(folder / f"column-{number:02}.bin").open("w+b") for number in range(NUM_HASHES)]

    def add(self, texts: Sequence[str]) -> None:
        """Append ``texts``; documents are numbered in the order of adding."""
        hashes, starts = grams(texts)
        rows = np.empty((len(texts), NUM_HASHES), dtype=np.uint32)
        for number, column in enumerate(self._columns):
            smallest = np.minimum.reduceat(hashes * _HASHES[number], starts[:-1])
            column.write(smallest.tobytes())
            rows[:, number] = _mix(smallest) >> np.uint64(32)
        self._rows.write(rows.tobytes())
        self._grams.write(hashes.tobytes())
        self._counts.append(np.diff(starts))

    def clusters(self) -> Indices:
        """Return (N,) the number of the first document of each document's cluster."""
        starts = np.cumsum(np.concatenate(self._counts))
        cluster = np.arange(len(starts) - 1)
        for file in (self._rows, self._grams, *self._columns):
            file.flush()
        for column in self._columns:
            for pairs in _meetings(column, len(cluster)):
                apart = pairs[cluster[pairs[:, 0]] != cluster[pairs[:, 1]]]
                likely = self._likely(apart, np.diff(starts))
                alike = [pair for pair in likely if self._share(pair, starts) >= self._threshold]
                cluster = _joined(cluster, np.array(alike, dtype=np.int64).reshape(-1, 2))
        return cluster

    def close(self) -> None:
        """Let go of the files."""
        for file in (self._rows, self._grams, *self._columns):
            file.close()

    def _likely(self, pairs: Indices, counts: Indices) -> Indices:
        """Return those of ``pairs`` (P, 2) that may be alike by their signatures: half of the share that is asked."""
        documents, places = np.unique(pairs, return_inverse=True)
        size = 4 * NUM_HASHES
        data = b"".join(os.pread(self._rows.fileno(), size, size * int(document)) for document in documents)
        rows = np.frombuffer(data, dtype=np.uint32).reshape(-1, NUM_HASHES)
        left, right = rows[places.reshape(pairs.shape)].swapaxes(0, 1)
        jaccard = (left == right).mean(axis=1)
        share = jaccard / (1 + jaccard) * counts[pairs].sum(axis=1) / counts[pairs].min(axis=1)
        likely: Indices = np.unique(pairs[share >= self._threshold / 2], axis=0)
        return likely

    def _share(self, pair: Indices, starts: Indices) -> float:
        """Return which share of the distinct grams of the smaller of two documents the larger has too."""
        smaller, larger = sorted((self._read(starts[number], starts[number + 1]) for number in pair), key=len)
        smaller = np.unique(smaller)
        at = np.minimum(np.searchsorted(smaller, larger), len(smaller) - 1)
        return len(np.unique(at[smaller[at] == larger])) / len(smaller)

    def _read(self, start: int, stop: int) -> Hashes:
        data = os.pread(self._grams.fileno(), 8 * int(stop - start), 8 * int(start))
        return np.frombuffer(data, dtype=np.uint64)


def _meetings(column: IO[bytes], num_documents: int) -> Iterator[Indices]:
    """Yield pairs (P, 2) of documents with equal keys in the file ``column``: each with the one before and the first.

    Not all pairs of a group, which would be its square: the other columns mend what a chain misses.
    """
    num_parts = -(-num_documents // _KEYS_IN_MEMORY)
    for part in range(num_parts):
        keys, documents = _part(column, part, num_parts)
        order = np.argsort(keys, kind="stable")
        keys, documents = keys[order], documents[order]
        opens = np.concatenate(([True], keys[1:] != keys[:-1]))
        follows = np.flatnonzero(~opens)
        first = np.maximum.accumulate(np.where(opens, np.arange(len(keys)), 0))[follows]
        pairs = np.concatenate((np.stack((follows - 1, follows), 1), np.stack((first, follows), 1)))
        for start in range(0, len(pairs), _PAIRS_IN_MEMORY):
            yield documents[pairs[start : start + _PAIRS_IN_MEMORY]]


def _part(column: IO[bytes], part: int, num_parts: int) -> tuple[Hashes, Indices]:
    """Return the keys of the file ``column`` that fall into ``part``, and whose they are."""
    keys, documents, start = [], [], 0
    column.seek(0)
    while data := column.read(8 * _KEYS_IN_MEMORY):
        read = np.frombuffer(data, dtype=np.uint64)
        mine = np.flatnonzero(read % np.uint64(num_parts) == part)
        keys.append(read[mine])
        documents.append(mine + start)
        start += len(read)
    return np.concatenate(keys), np.concatenate(documents)


def _joined(cluster: Indices, pairs: Indices) -> Indices:
    """Return ``cluster`` (N,), each document's smallest companion, after the two sides of all ``pairs`` were joined."""
    while len(pairs):
        ends = np.sort(cluster[pairs], axis=1)
        np.minimum.at(cluster, ends[:, 1], ends[:, 0])
        while (cluster[cluster] != cluster).any():
            cluster = cluster[cluster]
        pairs = pairs[cluster[pairs[:, 0]] != cluster[pairs[:, 1]]]
    return cluster


class Overlap:
    """The share of a held-out split's distinct 8-grams that also occur in train, on at most about a million of them."""

    def __init__(self) -> None:
        """Start without grams."""
        self._measured = np.zeros(0, dtype=np.uint64)
        self._found = np.zeros(0, dtype=np.bool_)

    def hold(self, texts: Sequence[str]) -> None:
        """Take up the grams of held-out ``texts``; of too many, those with the smallest hashes stay."""
        self._measured = np.union1d(self._measured, grams(texts)[0])[:_GRAMS_MEASURED]
        self._found = np.zeros(len(self._measured), dtype=np.bool_)

    def seek(self, texts: Sequence[str]) -> None:
        """Look for the grams of training ``texts``; all of the held-out ones must have been taken up."""
        if len(self._measured):
            wanted = grams(texts)[0]
            at = np.minimum(np.searchsorted(self._measured, wanted), len(self._measured) - 1)
            self._found[at[self._measured[at] == wanted]] = True

    @property
    def share(self) -> float:
        """The share found; 0 where nothing is held out."""
        return float(self._found.mean()) if len(self._found) else 0.0
