"""Grown tokenizers: text without the new words is cut as before, and the new words are tokens like all others."""

from __future__ import annotations

from functools import cache
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.made_text import sentences
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from unmask.corpus.growth import LEAST_SEEN, grow, pieces_of, pieces_of_new, words_to_grow
from unmask.corpus.shards import Encoder
from unmask.corpus.tokenizer import TokenizerSettings, parse_tokenizer, train_tokenizer, vocabulary_of
from unmask.errors import ModelError

Kind = Literal["wordpiece", "bpe", "unigram", "characters"]
KINDS: tuple[Kind, ...] = ("wordpiece", "bpe", "unigram", "characters")
NEW = ("Tensorflow", "kubernetes", "naïve", "खाता")
ALPHABET = "".join(chr(letter) for letter in range(0x20, 0x7F)) + "ïखाताé漢字"


@cache
def base(kind: Kind) -> Tokenizer:
    """Return a tokenizer that knows its letters and the commonest words of made text."""
    letters = [" ".join(f"{letter} a{letter}" for letter in ALPHABET)] * 20  # WordPiece knows the two apart
    return train_tokenizer([*sentences(200), *letters], TokenizerSettings(kind=kind, vocab_size=450))


def texts_with_new_words() -> list[str]:
    """Return text in which NEW are frequent and ``seldom`` is not."""
    return [f"{text} A {word}, the {word} ({word})." for text in sentences(40) for word in NEW] + ["a seldom one"] * 9


@cache
def grown(kind: Kind) -> tuple[Tokenizer, tuple[str, ...]]:
    words = words_to_grow(base(kind), texts_with_new_words(), 40)
    return grow(base(kind), words), tuple(words)


PARTS = st.one_of(
    st.sampled_from([*NEW, *(word[:-1] for word in NEW), *(word.upper() for word in NEW), "array", "The", "seldom"]),
    st.sampled_from([" ", " ", " ", "  ", "_", "-", ",", "2", "²", "x", "\n", "'s", "\u200c", "漢", "[MASK]"]),
    st.text(alphabet=ALPHABET, max_size=6),
)


@pytest.mark.parametrize("kind", KINDS)
@given(parts=st.lists(PARTS, max_size=12))
@example(parts=["kubernetesx", " ", "xkubernetes", " ", "kubernetes_a", " ", "kubernetes2"])
def test_text_without_new_words_is_cut_as_before(kind: Kind, parts: list[str]) -> None:
    text = "".join(parts)
    (after, words), before = grown(kind), base(kind)
    now = after.encode(text, add_special_tokens=False)
    old = before.encode(text, add_special_tokens=False)
    if not set(now.tokens) & set(words):
        assert now.ids == old.ids
        assert now.offsets == old.offsets
        assert now.word_ids == old.word_ids
    if kind != "wordpiece":  # which lets a sign that no space parts from a new word begin anew
        in_pieces = [
            piece
            for token, number in zip(now.tokens, now.ids, strict=True)
            for piece in (pieces_of(before, token) if token in words else [number])
        ]
        assert in_pieces == old.ids  # no border has moved: pieces are joined, and nothing else


@pytest.mark.parametrize("kind", KINDS)
def test_new_words_are_whole_and_other_words_are_not_touched(kind: Kind) -> None:
    tokenizer, words = grown(kind)
    for word in NEW[:3] if kind == "bpe" else NEW:  # GPT-2's pre-tokenizer parts Indic letters from their marks
        for text in (f"a {word} is", f"a {word}, is", f"a {word}."):
            now, old = tokenizer.encode(text), base(kind).encode(text)
            assert tokenizer.decode(now.ids) == base(kind).decode(old.ids)
            new = [number for number in now.ids if number >= vocabulary_of(base(kind)).size]
            assert word in [tokenizer.decode([number]).strip() for number in new]
    if kind != "unigram":  # which joins the pieces at the beginning of a longer word, where it had cut there before
        for text in ("kubernetesx", "a xkubernetes", *(() if kind == "bpe" else ("kubernetes_a",))):
            assert tokenizer.encode(text).ids == base(kind).encode(text).ids
    assert not any("seldom" in word for word in words)


@pytest.mark.parametrize("kind", KINDS)
def test_new_words_can_be_hidden_and_drawn(kind: Kind) -> None:
    tokenizer, words = grown(kind)
    before, vocabulary = vocabulary_of(base(kind)), vocabulary_of(tokenizer)
    assert vocabulary.special_ids == before.special_ids
    assert vocabulary.size == before.size + len(words)
    assert vocabulary.ordinary_ids.tolist() == [*before.ordinary_ids.tolist(), *range(before.size, vocabulary.size)]
    assert [tokenizer.token_to_id(word) for word in words] == list(range(before.size, vocabulary.size))
    tokens, begins = next(Encoder(tokenizer, vocabulary).encode(["to kubernetes or [MASK] kubernetes"]))
    is_new = tokens >= before.size
    assert is_new.sum() >= 2
    assert begins[is_new].all()
    assert vocabulary.mask_id not in tokens


