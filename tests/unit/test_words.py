"""Words are those of the tokenizer's own pre-tokenizer, in five families, by counts that were written by hand."""

from __future__ import annotations

import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.segment import spaceless_share, word_starts
from unmask.corpus.shards import Encoder
from unmask.corpus.tokenizer import TokenizerSettings, vocabulary_of
from unmask.errors import MissingExtra

TEXTS = {
    "english": "Don't stop, it's 3.5 km!",
    "german": "Donaudampfschifffahrt fährt schnell.",
    "russian": "Ёжик вышел из тумана.",
    "arabic": "يقرأ الولد كتابا.",
    "hindi": "लड़की पढ़ती है।",
    "chinese": "我们去公园。",
    "japanese": "東京へ行く",
    "thai": "เด็กอ่านหนังสือ",
    "emoji": "Hi \U0001f44b\U0001f3fd there",
    "code": "x = foo_bar(1)",
}

BY_HAND = {  # what a reader of each pre-tokenizer's rule counts
    "english": {"wordpiece": 13, "bytes": 11, "metaspace": 5},  # Don ' t stop , it ' s 3 . 5 km !
    "german": {"wordpiece": 4, "bytes": 4, "metaspace": 3},
    "russian": {"wordpiece": 5, "bytes": 5, "metaspace": 4},
    "arabic": {"wordpiece": 4, "bytes": 4, "metaspace": 3},
    "hindi": {"wordpiece": 4, "bytes": 10, "metaspace": 3},  # GPT-2's rule parts a letter from its vowel sign
    "chinese": {"wordpiece": 6, "bytes": 2, "metaspace": 1},  # a word a character, or all of them
    "japanese": {"wordpiece": 5, "bytes": 1, "metaspace": 1},
    "thai": {"wordpiece": 1, "bytes": 9, "metaspace": 1},
    "emoji": {"wordpiece": 3, "bytes": 3, "metaspace": 3},
    "code": {"wordpiece": 8, "bytes": 8, "metaspace": 3},
}

FAMILIES = {
    "bert": "wordpiece",
    "bert-chinese": "wordpiece",
    "roberta": "bytes",
    "roberta-prefixed": "bytes",
    "modernbert": "bytes",
    "xlm-roberta": "metaspace",
}
ANGLE = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SQUARE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def _bert(*, chinese: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(handle_chinese_chars=True, strip_accents=False, lowercase=chinese)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    size = 160 if chinese else 140
    tokenizer.train_from_iterator(
        TEXTS.values(), trainers.WordPieceTrainer(vocab_size=size, special_tokens=SQUARE, show_progress=False)
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def _byte_level(special: list[str], *, prefixed: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefixed)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS.values(), trainer)
    return tokenizer


def _roberta(*, prefixed: bool) -> Tokenizer:
    tokenizer = _byte_level(ANGLE, prefixed=prefixed)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=prefixed
    )
    return tokenizer


def _modernbert() -> Tokenizer:
    tokenizer = _byte_level(SQUARE)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def _xlm_roberta() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=150, special_tokens=ANGLE, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS.values(), trainer)
    return tokenizer


@cache
def family(name: str) -> Tokenizer:
    makers = {
        "bert": lambda: _bert(chinese=False),
        "bert-chinese": lambda: _bert(chinese=True),
        "roberta": lambda: _roberta(prefixed=False),
        "roberta-prefixed": lambda: _roberta(prefixed=True),
        "modernbert": _modernbert,
        "xlm-roberta": _xlm_roberta,
    }
    return makers[name]()


def begins_of(tokenizer: Tokenizer, text: str, *, segmented: bool = False) -> npt.NDArray[np.bool_]:
    encoder = Encoder(tokenizer, vocabulary_of(tokenizer), word_starts if segmented else None)
    [(_, begins)] = encoder.encode([text])
    return begins


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("language", TEXTS)
def test_words_are_as_many_as_were_counted_by_hand(name: str, language: str) -> None:
    assert begins_of(family(name), TEXTS[language]).sum() == BY_HAND[language][FAMILIES[name]]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("language", TEXTS)
def test_words_begin_where_the_pre_tokenizer_cuts(name: str, language: str) -> None:
    tokenizer, text = family(name), TEXTS[language]
    normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    cuts = {span[0] for _, span in tokenizer.pre_tokenizer.pre_tokenize_str(normal)}
    encoding = tokenizer.encode(text, add_special_tokens=False)
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.post_processor = processors.ByteLevel(trim_offsets=False)  # offsets with the space before a word
    offsets = [start for start, _ in plain.encode(text, add_special_tokens=False).offsets]
    begins = begins_of(tokenizer, text)
    assert len(begins) == len(encoding.ids)
    if len(normal) == len(text):
        assert {offset for offset, begin in zip(offsets, begins, strict=True) if begin} == cuts


