"""From texts to the windows of token ids that a task's network reads, the same in training and in use.

Offsets are code points of the text as it was given, end exclusive. What bites: text that merely says [MASK] or [SEP] is
ordinary text, and words are found by their offsets, so a tokenizer may merge, fold or drop characters as it likes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from unmask.corpus.tokenizer import Vocabulary, parse_tokenizer
from unmask.errors import ModelError, SettingError

Ints = npt.NDArray[np.int64]
_JOINED = ("Mn", "Mc", "Me", "Cf")
"""Categories of code points that belong to the letter before them: marks, joiners, variation selectors."""

Word = tuple[int, int]
"""First code point of a word, and the one after its last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window of an example, special tokens included: L tokens, A of them asked for a score."""

    example: int
    """Number of the text, the text of words or the question that it is from."""
    input_ids: npt.NDArray[np.int32]
    """(L,)"""
    token_type_ids: npt.NDArray[np.int32]
    """(L,): 1 in the second text of a pair."""
    asked: Ints
    """(A,) ascending: [CLS] for a text, the first tokens of words for tags."""
    words: Ints
    """(A,) which word of the example each asked place stands for; 0 where there are no words."""
    spans: npt.NDArray[np.int32]
    """(L, 2) which code points of the context a token covers; (-1, -1) outside of a context."""
    is_cut: bool
    """Whether the example goes on after its last window."""


class WindowMaker:
    """Cuts texts into windows of at most ``max_length`` tokens; where a text takes several, they share ``stride``."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary, max_length: int, stride: int = 0) -> None:
        """Take a copy of ``tokenizer``. Raises SettingError where no text would fit between the special tokens."""
        self.tokenizer = parse_tokenizer(tokenizer.to_str())
        self._separators = max(1, self.tokenizer.num_special_tokens_to_add(is_pair=True) - 2)  # RoBERTa has two
        self.tokenizer.encode_special_tokens = True
        self._first, self._last = vocabulary.cls_id, vocabulary.sep_id
        self._longest, self._stride = max_length, stride
        if not 0 <= stride < (max_length - 2) // 2:
            raise SettingError(f"stride must be in [0, {(max_length - 2) // 2}), half of a window, got {stride}")

    def texts(self, texts: Sequence[str], pairs: Sequence[str | None] | None = None) -> list[Window]:
        """Return the one window of each text, or of each text and its pair; the longer of the two is cut first."""
        seconds = pairs or [None] * len(texts)
        encoded = zip(self._encoded(texts), self._encoded([pair or "" for pair in seconds]), strict=True)
        windows = []
        for number, ((one, two), pair) in enumerate(zip(encoded, seconds, strict=True)):
            left = self._longest - 2 - (self._separators if pair is not None else 0)
            room_two = min(len(two), max(left // 2, left - len(one)))
            room_one = min(len(one), left - room_two)
            second = None if pair is None else two.ids[:room_two]
            is_cut = room_one < len(one) or room_two < len(two)
            windows.append(self._window(number, one.ids[:room_one], second, asked=[0], words=[0], is_cut=is_cut))
        return windows

    def words(self, texts: Sequence[str], words: Sequence[Sequence[Word]]) -> list[Window]:
        """Return the windows of each text, in which every one of its ``words`` that has a token is asked once.

        Windows begin at words, and a word is asked in the window that shows most of what is around it.
        """
        windows = []
        for number, (encoding, spans) in enumerate(zip(self._encoded(texts), words, strict=True)):
            offsets = _covered(encoding, texts[number])
            first, word = _first_tokens(offsets, spans)
            cuts = list(self._cuts(len(encoding), self._longest - 2, first))
            owner = _owners(first, cuts)
            for at, (begin, end) in enumerate(cuts):
                mine = owner == at
                windows.append(
                    self._window(
                        number,
                        encoding.ids[begin:end],
                        asked=(first[mine] - begin + 1).tolist(),
                        words=word[mine].tolist(),
                        is_cut=end < len(encoding),
                    )
                )
        return windows

    def contexts(self, questions: Sequence[str], contexts: Sequence[str]) -> list[Window]:
        """Return the windows of each context, its question before each; a question takes half a window at most."""
        windows = []
        encoded = zip(self._encoded(questions), self._encoded(contexts), strict=True)
        for number, (question, context) in enumerate(encoded):
            left = self._longest - 2 - self._separators
            asks = question.ids[: left // 2]
            offsets = _covered(context, contexts[number])
            for begin, end in self._cuts(len(context), left - len(asks), np.arange(len(context))):
                windows.append(
                    self._window(
                        number,
                        asks,
                        context.ids[begin:end],
                        asked=[0],
                        words=[0],
                        is_cut=end < len(context),
                        spans=offsets[begin:end],
                    )
                )
        return windows

    def _encoded(self, texts: Sequence[str]) -> list[Encoding]:
        if isinstance(texts, str):
            raise ModelError("texts must be a list of texts, got one text; put it in a list")
        return self.tokenizer.encode_batch(list(texts), add_special_tokens=False)

    def _cuts(self, num_tokens: int, room: int, starts: Ints) -> Iterator[tuple[int, int]]:
        """Yield begin and end of the windows over ``num_tokens``, cut at ``starts`` where there is one in reach."""
        begin = 0
        while True:
            end = min(begin + room, num_tokens)
            if end < num_tokens:
                inside = starts[(starts > begin) & (starts <= end)]
                end = int(inside[-1]) if len(inside) else end
            yield begin, end
            if end == num_tokens:
                return
            back = starts[(starts >= end - self._stride) & (starts > begin)]
            begin = int(back[0]) if len(back) and back[0] < end else end

    def _window(
        self,
        example: int,
        first: Sequence[int],
        second: Sequence[int] | None = None,
        *,
        asked: Sequence[int],
        words: Sequence[int],
        is_cut: bool,
        spans: Ints | None = None,
    ) -> Window:
        one, between = [self._first, *first, self._last], [self._last] * (self._separators - 1)
        two = [] if second is None else [*between, *second, self._last]
        covered = np.full((len(one) + len(two), 2), -1, np.int32)
        if spans is not None and len(spans):
            covered[-1 - len(spans) : -1] = spans
        return Window(
            example=example,
            input_ids=np.array([*one, *two], np.int32),
            token_type_ids=np.repeat(np.array([0, 1], np.int32), [len(one), len(two)]),
            asked=np.array(asked, np.int64),
            words=np.array(words, np.int64),
            spans=covered,
            is_cut=is_cut,
        )


def _covered(encoding: Encoding, text: str) -> Ints:
    """Return (T, 2) which code points each token covers.

    Without the white space that some tokenizers count to a token, and with the marks behind a letter that a normaliser
    has joined to it.
    """
    offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    for token, (start, end) in enumerate(offsets):
        piece = text[start:end]
        if piece[:1].isspace() or piece[-1:].isspace():
            offsets[token] = start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
            offsets[token, 1] = max(offsets[token])  # a token of nothing but space covers nothing
    if len(offsets) and not text.isascii():
        following = np.append(offsets[1:, 0], len(text))
        for token, limit in enumerate(following):
            while offsets[token, 1] < limit and unicodedata.category(text[offsets[token, 1]]) in _JOINED:
                offsets[token, 1] += 1
    return offsets


def _first_tokens(offsets: Ints, words: Sequence[Word]) -> tuple[Ints, Ints]:
    """Return the first token of each word that begins a token of its own, ascending, and the number of that word."""
    if not len(words) or not len(offsets):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    start, end = np.array(words, np.int64).T
    reach = np.maximum.accumulate(offsets[:, 1])  # a token may cover nothing
    first = np.searchsorted(reach, start, side="right")
    found = first < len(offsets)
    found[found] &= offsets[first[found], 0] < end[found]
    word = np.flatnonzero(found)
    word = word[np.diff(first[word], prepend=-1) > 0]  # two words in one token: it speaks for the first
    return first[word], word


def _owners(first: Ints, cuts: Sequence[tuple[int, int]]) -> Ints:
    """Return for the tokens ``first`` (A,) which window shows most on the side where it shows least."""
    begin, end = np.array(cuts, np.int64).T
    begin[0], end[-1] = begin[0] - end[-1] - 1, 2 * end[-1] + 1  # nothing is missing where the text ends
    least = np.minimum(first[:, None] - begin, end - 1 - first[:, None])
    return np.asarray(least.argmax(1))
