"""A finished tokenizer, grown by whole words of a text: what it cut into several tokens becomes one.

Text without the new words is cut as before, for each kind of model in its own way: WordPiece is handed whole words
before it cuts, BPE looks a whole word up before it merges, and a Unigram model holds the word as hardly likelier than
its pieces together, so that it joins them and moves no other border. What bites: the library numbers added tokens by
itself, so the new ids are the next ones only where the old ones have no gap.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

from unmask.corpus.tokenizer import parse_tokenizer, tokenizer_fingerprint, vocabulary_of
from unmask.errors import ModelError

LEAST_SEEN: Final = 20
"""Occurrences in train from which a word may become a token: what is rarer hardly moves its new row."""

_WHOLE = pre_tokenizers.Split(Regex(r"(?<!\w)[\p{L}\p{M}]+(?!\w)"), "isolated")
_BEGINS_WORD: Final = "▁"  # Metaspace's sign for the space before a word
_LIKELIER: Final = 1e-6  # nats; above rounding, and below any difference that decides between two ways to cut


def words_to_grow(tokenizer: Tokenizer, texts: Iterable[str], count: int) -> list[str]:
    """Return up to ``count`` words of ``texts`` as the model of ``tokenizer`` reads them, the most worthwhile first.

    A word is worth its occurrences times the tokens that it saves each time; ties go by the alphabet. One with an
    unknown piece is left out: nothing is known to begin from. Raises ModelError for a kind of tokenizer that can not be
    grown, or where no word is worth anything.
    """
    kind, known, unknown = _kind_of(tokenizer), tokenizer.get_vocab(with_added_tokens=True), _unknown(tokenizer)
    seen = Counter(word for text in texts for word in kind.words(tokenizer, text))
    worth = {}
    for word, times in seen.items():
        if times >= LEAST_SEEN and word not in known:
            pieces = pieces_of(tokenizer, word)
            if unknown not in pieces:
                worth[word] = times * (len(pieces) - 1)
    chosen = sorted((word for word in worth if worth[word]), key=lambda word: (-worth[word], word))[:count]
    if not chosen:
        raise ModelError(
            f"no word of the text that occurs {LEAST_SEEN} times in train is cut into several tokens; "
            "leave out tokenizer.grow, or give more text"
        )
    return chosen


def grow(tokenizer: Tokenizer, words: Sequence[str]) -> Tokenizer:
    """Return ``tokenizer`` with ``words``, as its model reads them, as ordinary tokens behind all others, in order.

    Raises ModelError for a kind of tokenizer that can not be grown.
    """
    kind, ids = _kind_of(tokenizer), tokenizer.get_vocab(with_added_tokens=True)
    if max(ids.values()) + 1 != len(ids):
        raise ModelError(f"the tokenizer has ids up to {max(ids.values())} for {len(ids)} tokens and can not be grown")
    return kind.grow(tokenizer, words, len(ids))


def pieces_of(tokenizer: Tokenizer, word: str) -> list[int]:
    """Return the ids that the model of ``tokenizer`` cuts ``word`` into, which is written as that model reads it."""
    return [token.id for token in tokenizer.model.tokenize(word)]


def pieces_of_new(base: Tokenizer, grown: Tokenizer) -> list[list[int]] | None:
    """Return the pieces in ``base`` of each token that ``grown`` has behind those of ``base``, in the order of ids.

    Nothing where the two are the same, None where ``grown`` is another tokenizer and not ``base`` with new words.
    """
    if tokenizer_fingerprint(base) == tokenizer_fingerprint(grown):
        return []
    size = vocabulary_of(base).size
    ids = grown.get_vocab(with_added_tokens=True)
    words = sorted((word for word, number in ids.items() if number >= size), key=ids.__getitem__)
    try:
        is_grown = tokenizer_fingerprint(grow(base, words)) == tokenizer_fingerprint(grown)
    except ModelError:
        return None
    return [pieces_of(base, word) for word in words] if is_grown else None


def _unknown(tokenizer: Tokenizer) -> int | None:
    return vocabulary_of(tokenizer).unk_id


def _normal(tokenizer: Tokenizer, text: str) -> str:
    return tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text


def _is_letters(text: str) -> bool:
    return bool(text) and all(unicodedata.category(character)[0] in "LM" for character in text)


def _parts(tokenizer: Tokenizer, text: str) -> Iterator[tuple[str, str]]:
    """Yield what the pre-tokenizer makes of ``text``: each part as the model reads it, and as it was written."""
    normal = _normal(tokenizer, text)
    for part, (start, end) in tokenizer.pre_tokenizer.pre_tokenize_str(normal):
        yield part, normal[start:end]


def _whole_words(tokenizer: Tokenizer, text: str) -> Iterator[str]:
    """Yield the words that no other character of a word touches: those that an added token of a single word matches."""
    return (part for part, _ in _WHOLE.pre_tokenize_str(_normal(tokenizer, text)) if _is_letters(part))


def _whole_parts(tokenizer: Tokenizer, text: str) -> Iterator[str]:
    """Yield the parts of the pre-tokenizer that are one word, with the space before it where that is part of it."""
    return (part for part, written in _parts(tokenizer, text) if _is_letters(written.strip(" ")))


def _first_words(tokenizer: Tokenizer, text: str) -> Iterator[str]:
    """Yield the words that follow a space, with its sign; a part may go on behind the word, as with a comma."""
    for part, _ in _parts(tokenizer, text):
        if part.startswith(_BEGINS_WORD) and _is_letters(part[1:2]):
            yield _BEGINS_WORD + "".join(takewhile(_is_letters, part[1:]))


def _grow_wordpiece(tokenizer: Tokenizer, words: Sequence[str], size: int) -> Tokenizer:
    """A new entry of the vocabulary would also cut longer words that begin with it, so words are added tokens."""
    grown = parse_tokenizer(tokenizer.to_str())
    grown.add_tokens([AddedToken(word, single_word=True, normalized=True, special=False) for word in words])
    assert [grown.token_to_id(word) for word in words] == list(range(size, size + len(words)))
    return grown


def _grow_bpe(tokenizer: Tokenizer, words: Sequence[str], size: int) -> Tokenizer:
    """Whole words are looked up before merging; for old entries that must come to the same.

    Added tokens join the model's own vocabulary, since the library would number them anew behind the words.
    """
    for token in tokenizer.get_vocab(with_added_tokens=False):
        is_made = [made.value for made in tokenizer.model.tokenize(token)] == [token]
        if not is_made and _can_be_read(tokenizer, token):
            raise ModelError(
                f"the tokenizer holds {token!r}, which its merges never make: grown, it would cut text otherwise"
            )
    described = json.loads(tokenizer.to_str())
    described["model"]["vocab"] = tokenizer.get_vocab(with_added_tokens=True) | _numbered(words, size)
    described["model"]["ignore_merges"] = True
    return parse_tokenizer(json.dumps(described))


def _can_be_read(tokenizer: Tokenizer, token: str) -> bool:
    """Return whether some text has ``token`` as one whole part."""
    written = tokenizer.decoder.decode([token]) if tokenizer.decoder else token
    return [part for part, _ in tokenizer.pre_tokenizer.pre_tokenize_str(written)] == [token]


def _grow_unigram(tokenizer: Tokenizer, words: Sequence[str], size: int) -> Tokenizer:
    """The score of a word is that of its pieces together, and a trifle more."""
    described: dict[str, Any] = json.loads(tokenizer.to_str())
    pieces = described["model"]["vocab"]
    if len(pieces) != size:
        raise ModelError("the tokenizer has tokens outside of its Unigram model and can not be grown")
    scores = [sum(pieces[number][1] for number in pieces_of(tokenizer, word)) + _LIKELIER for word in words]
    pieces += [list(entry) for entry in zip(words, scores, strict=True)]
    return parse_tokenizer(json.dumps(described))


def _numbered(words: Sequence[str], first: int) -> dict[str, int]:
    return {word: number for number, word in enumerate(words, start=first)}


@dataclass(frozen=True, slots=True)
class _Kind:
    words: Callable[[Tokenizer, str], Iterator[str]]
    grow: Callable[[Tokenizer, Sequence[str], int], Tokenizer]


_KINDS: Final[Mapping[type[models.Model], _Kind]] = {
    models.WordPiece: _Kind(_whole_words, _grow_wordpiece),
    models.BPE: _Kind(_whole_parts, _grow_bpe),
    models.Unigram: _Kind(_first_words, _grow_unigram),
}


def _kind_of(tokenizer: Tokenizer) -> _Kind:
    kind = _KINDS.get(type(tokenizer.model))
    if kind is None or tokenizer.pre_tokenizer is None:
        name = f"{type(tokenizer.model).__name__}{'' if tokenizer.pre_tokenizer else ' over no words'}"
        raise ModelError(f"the tokenizer is a {name}; what can be grown is WordPiece, BPE and Unigram over words")
    return kind
