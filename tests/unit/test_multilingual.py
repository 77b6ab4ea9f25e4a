"""Text of many scripts through every kind of tokenizer: ids, offsets, words, and the filling of gaps."""

# ruff: noqa: RUF001  # other scripts are what this is about

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer

from unmask.corpus.shards import Encoder
from unmask.corpus.tokenizer import TokenizerSettings, train_tokenizer, vocabulary_of
from unmask.inference.predictor import Predictor

Kind = Literal["wordpiece", "bpe", "unigram", "characters"]
KINDS: tuple[Kind, ...] = ("wordpiece", "bpe", "unigram", "characters")

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # three people and two joiners: one symbol to a reader
TEXTS = {
    "french": "Où est passé l'élève naïf ? Il a mangé une crêpe.",
    "german": "Die Straße über den Fluß heißt Äußere Brücke.",
    "vietnamese": "Tiếng Việt có nhiều dấu thanh và chữ ghép.",
    "greek": "Το ποτάμι κυλάει ήσυχα προς τη θάλασσα.",
    "russian": "Ёжик вышел из тумана и увидел йод.",
    "hebrew": "הילדה קוראת ספר בגן ליד הבית.",
    "arabic": "يقرأ الولد كتابًا في الحديقة كل يوم.",
    "persian": "کتاب‌ها روی میز هستند و می‌خوانم.",
    "hindi": "लड़की बगीचे में किताब पढ़ती है।",
    "korean": "아이가 정원에서 책을 읽고 있습니다.",
    "chinese": "孩子们在花园里读书，天气很好。",
    "japanese": "子どもは庭でガラスの本を読みます。",
    "thai": "เด็กอ่านหนังสือในสวนทุกวัน",
    "emoji": f"A family {FAMILY} waves \U0001f44b\U0001f3fd at the flag \U0001f1eb\U0001f1f7 today.",
}


@cache
def trained(kind: Kind, lowercase: bool = False) -> Tokenizer:
    """Return a tokenizer that has seen every character of TEXTS."""
    texts = [unicodedata.normalize("NFC", text) for text in TEXTS.values()]
    settings = TokenizerSettings(kind=kind, vocab_size=1000 if kind != "unigram" else 400, lowercase=lowercase)
    return train_tokenizer(texts * 3, settings)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TEXTS)
def test_ids_are_the_same_however_accents_are_typed(kind: Kind, name: str) -> None:
    composed, apart = (unicodedata.normalize(form, TEXTS[name]) for form in ("NFC", "NFD"))
    tokenizer = trained(kind)
    assert tokenizer.encode(apart).ids == tokenizer.encode(composed).ids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TEXTS)
def test_nothing_that_was_seen_is_unknown_and_offsets_cover_the_text(kind: Kind, name: str) -> None:
    text, tokenizer = unicodedata.normalize("NFC", TEXTS[name]), trained(kind)
    encoding = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.token_to_id("[UNK]") not in encoding.ids
    covered = np.zeros(len(text), dtype=np.bool_)
    last = 0
    for start, stop in encoding.offsets:
        assert last <= start < stop <= len(text), "in order, never empty"
        covered[start:stop] = True
        last = start
    dropped = {character for character, is_covered in zip(text, covered, strict=True) if not is_covered}
    if kind == "wordpiece":  # as in BERT, control characters go: the joiners of an emoji, of Persian
        dropped -= {character for character in dropped if unicodedata.category(character) == "Cf"}
    assert all(character.isspace() for character in dropped)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TEXTS)
def test_words_are_runs_of_tokens_that_no_space_divides(kind: Kind, name: str) -> None:
    text, tokenizer = unicodedata.normalize("NFC", TEXTS[name]), trained(kind)
    encoding = tokenizer.encode(text, add_special_tokens=False)
    words = [word for word in encoding.word_ids if word is not None]
    assert len(words) == len(encoding)
    assert words == sorted(words), "numbered in order, so that a word is one run of tokens"
    for number in set(words):
        offsets = [offset for offset, word in zip(encoding.offsets, words, strict=True) if word == number]
        piece = text[offsets[0][0] : offsets[-1][1]]
        assert len(piece.split()) <= 1
    [(_, begins)] = Encoder(tokenizer, vocabulary_of(tokenizer)).encode([text])
    assert begins.sum() == len(set(words))


def pieces(kind: Kind, text: str) -> list[str]:
    """Return the words that a tokenizer sees in ``text``."""
    encoding = trained(kind).encode(text, add_special_tokens=False)
    found: dict[int | None, list[tuple[int, int]]] = {}
    for word, offset in zip(encoding.word_ids, encoding.offsets, strict=True):
        found.setdefault(word, []).append(offset)
    return [text[offsets[0][0] : offsets[-1][1]] for offsets in found.values()]


