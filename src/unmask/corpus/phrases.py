"""Phrases of the user's: names of things and people whose words are hidden together or not at all.

They are found in whole documents, once, so that neither windows nor packing can change a mask: every token knows how
many words back its phrase begins, and counts as part of that word. What bites: a phrase is found as it is written, by
the tokens that the tokenizer makes of it; letter case counts unless the tokenizer folds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unmask.corpus.shards import Encoder, Shard, Split
from unmask.corpus.tokenizer import Vocabulary
from unmask.errors import DataError

LONGEST = 255
"""Words of the longest phrase."""

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Phrases:
    """A list of phrases as one tokenizer writes them."""

    written: frozenset[Tokens]
    """The tokens of each, at the start of a text and after a space."""
    count: int

    @property
    def digest(self) -> str:
        """Name the phrases by their tokens."""
        return blake2b(repr(sorted(self.written)).encode(), digest_size=8).hexdigest()


def read_phrases(path: Path, encoder: Encoder, vocabulary: Vocabulary) -> Phrases:
    """Return the phrases in the text file ``path``, one a line; empty lines are passed over.

    Raises DataError where there is no such file, no phrase in it, or one that the tokenizer can not write or that is
    too long.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, f"can not be read as a list of phrases ({error})") from None
    phrases = {number: line.strip() for number, line in enumerate(lines, start=1) if line.strip()}
    if not phrases:
        raise DataError(path, "holds no phrase; write one a line, or choose masking.unit=word")
    written = set()
    for lead in ("", " "):
        encoded = encoder.encode([lead + phrase for phrase in phrases.values()])
        for number, (tokens, begins) in zip(phrases, encoded, strict=True):
            if not len(tokens) or (tokens == vocabulary.unk_id).any():
                raise DataError(path, f"the tokenizer has no tokens for {phrases[number]!r}; leave it out", line=number)
            if begins.sum() > LONGEST:
                raise DataError(path, f"a phrase has at most {LONGEST} words, this has {begins.sum()}", line=number)
            written.add(tuple(tokens.tolist()))
    return Phrases(frozenset(written), len(set(phrases.values())))


def words_back(split: Split, phrases: Phrases) -> npt.NDArray[np.uint8]:
    """Return (T,) for the tokens of ``split`` how many words back the phrase begins that they belong to.

    Where phrases overlap, the one that begins first counts, and of those the longest.
    """
    parts = [_in_shard(shard, phrases) for shard in split.shards]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def _in_shard(shard: Shard, phrases: Phrases) -> npt.NDArray[np.uint8]:
    begins = shard.begins()
    word = np.cumsum(begins)
    back = np.zeros(len(begins), np.uint8)
    free_from = 0
    for begin, end in _matches(np.asarray(shard.tokens), begins, shard.starts, phrases):
        if begin >= free_from:
            back[begin:end] = word[begin:end] - word[begin]
            free_from = end
    return back


def _matches(
    tokens: npt.NDArray[np.integer],
    begins: npt.NDArray[np.bool_],
    starts: npt.NDArray[np.int64],
    phrases: Phrases,
) -> Iterator[tuple[int, int]]:
    """Yield begin and end of whatever is written like a phrase, from word to word within a document.

    In the order of the beginnings, the longest first.
    """
    by_first = _by_first_two(phrases.written)
    pairs = np.array(list(by_first), np.int64)
    following = np.append(tokens[1:], tokens[:0].dtype.type(0)).astype(np.int64)
    likely = begins & np.isin(tokens.astype(np.int64) << 32 | following, pairs)
    ends = np.append(begins, True)  # a phrase ends where a word begins, or the shard ends
    for begin in np.flatnonzero(likely).tolist():
        limit = int(starts[np.searchsorted(starts, begin, side="right")])
        for written in by_first[int(tokens[begin]) << 32 | int(following[begin])]:
            end = begin + len(written)
            if end <= limit and ends[end] and tuple(tokens[begin:end].tolist()) == written:
                yield begin, end


def _by_first_two(written: frozenset[Tokens]) -> dict[int, list[Tokens]]:
    """Return the phrases by their first two tokens, the longest first; one token is one word and needs no finding."""
    found: dict[int, list[Tokens]] = {}
    for tokens in sorted(written, key=lambda tokens: (-len(tokens), tokens)):
        if len(tokens) > 1:
            found.setdefault(tokens[0] << 32 | tokens[1], []).append(tokens)
    return found
