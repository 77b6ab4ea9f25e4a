"""Tokens on the disk: written in files of bounded size, read through a memory map across all of them.

A shard holds tokens without special ones, where each document starts, its id, characters and source, and one bit a
token that says whether a word begins there. What bites: text that spells a special token must not become one, so texts
are encoded with special tokens as ordinary text, and what still comes out as one other than [UNK] is left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from unmask.corpus.documents import ID_BYTES, low64
from unmask.corpus.tokenizer import Vocabulary, parse_tokenizer
from unmask.errors import DataError
from unmask.files import write_tensors

Tensors = dict[str, npt.NDArray[Any]]

_SHARD_TOKENS = 1 << 23
_HEADER_BYTES = 8  # a little-endian length, then that much JSON
_LONGEST_HEADER = 100_000_000  # by the format's own rule
_DTYPES = {"U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "I32": "<i4", "I64": "<i8"}


def open_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Return the tensors of a safetensors file as views of a memory map, and its metadata.

    Raises DataError where the file is missing, cut short or not of this format.
    """
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(min(int.from_bytes(file.read(_HEADER_BYTES), "little"), _LONGEST_HEADER)))
            start = file.tell()
        data: npt.NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r", offset=start).view(np.ndarray)
        metadata = header.pop("__metadata__", {})
        return {name: _view(data, **entry) for name, entry in header.items()}, metadata
    except FileNotFoundError:
        raise DataError(path, "is missing; build the corpus again") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(path, f"is damaged ({error}); build the corpus again") from None


def _view(data: npt.NDArray[np.uint8], *, dtype: str, shape: list[int], data_offsets: list[int]) -> npt.NDArray[Any]:
    start, stop = data_offsets
    if stop > len(data):
        raise ValueError(f"{stop - len(data)} bytes are missing at its end")
    return data[start:stop].view(_DTYPES[dtype]).reshape(shape)


Segment = Callable[[str], tuple[set[int], list[tuple[int, int]]]]
"""From a text to where words begin inside some parts of it, and those parts, in code points."""


class Encoder:
    """Texts to tokens and word starts, for shards."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary, segment: Segment | None = None) -> None:
        """Take a copy of ``tokenizer``, which reads special tokens as ordinary text.

        ``segment`` returns where words begin inside parts of a text, and those parts; elsewhere, and where it is not
        given, the words are the pre-tokenizer's.
        """
        self._tokenizer = parse_tokenizer(tokenizer.to_str())
        self._tokenizer.encode_special_tokens = True
        self._segment = segment
        self._parts_words = _parts_words(self._tokenizer)
        self._refused = np.array([i for i in vocabulary.special_ids if i != vocabulary.unk_id], dtype=np.int64)

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
        """Yield the tokens (T,) of each text and (T,) whether a word begins there."""
        for text, encoding in zip(texts, self._encoded(texts), strict=True):
            tokens = np.array(encoding.ids, dtype=np.int64)
            words = np.array(encoding.word_ids, dtype=np.float64)  # a token of no word is NaN, unlike its neighbours
            kept = ~np.isin(tokens, self._refused)
            tokens, words = tokens[kept], words[kept]
            begins = np.ones(len(tokens), dtype=np.bool_)
            begins[1:] = words[1:] != words[:-1]
            offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)[kept]
            if not self._parts_words:
                begins |= _behind_space(text, offsets[:, 0])
            if self._segment is not None:
                begins = _segmented(begins, offsets[:, 0], *self._segment(text))
            begins[1:] &= offsets[1:, 0] >= offsets[:-1, 1]  # tokens of one character are never parted
            yield tokens, begins

    def _encoded(self, texts: Sequence[str]) -> list[Encoding]:
        return self._tokenizer.encode_batch(list(texts), add_special_tokens=False)


def _parts_words(tokenizer: Tokenizer) -> bool:
    """Return whether the pre-tokenizer cuts between two words; that of Gemma and Llama takes a whole text for one."""
    text = tokenizer.normalizer.normalize_str("a a") if tokenizer.normalizer else "a a"
    return tokenizer.pre_tokenizer is not None and len(tokenizer.pre_tokenizer.pre_tokenize_str(text)) > 1


def _behind_space(text: str, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return (T,) whether a run of white space begins at a token of ``text`` or since the token before it."""
    space = np.array([False, *(character.isspace() for character in text)])
    runs = np.cumsum(space[1:] & ~space[:-1])
    before = np.concatenate(([0], runs))[np.minimum(offsets + 1, len(runs))]
    return np.diff(before, prepend=0) > 0


def _segmented(
    begins: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int64], starts: set[int], parts: Sequence[tuple[int, int]]
) -> npt.NDArray[np.bool_]:
    """Return (T,) ``begins``, but inside ``parts`` of the text where words ``starts``, at the tokens that reach it.

    ``offsets`` (T,) are the code points at which tokens begin.
    """
    changed = begins.copy()
    for begin, end in parts:
        inside = (offsets >= begin) & (offsets < end)
        changed[inside] = np.isin(offsets[inside], list(starts))
        behind = np.flatnonzero(offsets >= end)
        changed[behind[:1]] = True
    return changed