def test_words_of_characters_are_words_and_symbols() -> None:
    assert pieces("characters", "Il a mangé, là.") == ["Il", " ", "a", " ", "mangé", ",", " ", "là", "."]
    assert pieces("characters", "孩子们在") == list("孩子们在")
    assert pieces("characters", "สวนทุก") == ["ส", "ว", "น", "ทุ", "ก"], "a vowel stays with its consonant"
    assert pieces("characters", f"A {FAMILY}s") == ["A", " ", FAMILY, "s"]
    assert pieces("characters", "a" * 32) == ["a" * 32]
    assert pieces("characters", "a" * 33) == ["a"] * 33, "a sequence is no word"


def test_characters_are_one_token_each_and_read_back_as_they_were() -> None:
    text, tokenizer = "Il  a\n\tmangé", trained("characters")
    tokens = train_tokenizer([text], TokenizerSettings(kind="characters")).encode(text, add_special_tokens=False).tokens
    assert tokens == list(text)
    assert tokenizer.decode(tokenizer.encode("Il a mangé.").ids) == "Il a mangé."
    assert tokenizer.encode("IlΩΩ", add_special_tokens=False).tokens == ["I", "l", "[UNK]", "[UNK]"]
    assert tokenizer.encode("a [MASK] a", add_special_tokens=False).tokens == ["a", " ", "[MASK]", " ", "a"]


def test_rare_characters_have_no_place_in_a_small_vocabulary() -> None:
    texts = ["".join(chr(0x4E00 + number) * (200 - number) for number in range(100))]
    tokenizer = train_tokenizer(texts, TokenizerSettings(kind="characters", vocab_size=64))
    assert tokenizer.get_vocab_size() == 64
    assert set(tokenizer.get_vocab()) >= {chr(0x4E00 + number) for number in range(59)}
    assert tokenizer.to_str() == train_tokenizer(texts, TokenizerSettings(kind="characters", vocab_size=64)).to_str()


@pytest.mark.parametrize("kind", KINDS)
def test_case_is_folded_only_where_it_was_asked_for(kind: Kind) -> None:
    for name, text in TEXTS.items():
        kept, folded = trained(kind), trained(kind, lowercase=True)
        ids = kept.encode(text.lower()).ids
        assert (kept.encode(text).ids == ids) == (text.lower() == text), name
        assert folded.encode(text).ids == folded.encode(text.lower()).ids


class AnyAnswer:
    """An engine that finds all tokens likely in some order."""

    hidden_size, max_length = 8, 512

    def __init__(self, size: int) -> None:
        self.size = size

    def logits(self, windows: Sequence[npt.NDArray[np.int32]], asked: Sequence[int]) -> npt.NDArray[np.float32]:
        return np.random.default_rng(0).normal(size=(len(windows), self.size)).astype(np.float32)

    def logits_at(
        self, windows: Sequence[npt.NDArray[np.int32]], asked: Sequence[npt.NDArray[np.int32]]
    ) -> list[npt.NDArray[np.float32]]:
        return [
            self.logits([window] * len(places), places.tolist()) for window, places in zip(windows, asked, strict=True)
        ]

    def states(self, windows: Sequence[npt.NDArray[np.int32]]) -> list[npt.NDArray[np.float32]]:
        return [np.ones((len(window), self.hidden_size), np.float32) for window in windows]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TEXTS)
def test_gaps_are_filled_in_every_script(kind: Kind, name: str) -> None:
    tokenizer, text = trained(kind), TEXTS[name]
    vocabulary = vocabulary_of(tokenizer)
    model = Predictor(AnyAnswer(vocabulary.size), tokenizer, vocabulary, {})
    middle = len(text) // 2
    masked = f"{text[:middle]}[MASK]{text[middle + 1 :]}"
    forms = [unicodedata.normalize(form, masked) for form in ("NFC", "NFD")]
    [one], [other] = (model.fill([form], top_k=vocabulary.size) for form in forms)
    assert one == other
    assert len(one) == len(vocabulary.ordinary_ids)
    assert all("[MASK]" not in answer["sequence"] for answer in one)
    if kind == "characters":
        assert " " in {answer["token_str"] for answer in one}, "a space is a character like any other"
    [scored] = model.score([text])
    assert scored["tokens"] == len(tokenizer.encode(unicodedata.normalize("NFC", text), add_special_tokens=False))
