"""Phrases of the user's: names of things and people whose words are hidden together or not at all.

They are found in whole documents, once, so that neither windows nor packing can change a mask: every token knows how
many words back its phrase begins, and counts as part of that word. What bites: a phrase is found as it is written, by
the tokens that the tokenizer makes of it; letter case counts unless the tokenizer folds it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from unmask.corpus.shards import Encoder, Shard, Split
from unmask.corpus.tokenizer import Vocabulary
from unmask.errors import DataError

LONGEST = 255
"""Tokens of the longest phrase."""

LEADS = ("", " ", "(")
"""What a phrase stands behind: nothing, white space, a sign. Many tokenizers write it differently each time."""

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Phrases:
    """A list of phrases as one tokenizer writes them."""

    written: frozenset[Tokens]
    """The tokens of each, behind every one of LEADS."""
    signs: frozenset[int]
    """Tokens of punctuation and symbols: where words are what stands between two spaces, these bound a phrase too."""
    count: int

    @property
    def digest(self) -> str:
        """Name the phrases by their tokens."""
        return blake2b(repr(sorted(self.written)).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class PhrasePlaces:
    """Where the phrases of a list stand in a split."""

    back: npt.NDArray[np.uint8]
    """(T,) how many words back the phrase begins that a token belongs to."""
    listed: int
    """Phrases in the list."""

    def counts(self, split: Split) -> dict[str, int | float]:
        """Return how many phrases are ``listed``, in how many ``places`` of ``split`` one stands, their words' share.

        Phrases of one word are left out: all units but token hide them whole anyway.
        """
        places = later = words = 0
        for shard, start in zip(split.shards, split.token_starts.tolist(), strict=False):
            begins = shard.begins()
            back = self.back[start : start + len(begins)][begins]
            places += int(np.count_nonzero(back == 1))  # a phrase has one second word
            later += int(np.count_nonzero(back))
            words += len(back)
        return {"listed": self.listed, "places": places, "word_share": (places + later) / max(1, words)}


def read_phrases(path: Path, tokenizer: Tokenizer, vocabulary: Vocabulary) -> Phrases:
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
    encoder, written = Encoder(tokenizer, vocabulary), set()
    for lead in LEADS:
        for number, tokens in zip(phrases, _behind(lead, phrases.values(), encoder), strict=True):
            if tokens is None:
                continue
            if not tokens or vocabulary.unk_id in tokens:
                raise DataError(path, f"the tokenizer has no tokens for {phrases[number]!r}; leave it out", line=number)
            if len(tokens) > LONGEST:
                raise DataError(path, f"a phrase has at most {LONGEST} tokens, this has {len(tokens)}", line=number)
            written.add(tokens)
    return Phrases(frozenset(written), _signs(tokenizer, vocabulary), len(set(phrases.values())))


def words_back(split: Split, phrases: Phrases) -> npt.NDArray[np.uint8]:
    """Return (T,) for the tokens of ``split`` how many words back the phrase begins that they belong to.

    Where phrases overlap, the one that begins first counts, and of those the longest. A word that is a phrase's in part
    (its comma is left) belongs to it as a whole.
    """
    parts = [_in_shard(shard, phrases) for shard in split.shards]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def _behind(lead: str, phrases: Iterable[str], encoder: Encoder) -> Iterator[Tokens | None]:
    """Yield the tokens of each phrase behind ``lead``, or None where a token holds something of both."""
    [(tokens, _)] = encoder.encode([lead])
    before = tokens.tolist() if lead.strip() else []  # white space goes into the phrase's own first token
    for led, _ in encoder.encode([lead + phrase for phrase in phrases]):
        apart = led[: len(before)].tolist() == before
        yield tuple(led[len(before) :].tolist()) if apart else None


def _signs(tokenizer: Tokenizer, vocabulary: Vocabulary) -> frozenset[int]:
    """Return the ordinary tokens that are nothing but punctuation and symbols; a piece of a character is neither."""
    ids = vocabulary.ordinary_ids.tolist()
    texts = tokenizer.decode_batch([[number] for number in ids], skip_special_tokens=False)
    return frozenset(
        number
        for number, text in zip(ids, texts, strict=True)
        if "\ufffd" not in text and all(unicodedata.category(character)[0] in "PSZ" for character in text)
    )


def _in_shard(shard: Shard, phrases: Phrases) -> npt.NDArray[np.uint8]:
    begins = shard.begins()
    word = np.cumsum(begins)
    first = np.append(np.flatnonzero(begins), len(begins))  # the first token of each word, and the end
    back = np.zeros(len(begins), np.uint8)
    free_from = 0
    for begin, end in _matches(np.asarray(shard.tokens), begins, shard.starts, phrases):
        if begin >= free_from:
            free_from = int(first[word[end - 1]])
            back[begin:free_from] = word[begin:free_from] - word[begin]
    return back


def _matches(
    tokens: npt.NDArray[np.integer],
    begins: npt.NDArray[np.bool_],
    starts: npt.NDArray[np.int64],
    phrases: Phrases,
) -> Iterator[tuple[int, int]]:
    """Yield begin and end of whatever is written like a phrase within a document, between ends of words and signs.

    In the order of the beginnings, the longest first.
    """
    by_first = _by_first_two(phrases.written)
    following = np.append(tokens[1:], tokens.dtype.type(0)).astype(np.int64)
    pairs = tokens.astype(np.int64) << 32 | following
    likely = np.flatnonzero(np.isin(pairs, np.array(list(by_first), np.int64)))
    limits = starts[np.searchsorted(starts, likely, side="right")]
    for begin, limit, pair in zip(likely.tolist(), limits.tolist(), pairs[likely].tolist(), strict=True):
        if not begins[begin] and int(tokens[begin - 1]) not in phrases.signs:
            continue
        for length in by_first[pair]:
            end = begin + length
            if end > limit or tuple(tokens[begin:end].tolist()) not in phrases.written:
                continue
            if end == limit or begins[end] or int(tokens[end]) in phrases.signs:
                yield begin, end


def _by_first_two(written: frozenset[Tokens]) -> dict[int, list[int]]:
    """Return the lengths of phrases by their first two tokens, the longest first.

    One token is one word and needs no finding.
    """
    found: dict[int, set[int]] = {}
    for tokens in written:
        if len(tokens) > 1:
            found.setdefault(tokens[0] << 32 | tokens[1], set()).add(len(tokens))
    return {pair: sorted(lengths, reverse=True) for pair, lengths in found.items()}