def test_a_sentence_of_byte_level_bpe_is_not_one_word() -> None:
    """The fault of collators that take a gap in the offsets for the end of a word: here there are no gaps."""
    encoding = family("modernbert").encode("it stops there", add_special_tokens=False)
    gaps = [one[1] != other[0] for one, other in pairwise(encoding.offsets)]
    assert not any(gaps)
    assert begins_of(family("modernbert"), "it stops there").sum() == 3


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("language", ["chinese", "japanese", "thai", "emoji"])
@pytest.mark.parametrize("segmented", [False, True])
def test_the_tokens_of_one_character_are_never_parted(name: str, language: str, segmented: bool) -> None:
    tokenizer, text = family(name), TEXTS[language] * 2
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    begins = begins_of(tokenizer, text, segmented=segmented)
    for place, (one, other) in enumerate(pairwise(offsets), start=1):
        if other[0] < one[1]:
            assert not begins[place], (place, text[slice(*one)])


def test_cuts_among_the_bytes_of_a_character_part_nothing() -> None:
    """Some bytes look like digits to a pre-tokenizer that comes after the byte level, as in Falcon's arrangement."""
    tokenizer = Tokenizer.from_str(family("modernbert").to_str())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits()]
    )
    text = "a\u00f2 b\u00fe12"  # the last byte of both letters is shown as a digit
    assert tokenizer.encode("\u00f2", add_special_tokens=False).word_ids == [0, 1]
    assert begins_of(tokenizer, text).sum() == 3  # aò, bþ, 12


def test_one_character_that_the_normaliser_makes_several_of_is_one_word() -> None:
    tokenizer = Tokenizer.from_str(family("bert").to_str())
    tokenizer.normalizer = normalizers.NFKC()
    assert len(set(tokenizer.encode("\u2474", add_special_tokens=False).word_ids)) == 3  # ( 1 )
    assert begins_of(tokenizer, "\u2474 km").tolist().count(True) == 2


def _unparted(name: str) -> Tokenizer:
    """Return a tokenizer whose pre-tokenizer takes a whole text for one word."""
    if name == "bytes":
        tokenizer = Tokenizer.from_str(family("modernbert").to_str())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return tokenizer
    tokenizer = Tokenizer.from_str(family("xlm-roberta").to_str())
    if name == "metaspace":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    else:
        lead = [normalizers.Prepend("\u2581")] if name == "llama" else []
        tokenizer.normalizer = normalizers.Sequence([*lead, normalizers.Replace(" ", "\u2581")])
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous") if name == "gemma" else None
    return tokenizer


@pytest.mark.parametrize("name", ["bytes", "metaspace", "llama", "gemma"])
@pytest.mark.parametrize("language", TEXTS)
def test_where_no_pre_tokenizer_cuts_words_begin_behind_white_space(name: str, language: str) -> None:
    tokenizer, text = _unparted(name), TEXTS[language]
    assert set(tokenizer.encode(text, add_special_tokens=False).word_ids) == {0}
    assert begins_of(tokenizer, text).sum() == BY_HAND[language]["metaspace"]
    assert begins_of(tokenizer, text.replace(" ", "  ") + " ").sum() <= BY_HAND[language]["metaspace"] + 1


@pytest.mark.parametrize("name", ["roberta", "modernbert", "xlm-roberta", "bert-chinese"])
def test_a_segmenter_finds_words_in_runs_without_spaces_and_leaves_the_rest(name: str) -> None:
    tokenizer = family(name)
    for text, words in {
        "我们去公园。": {0, 2, 3},  # we, go, park
        "it stops. 我们去公园 there": {10, 12, 13},
    }.items():
        spans = tokenizer.encode(text, add_special_tokens=False).offsets
        offsets = [start for start, _ in spans]
        reached = {start for (_, end), (start, _) in pairwise([(0, 0), *spans]) if end <= start}
        begins = begins_of(tokenizer, text, segmented=True)
        found = {
            offset
            for offset, begin in zip(offsets, begins, strict=True)
            if begin and "\u4e00" <= text[offset] <= "\u9fff"
        }
        assert found == words & reached, "a token of the end of one character and the start of another parts nothing"
    plain, split = (begins_of(tokenizer, TEXTS["english"], segmented=on).tolist() for on in (False, True))
    assert plain == split


def test_languages_are_told_apart() -> None:
    assert word_starts("東京へ行く") == ({0, 3}, [(0, 5)])
    starts, runs = word_starts("วันนี้อากาศดี and 我们去公园")
    assert runs == [(0, 13), (18, 23)]
    assert {0, 6, 11, 18, 20, 21} <= starts  # day, weather, good | we, go, park
    assert spaceless_share("我们 go") == pytest.approx(2 / 5)


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "budoux", None)
    from unmask.corpus import segment

    segment._parser.cache_clear()
    path = tmp_path / "text.txt"
    path.write_text("我们去公园。\n\n" * 30)
    with pytest.raises(MissingExtra, match=r"budoux.*pip install 'unmask\[segment\]'"):
        build_corpus(
            [Source(name="a", where=str(path))],
            tmp_path / "out",
            CorpusSettings(words="segmenter"),
            TokenizerSettings(),
        )
    assert not (tmp_path / "out").exists()
    segment._parser.cache_clear()
