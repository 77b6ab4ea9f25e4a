"""Windows of tasks: every word asked once, every offset where the text says, whatever the tokenizer makes of it."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

from unmask.corpus.tokenizer import TokenizerSettings, train_tokenizer, vocabulary_of
from unmask.errors import ModelError, SettingError
from unmask.inference.encoding import Window, WindowMaker

TEXTS = [
    "The reader copies a small array, in order.",
    "Cafe\u0301 nai\u0308ve \u00c9cole",  # combining marks
    "\U0001f469\U0001f3fd\u200d\U0001f680 flew to \U0001f30d twice",  # an emoji of four code points
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd, \u0645\u0631\u062d\u0628\u0627",  # right to left
    "first line\r\nsecond line\r\n\r\nthird",
    "\u4e2d\u6587\u6587\u672c and a \u0e44\u0e17\u0e22 word",
    "",
    "   ",
]
KINDS = ("wordpiece", "bpe", "unigram")


def tokenizer_of(kind: str) -> Tokenizer:
    size = 400 if kind == "bpe" else 120
    return train_tokenizer(TEXTS * 3, TokenizerSettings(kind=kind, vocab_size=size))  # type: ignore[arg-type]


TOKENIZERS = {kind: tokenizer_of(kind) for kind in KINDS}


def maker_of(kind: str, max_length: int = 512, stride: int = 0) -> WindowMaker:
    tokenizer = TOKENIZERS[kind]
    return WindowMaker(tokenizer, vocabulary_of(tokenizer), max_length, stride)


def words_of(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(r"\S+", text)]


def piece(window: Window, text: str, place: int) -> str:
    start, end = window.spans[place]
    return text[start:end]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS[:6])
def test_the_tokens_of_a_context_cover_its_words_and_nothing_else(kind: str, text: str) -> None:
    (window,) = maker_of(kind).contexts(["What?"], [text])
    covered = [False] * len(text)
    for start, end in window.spans[window.spans[:, 0] >= 0]:
        covered[start:end] = [True] * (end - start)
    for place, is_covered in enumerate(covered):
        assert is_covered or text[place].isspace() or not text[place].isprintable(), (text, place)
    assert not any(piece(window, text, place).isspace() for place in range(len(window.spans)))
    assert (window.spans[window.token_type_ids == 0] == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_asked_at_the_token_that_begins_them(kind: str) -> None:
    for text in TEXTS[:6]:
        spans = words_of(text)
        (window,) = maker_of(kind).words([text], [spans])
        (plain,) = maker_of(kind).contexts([""], [text])
        shift = len(plain.input_ids) - len(window.input_ids)
        assert window.words.tolist() == list(range(len(spans)))
        for place, word in zip(window.asked, window.words, strict=True):
            start, end = plain.spans[place + shift]
            assert spans[word][0] <= start < spans[word][1] or start <= spans[word][0] < end


@given(
    words=st.lists(st.sampled_from(["copies", "a", "extraordinarily", "xyzzyxyzzyxyzzy", ","]), max_size=60),
    length=st.integers(8, 40),
    stride=st.integers(0, 10),
)
def test_windows_ask_every_word_once_where_it_sees_most(words: list[str], length: int, stride: int) -> None:
    stride = min(stride, (length - 2) // 2 - 1)
    text, spans = " ".join(words), words_of(" ".join(words))
    windows = maker_of("wordpiece", length, stride).words([text], [spans])
    (whole,) = maker_of("wordpiece").words([text], [spans])
    asked = Counter(int(word) for window in windows for word in window.words)
    assert asked == Counter(range(len(spans)))
    assert all(len(window.input_ids) <= length for window in windows)
    assert [window.is_cut for window in windows] == [True] * (len(windows) - 1) + [False]
    for window in windows:
        for place, word in zip(window.asked, window.words, strict=True):
            assert window.input_ids[place] == whole.input_ids[whole.asked[word]]


def test_a_word_is_asked_away_from_the_edges_of_windows() -> None:
    text = " ".join(["copies"] * 200)
    spans = words_of(text)
    windows = maker_of("wordpiece", 64, 30).words([text], [spans])
    size = (len(maker_of("wordpiece").words([text], [spans])[0].input_ids) - 2) / 200
    for number, window in enumerate(windows):
        inner = window.asked if number else window.asked[len(window.asked) // 2 :]
        inner = inner[: len(inner) // 2] if window is windows[-1] else inner
        room = min(int(inner.min()), len(window.input_ids) - 1 - int(inner.max()))
        assert room >= 10 or number in (0, len(windows) - 1), (number, room, size)


def test_two_words_in_one_token_let_it_speak_for_the_first() -> None:
    (window,) = maker_of("wordpiece").words(["reader, reader"], [[(0, 3), (3, 6), (6, 7), (8, 14)]])
    assert window.words.tolist()[-1] == 3
    assert len(set(window.asked.tolist())) == len(window.asked)


def test_a_word_without_a_token_is_not_asked_and_takes_nothing_from_the_next() -> None:
    text = "\u200b reader"  # the zero width space is dropped by WordPiece's normaliser
    (window,) = maker_of("wordpiece").words([text], [[(0, 1), (2, 8)]])
    assert 1 in window.words.tolist()


def test_a_pair_is_cut_where_it_is_longer() -> None:
    short, long = "a reader", " ".join(["copies"] * 50)
    for pair in ((short, long), (long, short)):
        (window,) = maker_of("wordpiece", 24).texts([pair[0]], [pair[1]])
        (alone,) = maker_of("wordpiece").texts([short])
        assert len(window.input_ids) == 24
        assert window.is_cut
        kept = window.input_ids[window.token_type_ids == (pair.index(short))]
        inner = kept[1:-1] if pair.index(short) == 0 else kept[:-1]
        assert inner.tolist() == alone.input_ids[1:-1].tolist()


def test_two_separators_stand_between_pairs_where_the_tokenizer_has_two() -> None:
    tokenizer = Tokenizer.from_str(TOKENIZERS["wordpiece"].to_str())
    vocabulary = vocabulary_of(tokenizer)
    tokenizer.post_processor = processors.RobertaProcessing(("[SEP]", vocabulary.sep_id), ("[CLS]", vocabulary.cls_id))
    (window,) = WindowMaker(tokenizer, vocabulary, 64).texts(["a reader"], ["a writer"])
    assert (window.input_ids == vocabulary.sep_id).sum() == 3
    (window,) = maker_of("wordpiece", 64).texts(["a reader"], ["a writer"])
    assert (window.input_ids == vocabulary.sep_id).sum() == 2


def test_a_long_context_is_read_in_windows_that_overlap() -> None:
    context = " ".join(f"copies {number}" for number in range(1500))
    assert len(context) > 15_000
    windows = maker_of("bpe", 128, 32).contexts(["What?"], [context])
    seen = np.zeros(len(context), int)
    for window in windows:
        spans = window.spans[window.spans[:, 0] >= 0]
        seen[spans[0, 0] : spans[-1, 1]] += 1
        assert len(window.input_ids) <= 128
        assert (window.example, window.asked.tolist()) == (0, [0])
    assert seen.min() >= 1
    assert 0.15 < (seen > 1).mean() < 0.6


def test_text_that_says_mask_is_text() -> None:
    vocabulary = vocabulary_of(TOKENIZERS["wordpiece"])
    (window,) = maker_of("wordpiece").texts(["a [MASK] and a [SEP]"])
    assert not (window.input_ids[1:-1] == vocabulary.mask_id).any()
    assert (window.input_ids == vocabulary.sep_id).sum() == 1


def test_one_text_for_a_list_and_a_stride_over_half_are_refused() -> None:
    with pytest.raises(ModelError, match="a list of texts"):
        maker_of("wordpiece").texts("a reader")
    with pytest.raises(SettingError, match=r"stride must be in \[0, 15\)"):
        maker_of("wordpiece", 32, 15)