class ShardWriter:
    """Writes the shards of one split; what waits in memory is bounded by the size of a shard."""

    def __init__(self, folder: Path, split: str, vocabulary: Vocabulary) -> None:
        """Write ``split``-00000.safetensors and so on to ``folder``."""
        self._folder, self._split = folder, split
        self._dtype = np.uint16 if vocabulary.size <= 1 << 16 else np.uint32
        self.counts = {"documents": 0, "tokens": 0, "words": 0, "characters": 0, "shards": 0}
        self.tokens_of: Counter[int] = Counter()
        """Tokens by the number of their source."""
        self.num_unknown, self._unk_id = 0, vocabulary.unk_id
        self._clear()

    def add(
        self,
        tokens: npt.NDArray[np.int64],
        begins: npt.NDArray[np.bool_],
        *,
        identity: npt.NDArray[np.uint8],
        characters: int,
        source: int,
    ) -> None:
        """Append a document."""
        self._tokens.append(tokens.astype(self._dtype))
        self._begins.append(begins)
        self._documents.append((len(tokens), characters, source))
        self._ids.append(identity)
        self._waiting += len(tokens)
        self.counts["documents"] += 1
        self.counts["tokens"] += len(tokens)
        self.tokens_of[source] += len(tokens)
        self.num_unknown += int((tokens == self._unk_id).sum())
        self.counts["words"] += int(begins.sum())
        self.counts["characters"] += characters
        if self._waiting >= _SHARD_TOKENS:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a shard."""
        if not self._documents:
            return
        sizes, characters, sources = np.array(self._documents, dtype=np.int64).T
        tensors: Tensors = {
            "tokens": np.concatenate(self._tokens),
            "starts": np.concatenate(([0], np.cumsum(sizes))),
            "ids": np.stack(self._ids),
            "characters": characters.astype(np.int32),
            "source": sources.astype(np.int32),
            "word_start": np.packbits(np.concatenate(self._begins)),
        }
        write_tensors(self._folder / f"{self._split}-{self.counts['shards']:05}.safetensors", tensors)
        self.counts["shards"] += 1
        self._clear()

    def _clear(self) -> None:
        self._tokens: list[npt.NDArray[Any]] = []
        self._begins: list[npt.NDArray[np.bool_]] = []
        self._documents: list[tuple[int, int, int]] = []
        self._ids: list[npt.NDArray[np.uint8]] = []
        self._waiting = 0


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a split, memory-mapped."""

    tokens: npt.NDArray[Any]
    """(T,) uint16 or uint32"""
    starts: npt.NDArray[np.int64]
    """(N + 1,) in this shard's tokens"""
    ids: npt.NDArray[np.uint8]
    """(N, 16)"""
    characters: npt.NDArray[np.int32]
    source: npt.NDArray[np.int32]
    word_start: npt.NDArray[np.uint8]
    """(ceil(T / 8),) packed bits"""

    def begins(self) -> npt.NDArray[np.bool_]:
        """Return (T,) whether a word begins at each token."""
        return np.unpackbits(self.word_start, count=len(self.tokens)).view(np.bool_)


class Split:
    """The documents of one split across its shards; a token has one number in all of them, and so has a document."""

    def __init__(self, folder: Path, name: str, num_shards: int) -> None:
        """Map the shards of the split ``name`` in ``folder``. Raises DataError for one that is missing or damaged."""
        self.name = name
        self.shards = [_open_shard(folder / f"{name}-{number:05}.safetensors") for number in range(num_shards)]
        self.token_starts = np.cumsum([0, *(len(shard.tokens) for shard in self.shards)])
        self.document_starts = np.cumsum([0, *(len(shard.ids) for shard in self.shards)])

    @property
    def num_documents(self) -> int:
        """How many documents there are."""
        return int(self.document_starts[-1])

    @property
    def num_tokens(self) -> int:
        """How many tokens there are, special ones not counted."""
        return int(self.token_starts[-1])

    def ids(self) -> npt.NDArray[np.uint8]:
        """Return (N, 16) the ids of all documents."""
        return np.concatenate([shard.ids for shard in self.shards] or [np.zeros((0, ID_BYTES), dtype=np.uint8)])

    def documents(self) -> npt.NDArray[np.uint64]:
        """Return (N,) the low 64 bits of the ids of all documents: their names in Rows."""
        return low64(self.ids())

    def characters(self) -> npt.NDArray[np.int32]:
        """Return (N,) the lengths of all documents in characters."""
        return np.concatenate([shard.characters for shard in self.shards] or [np.zeros(0, dtype=np.int32)])

    def take(
        self, places: npt.NDArray[np.int64], shard: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        """Return the tokens at ``places`` (P,) and 1 where a word begins there; ``shard`` (P,) is where each lies.

        A place outside of its shard gives that shard's nearest token.
        """
        if len(self.shards) == 1:
            return _take(self.shards[0], places)
        tokens, begins = np.empty(len(places), dtype=np.int32), np.empty(len(places), dtype=np.uint8)
        for number in np.unique(shard):
            mine = np.flatnonzero(shard == number)
            tokens[mine], begins[mine] = _take(self.shards[number], places[mine] - self.token_starts[number])
        return tokens, begins


def _take(shard: Shard, places: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    packed = shard.word_start.take(places >> 3, mode="clip")
    begins = (packed >> (7 - (places & 7)).astype(np.uint8)) & np.uint8(1)
    return shard.tokens.take(places, mode="clip").astype(np.int32), begins


def _open_shard(path: Path) -> Shard:
    tensors, _ = open_tensors(path)
    try:
        return Shard(**tensors)
    except TypeError:
        raise DataError(path, "is not a shard of this version; build the corpus again") from None
