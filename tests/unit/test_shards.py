"""Shards: what is written is read back across files, and text never becomes a special token."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from unmask.corpus import shards
from unmask.corpus.shards import Encoder, ShardWriter, Split, Tensors, open_tensors
from unmask.corpus.tokenizer import SPECIAL, TokenizerSettings, train_tokenizer, vocabulary_of
from unmask.errors import DataError

TEXTS = ["some words and some more words", "say [MASK] or [CLS] [SEP][PAD] aloud", "", "漢 words"]


def _words() -> Tokenizer:
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, "a", "b", "[unused1]"))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_text_that_spells_a_special_token_does_not_become_one(kind: Literal["wordpiece", "bpe", "unigram"]) -> None:
    tokenizer = train_tokenizer(TEXTS * 20, TokenizerSettings(kind=kind, vocab_size=300))
    assert 4 in tokenizer.encode(TEXTS[1]).ids
    encoded = list(Encoder(tokenizer, vocabulary_of(tokenizer)).encode(TEXTS))
    for tokens, begins in encoded:
        assert not set(tokens.tolist()) & {0, 2, 3, 4}
        assert len(tokens) == len(begins)
    assert [len(tokens) > 0 for tokens, _ in encoded] == [True, True, False, True]
    if kind != "unigram":  # its own model knows the special tokens as pieces, so there they are left out
        assert tokenizer.decode(encoded[1][0].tolist()).replace(" ", "") == TEXTS[1].replace(" ", "")
    assert 4 in tokenizer.encode(TEXTS[1]).ids, "the tokenizer that was handed over is as it was"


def test_a_special_token_that_the_model_itself_makes_is_left_out() -> None:
    tokenizer = _words()
    encoder = Encoder(tokenizer, vocabulary_of(tokenizer))
    ((tokens, begins),) = encoder.encode(["a [MASK] b [unused1] strange b"])
    assert tokens.tolist() == [5, 6, 1, 6]
    assert begins.all()


def test_words_begin_where_the_pre_tokenizer_says() -> None:
    tokenizer = train_tokenizer(["abcdefgh ijklmnop"] * 9, TokenizerSettings(vocab_size=64))
    word = "aceg"
    ((tokens, begins),) = Encoder(tokenizer, vocabulary_of(tokenizer)).encode([f"{word}, {word}"])
    half = (len(tokens) - 1) // 2
    assert half > 1
    assert begins.tolist() == [True, *[False] * (half - 1), True, True, *[False] * (half - 1)]


def test_shards_are_read_back_across_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_SHARD_TOKENS", 50)
    tokenizer = _words()
    writer = ShardWriter(tmp_path, "train", vocabulary_of(tokenizer))
    chance = np.random.default_rng(0)
    documents = [chance.integers(5, 7, size=int(size)) for size in chance.integers(0, 30, size=40)]
    begins = [chance.random(len(tokens)) < 0.5 for tokens in documents]
    ids = chance.integers(0, 256, size=(40, 16), dtype=np.uint8)
    for number, tokens in enumerate(documents):
        writer.add(tokens, begins[number], identity=ids[number], characters=number, source=number % 3)
    writer.flush()
    flat, flags = np.concatenate(documents), np.concatenate(begins)
    assert writer.counts["shards"] > 5
    assert writer.counts["words"] == flags.sum()
    split = Split(tmp_path, "train", writer.counts["shards"])
    assert (split.num_documents, split.num_tokens) == (40, len(flat))
    assert {shard.tokens.dtype for shard in split.shards} == {np.dtype(np.uint16)}
    np.testing.assert_array_equal(split.ids(), ids)
    np.testing.assert_array_equal(split.characters(), np.arange(40))
    np.testing.assert_array_equal(np.concatenate([shard.source for shard in split.shards]), np.arange(40) % 3)
    np.testing.assert_array_equal(np.concatenate([shard.begins() for shard in split.shards]), flags)
    places = chance.integers(0, len(flat), size=300)
    taken, began = split.take(places, np.searchsorted(split.token_starts, places, side="right") - 1)
    np.testing.assert_array_equal(taken, flat[places])
    np.testing.assert_array_equal(began, flags[places])


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    words = {token: number for number, token in enumerate((*SPECIAL, *(f"w{n}" for n in range(1 << 16))))}
    vocabulary = vocabulary_of(Tokenizer(models.WordLevel(words, unk_token="[UNK]")))
    writer = ShardWriter(tmp_path, "test", vocabulary)
    writer.add(np.array([70_000]), np.ones(1, np.bool_), identity=np.zeros(16, np.uint8), characters=1, source=0)
    writer.flush()
    assert Split(tmp_path, "test", 1).shards[0].tokens.tolist() == [70_000]


def test_the_small_reader_agrees_with_the_library(tmp_path: Path) -> None:
    tensors: Tensors = {
        "a": np.arange(7, dtype=np.uint8),
        "b": np.arange(6, dtype=np.int64).reshape(2, 3),
        "c": np.zeros((0, 4), np.int32),
    }
    save_file(tensors, tmp_path / "t", {"k": "v"})
    read, metadata = open_tensors(tmp_path / "t")
    assert metadata == {"k": "v"}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name], tensor)
        assert read[name].dtype == tensor.dtype
        assert not read[name].flags.writeable


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_file_that_is_cut_short_is_named(tmp_path: Path, keep: int) -> None:
    save_file({"a": np.arange(100)}, tmp_path / "t.safetensors")
    data = (tmp_path / "t.safetensors").read_bytes()
    (tmp_path / "t.safetensors").write_bytes(data[:keep])
    with pytest.raises(DataError, match=r"t.safetensors: is damaged .*; build the corpus again$"):
        open_tensors(tmp_path / "t.safetensors")


def test_a_missing_and_a_foreign_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train-00000.safetensors: is missing"):
        Split(tmp_path, "train", 1)
    save_file({"a": np.arange(100)}, tmp_path / "train-00000.safetensors")
    with pytest.raises(DataError, match=r"is not a shard of this version"):
        Split(tmp_path, "train", 1)
