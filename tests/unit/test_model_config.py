"""Presets, what may differ from them, and what is refused."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from transformers import BertConfig, ModernBertConfig

from unmask.errors import ModelError, SettingError
from unmask.model.config import PRESETS, EncoderConfig, ModelSettings, PresetName, resolve

SHARED = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "initializer_range",
)


def resolved(**values: Any) -> EncoderConfig:
    return resolve(ModelSettings.parse(values), vocab_size=8192, pad_id=0)


def test_every_preset_is_offered_and_resolves() -> None:
    assert set(get_args(PresetName)) == set(PRESETS)
    for preset in PRESETS:
        config = resolved(preset=preset)
        assert config.head_width == 64
        assert len(config.layer_kinds) == config.num_hidden_layers


def test_base_is_modernbert_base() -> None:
    ours, theirs = resolved(preset="base"), ModernBertConfig()
    for name in [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
        "local_attention",
        "initializer_range",
    ]:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert [f"{'full' if kind == 'global' else 'sliding'}_attention" for kind in ours.layer_kinds] == theirs.layer_types
    thetas = theirs.rope_parameters
    assert thetas is not None
    assert ours.global_rope_theta == thetas["full_attention"]["rope_theta"]
    assert ours.local_rope_theta == thetas["sliding_attention"]["rope_theta"]


def test_bert_base_is_bert_base() -> None:
    ours, theirs = resolved(preset="bert-base"), BertConfig()
    for name in [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
        "type_vocab_size",
        "initializer_range",
    ]:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert set(ours.layer_kinds) == {"global"}


@pytest.mark.parametrize(("preset", "width"), [("tiny", 320), ("mini", 704), ("small", 1344), ("bert-mini", 1024)])
def test_feed_forward_width_follows_the_family(preset: str, width: int) -> None:
    assert resolved(preset=preset).intermediate_size == width


def test_feed_forward_width_follows_a_changed_hidden_size_unless_given() -> None:
    assert resolved(preset="base", hidden_size=384).intermediate_size == 1024
    assert resolved(preset="bert-mini", hidden_size=128).intermediate_size == 512
    assert resolved(preset="mini", hidden_size=128, intermediate_size=100).intermediate_size == 100


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"hidden_size": 250}, "model.hidden_size must be a multiple of model.num_attention_heads, got 250 and 4"),
        ({"hidden_size": 36, "num_attention_heads": 12}, "an even width per head, got 36 / 12 = 3"),
        ({"local_attention": 15}, "model.local_attention must be even"),
        ({"type_vocab_size": 3}, "model.type_vocab_size belongs to bert, preset 'mini' is modernbert"),
        ({"preset": "bert-mini", "local_rope_theta": 1e4}, "model.local_rope_theta belongs to modernbert"),
        ({"preset": "huge"}, "preset must be one of 'tiny'"),
        ({"num_hidden_layer": 2}, "did you mean 'num_hidden_layers'?"),
    ],
)
def test_what_can_not_be_built_is_refused_in_one_line(values: dict[str, Any], line: str) -> None:
    with pytest.raises((ModelError, SettingError)) as refusal:
        resolved(**values)
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_odd_head_width_is_no_matter_without_rotation() -> None:
    assert resolved(preset="bert-mini", hidden_size=36, num_attention_heads=12).head_width == 3


def test_padding_must_be_in_the_vocabulary() -> None:
    with pytest.raises(ModelError, match="padding id 8192 is outside the vocabulary of 8192"):
        resolve(ModelSettings(), vocab_size=8192, pad_id=8192)


def test_rows_longer_than_learned_positions_are_refused() -> None:
    resolved(preset="bert-mini").check_row_length(512)
    resolved(preset="mini").check_row_length(100_000)
    with pytest.raises(ModelError, match=r"rows of 513 tokens do not fit model.max_position_embeddings = 512"):
        resolved(preset="bert-mini").check_row_length(513)
