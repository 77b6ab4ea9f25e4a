"""What lies beside or in place of a tokenizer.json: read as transformers reads it, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.made_text import sentences
from tests.published import publish, tokenizer_like
from tokenizers import AddedToken
from transformers import BertTokenizer, RobertaTokenizer

from unmask.corpus.beside import tokenizer_file
from unmask.corpus.tokenizer import TokenizerSettings, load_tokenizer, train_tokenizer, vocabulary_of
from unmask.errors import ModelError
from unmask.inference.model_directory import GOLDEN_TEXTS
from unmask.inference.resolve import resolve

TEXTS = (*GOLDEN_TEXTS, "a [MASK]. b", "x <mask>, y", "\u2028 \x85 \x1f\ufffd\x00", "ÉCOLE İ ß ﬀ", "", " ")


def older_bert(folder: Path, *, lowercase: bool, **said: Any) -> Path:
    """Write vocab.txt and what is ``said`` of it into ``folder``."""
    texts = [*sentences(200), *TEXTS, *"éèЖжßİ漢字กที"]
    tokenizer = train_tokenizer(texts, TokenizerSettings(vocab_size=900, lowercase=lowercase))
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    (folder / "vocab.txt").write_text("\n".join([*tokens, "\u2028odd"]) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return folder


def older_roberta(folder: Path, **said: Any) -> Path:
    described = json.loads(tokenizer_like("roberta").to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(described["vocab"]))
    merges = ["#version: 0.2", *(" ".join(pair) for pair in described["merges"])]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize(
    "said",
    [
        {"do_lower_case": True},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
        {"do_lower_case": True, "tokenizer_class": "BertTokenizerFast"},
    ],
)
def test_vocab_txt_is_read_as_transformers_reads_it(said: dict[str, Any], tmp_path: Path) -> None:
    folder = older_bert(tmp_path, lowercase=bool(said["do_lower_case"]), **said)
    ours, theirs = load_tokenizer(folder), BertTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert ours.encode(text).ids == theirs(text)["input_ids"], text
    vocabulary = vocabulary_of(ours)
    assert vocabulary.size == len(theirs)
    assert (vocabulary.pad_id, vocabulary.mask_id) == (theirs.pad_token_id, theirs.mask_token_id)
    assert vocabulary.special_ids == tuple(sorted(theirs.all_special_ids))


@pytest.mark.parametrize("said", [{}, {"add_prefix_space": True}])
def test_vocab_json_and_merges_are_read_as_transformers_reads_them(said: dict[str, Any], tmp_path: Path) -> None:
    folder = older_roberta(tmp_path, **said)
    mask = AddedToken("<mask>", lstrip=True, normalized=False)  # as roberta-base was published
    ours, theirs = load_tokenizer(folder), RobertaTokenizer.from_pretrained(folder, mask_token=mask)
    for text in TEXTS:
        assert ours.encode(text).ids == theirs(text)["input_ids"], text
    assert vocabulary_of(ours).special_ids == tuple(sorted(theirs.all_special_ids))
    assert ours.decode(ours.encode(" A b.").ids) == " A b."


def test_case_that_is_not_said_is_that_of_the_vocabulary(tmp_path: Path) -> None:
    for lowercase in (True, False):
        folder = tmp_path / str(lowercase)
        folder.mkdir()
        assert (load_tokenizer(older_bert(folder, lowercase=lowercase)).encode("The").tokens[1] == "the") is lowercase


def test_a_model_without_tokenizer_json_is_used(tmp_path: Path) -> None:
    publish("bert", tmp_path)
    vocabulary = tokenizer_like("bert").get_vocab()
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    before = resolve(tmp_path)
    assert before.tokenizer_file.name == "tokenizer.json"
    (tmp_path / "tokenizer.json").unlink()
    found = resolve(tmp_path)
    assert found.tokenizer_file == tmp_path / "vocab.txt" == tokenizer_file(tmp_path)
    assert found.vocabulary == before.vocabulary
    text = sentences(1)[0]
    assert found.tokenizer.encode(text).ids == before.tokenizer.encode(text).ids
    assert load_tokenizer(found.tokenizer_file).to_str() == found.tokenizer.to_str()


@pytest.mark.parametrize("lowers", [True, False])
def test_two_words_on_case_are_refused_in_one_line(lowers: bool, tmp_path: Path) -> None:
    publish("bert", tmp_path)
    settings = TokenizerSettings(vocab_size=300, lowercase=lowers)
    train_tokenizer(sentences(400), settings).save(str(tmp_path / "tokenizer.json"))
    for said in (lowers, None):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": said}))
        resolve(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": not lowers}))
    does = "makes letters small" if lowers else "does not make letters small"
    with pytest.raises(ModelError) as refused:
        resolve(tmp_path)
    assert f"tokenizer_config.json: do_lower_case is {str(not lowers).lower()}, and " in str(refused.value)
    assert f"tokenizer.json {does}" in str(refused.value)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("tokenizer_config.json", '{"tokenizer_class": "BertJapaneseTokenizer"}', "it is for a BertJapaneseTokenizer"),
        ("config.json", '{"tokenizer_class": "BertweetTokenizer"}', "it is for a BertweetTokenizer"),
        ("bpe.codes", "", "there is bpe.codes beside it"),
        ("added_tokens.json", "{}", "there is added_tokens.json beside it"),
        ("tokenizer_config.json", '{"unk_token": "<unk>"}', "as a vocab.txt (it holds no <unk>)"),
        ("vocab.txt", "[UNK]\n[PAD]\na\n", "has no cls, sep, mask token"),
        ("vocab.txt", "\udcff\n", "can not be read as a vocab.txt"),
    ],
)
def test_other_kinds_are_refused(file: str, content: str, said: str, tmp_path: Path) -> None:
    folder = older_bert(tmp_path, lowercase=True)
    (folder / file).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError) as refused:
        load_tokenizer(folder)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_vocab_json_needs_its_merges(tmp_path: Path) -> None:
    folder = older_roberta(tmp_path)
    (folder / "merges.txt").write_text("not amerge\n")
    with pytest.raises(ModelError, match=r"vocab\.json: can not be read as a vocab\.json"):
        load_tokenizer(folder)
    (folder / "merges.txt").unlink()
    with pytest.raises(ModelError, match=r"merges\.txt: there is no such tokenizer"):
        load_tokenizer(folder)
