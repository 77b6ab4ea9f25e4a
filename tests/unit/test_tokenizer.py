"""Tokenizers: the same to the byte every time, special tokens found by name, what is wrong said in one line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Literal

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from unmask.corpus.tokenizer import (
    SPECIAL,
    TokenizerSettings,
    load_tokenizer,
    tokenizer_fingerprint,
    train_tokenizer,
    vocabulary_of,
)
from unmask.errors import ModelError, SettingError

Kind = Literal["wordpiece", "bpe", "unigram"]
KINDS: tuple[Kind, ...] = ("wordpiece", "bpe", "unigram")


def _texts() -> list[str]:
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyzé", k=chance.randint(2, 9))) for _ in range(400)]
    rare = ["".join(chr(0x4E00 + 3 * number + step) for step in range(3)) for number in range(60)]
    return [" ".join(chance.choices(words, k=30)) + ". " + rare[number % 60] for number in range(120)]


def _of(vocabulary: dict[str, int]) -> Tokenizer:
    return Tokenizer(models.WordLevel(vocabulary, unk_token=next(iter(vocabulary))))


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_training_gives_the_same_bytes_every_time(kind: Kind) -> None:
    settings = TokenizerSettings(kind=kind, vocab_size=500)
    assert len({train_tokenizer(_texts(), settings).to_str() for _ in range(3)}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_tokenizer_has_its_special_tokens_first_and_reads_text_back(kind: Kind) -> None:
    tokenizer = train_tokenizer(_texts(), TokenizerSettings(kind=kind, vocab_size=400))
    vocabulary = vocabulary_of(tokenizer)
    assert [tokenizer.id_to_token(number) for number in range(5)] == list(SPECIAL)
    assert vocabulary.special_ids == (0, 1, 2, 3, 4)
    assert (vocabulary.pad_id, vocabulary.unk_id, vocabulary.cls_id) == (0, 1, 2)
    assert (vocabulary.sep_id, vocabulary.mask_id) == (3, 4)
    assert vocabulary.size <= 400
    assert vocabulary.ordinary_ids.tolist() == list(range(5, vocabulary.size))
    text = _texts()[0].partition(".")[0]
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.encode(text).ids[0] == 2
    assert 4 in tokenizer.encode("a [MASK] b").ids
    assert "[MASK] b" not in tokenizer.encode("a [MASK] b").tokens


def test_a_large_alphabet_leaves_room_for_words() -> None:
    texts = [chr(0x4E00 + number) * 2 + "xyz" + chr(0x430 + number % 32) for number in range(3000)]
    settings = TokenizerSettings(vocab_size=200)
    tokenizer = train_tokenizer(texts, settings)
    singles = [token for token in tokenizer.get_vocab() if len(token.removeprefix("##")) == 1]
    assert len(singles) <= 100
    assert "xyz" in "".join(tokenizer.encode("xyz").tokens).replace("##", "")
    assert tokenizer.to_str() == train_tokenizer(texts, settings).to_str()


@pytest.mark.parametrize("kind", KINDS)
def test_lowercase_folds_case(kind: Kind) -> None:
    tokenizer = train_tokenizer(_texts(), TokenizerSettings(kind=kind, vocab_size=400, lowercase=True))
    assert tokenizer.encode("ABC Def").ids == tokenizer.encode("abc def").ids
    assert tokenizer.token_to_id("[MASK]") in tokenizer.encode("a [MASK]").ids


def test_special_tokens_are_found_under_the_names_of_the_families() -> None:
    tokenizer = _of({"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3, "<mask>": 4, "a": 5, "[unused1]": 6, "b": 9})
    tokenizer.add_special_tokens([AddedToken("<extra>", special=True)])
    tokenizer.add_tokens([AddedToken("plain", special=False)])
    vocabulary = vocabulary_of(tokenizer)
    assert (vocabulary.cls_id, vocabulary.sep_id, vocabulary.mask_id) == (1, 2, 4)
    extra, plain = (tokenizer.get_vocab()[name] for name in ("<extra>", "plain"))
    assert set(vocabulary.special_ids) == {0, 1, 2, 3, 4, 6, extra}
    assert set(vocabulary.ordinary_ids.tolist()) == {5, 9, plain}
    assert vocabulary.size == max(9, extra, plain) + 1


@pytest.mark.parametrize("missing", ["pad", "cls", "sep", "mask"])
def test_a_missing_token_is_named(tmp_path: Path, missing: str) -> None:
    names = {"unk": "[UNK]", "pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    tokens = [token for name, token in names.items() if name != missing]
    path = tmp_path / "tokenizer.json"
    _of({token: number for number, token in enumerate(tokens)}).save(str(path))
    with pytest.raises(ModelError, match=rf"tokenizer.json: the tokenizer has no {missing} token; add it"):
        load_tokenizer(path)


def test_a_tokenizer_without_an_unknown_token_serves() -> None:
    assert vocabulary_of(_of({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[MASK]": 3})).unk_id is None


def test_padding_and_truncation_of_a_foreign_tokenizer_are_off(tmp_path: Path) -> None:
    tokenizer = _of({"[UNK]": 0, "[PAD]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5})
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    before = tokenizer_fingerprint(tokenizer)
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode("a a a a").ids == [5] * 4
    assert tokenizer_fingerprint(loaded) == tokenizer_fingerprint(tokenizer) == before


def test_another_vocabulary_is_another_fingerprint() -> None:
    names = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    one, other = ({name: number for number, name in enumerate([*names, word])} for word in ("a", "b"))
    assert tokenizer_fingerprint(_of(one)) != tokenizer_fingerprint(_of(other))


@pytest.mark.parametrize("content", ["{", "[]", '{"model": {}}', json.dumps({"version": "1.0"}), None])
def test_what_is_no_tokenizer_is_one_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match="tokenizer.json: (can not be read as|there is no such)") as caught:
        load_tokenizer(path)
    assert "\n" not in str(caught.value)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SettingError, match="leave out kind, vocab_size, lowercase"):
        TokenizerSettings.parse({"path": "t.json", "vocab_size": 100})
    with pytest.raises(SettingError, match="at least 261 for kind bpe, got 260"):
        TokenizerSettings.parse({"kind": "bpe", "vocab_size": 260})
    settings = TokenizerSettings.parse({"path": "t.json"})
    assert TokenizerSettings.parse(settings.plain()) == settings