@pytest.mark.parametrize("kind", KINDS)
def test_a_grown_tokenizer_is_known_again_and_grows_again(kind: Kind) -> None:
    tokenizer, words = grown(kind)
    stored = parse_tokenizer(tokenizer.to_str(pretty=True))
    assert pieces_of_new(base(kind), stored) == [pieces_of(base(kind), word) for word in words]
    assert pieces_of_new(stored, tokenizer) == []
    assert pieces_of_new(tokenizer, base(kind)) is None
    others = [text.replace("array", "quixotic") for text in texts_with_new_words()]
    again = grow(stored, words_to_grow(stored, others, 1))
    assert len(pieces_of_new(stored, again) or []) == 1
    assert pieces_of_new(base(kind), again) is not None
    assert again.encode("The kubernetes").ids == tokenizer.encode("The kubernetes").ids
    other = "unigram" if kind == "bpe" else "bpe"
    assert pieces_of_new(base(kind), grown(other)[0]) is None
    if kind == "wordpiece":  # the same tokens under the same ids, and text is cut otherwise
        loose = parse_tokenizer(base(kind).to_str())
        loose.add_tokens([AddedToken(word, single_word=False, normalized=True) for word in words])
        assert pieces_of_new(base(kind), loose) is None


def test_a_new_unigram_word_wins_against_its_own_pieces_alone() -> None:
    pieces = {"<unk>": 0.0, "▁a": -3.0, "b": -3.0, "bc": -5.5, "c": -3.0, "▁": -3.0}
    tokenizer = Tokenizer(models.Unigram(list(pieces.items()), unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([AddedToken("<unk>", special=True)])
    with pytest.raises(ModelError, match="has no pad, cls, sep, mask token"):
        words_to_grow(tokenizer, ["ab"], 1)
    after = grow(tokenizer, ["▁ab"])
    assert after.encode("ab abc abb").tokens == ["▁ab", "▁a", "bc", "▁ab", "b"]  # half a nat is enough for bc to stay


def test_the_words_that_save_most_come_first_the_same_every_time() -> None:
    texts = ["zzzz aaaaaaaa "] * 20 + ["zzzz "] * 60 + ["rare-ish wwwwwwww"] * (LEAST_SEEN - 1)
    tokenizer = base("wordpiece")
    first = words_to_grow(tokenizer, texts, 9)
    saved = {word: len(pieces_of(tokenizer, word)) - 1 for word in ("zzzz", "aaaaaaaa")}
    assert 80 * saved["zzzz"] > 20 * saved["aaaaaaaa"]
    assert first == ["zzzz", "aaaaaaaa"]
    assert words_to_grow(tokenizer, reversed(texts), 9) == first
    assert words_to_grow(tokenizer, texts, 1) == ["zzzz"]


def test_what_can_not_be_grown_says_so() -> None:
    with pytest.raises(ModelError, match="is a WordLevel over no words; what can be grown is"):
        words_to_grow(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), ["a"], 1)
    whole = parse_tokenizer(base("bpe").to_str())
    whole.pre_tokenizer = None
    with pytest.raises(ModelError, match="is a BPE over no words"):
        grow(whole, ["a"])
    with pytest.raises(ModelError, match="leave out tokenizer.grow, or give more text"):
        words_to_grow(base("bpe"), ["kubernetes"] * (LEAST_SEEN - 1), 5)
    special = [AddedToken(name, special=True) for name in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")]
    gap = Tokenizer(models.WordPiece({"a": 0, "##b": 7}, unk_token="a"))
    gap.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    gap.add_special_tokens(special)
    with pytest.raises(ModelError, match="and can not be grown"):
        grow(gap, ["ab"])
    never = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2, "ba": 3, "aba": 4}, [("a", "b"), ("b", "a"), ("a", "ba")]))
    never.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with pytest.raises(ModelError, match="holds 'aba', which its merges never make"):
        grow(never, ["abab"])
    outside = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁a", -1.0)], unk_id=0, byte_fallback=False))
    outside.pre_tokenizer = pre_tokenizers.Metaspace()
    outside.add_special_tokens(special)
    with pytest.raises(ModelError, match="outside of its Unigram model"):
        grow(outside, ["▁a▁a"])
