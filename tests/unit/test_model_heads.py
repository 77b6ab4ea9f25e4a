"""The model's parameters: names, the tie, the first weights; and what it answers to."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from tests.packed import FAMILIES, asking, documents, model_of, pack, small
from transformers import ModernBertConfig, ModernBertForMaskedLM

from unmask.errors import ModelError
from unmask.model.config import Family
from unmask.model.heads import new_masked_lm


def test_parameters_are_named_and_shaped_as_modernberts() -> None:
    config = small("modernbert")
    names = ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"]
    ids: dict[str, Any] = dict.fromkeys(
        ("pad_token_id", "cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id"), 0
    )
    theirs = ModernBertForMaskedLM(ModernBertConfig(**ids, **{name: getattr(config, name) for name in names}))
    expected = {name: parameter.shape for name, parameter in theirs.named_parameters()}
    assert {name: parameter.shape for name, parameter in model_of(config).state_dict().items()} == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_the_decoder_is_the_table_of_embeddings(family: Family) -> None:
    model, batch = model_of(small(family)), pack([documents([9])], 9)
    assert not any(name.startswith("decoder.") and name != "decoder.bias" for name in model.state_dict())
    before = model(batch)
    with torch.no_grad():
        model.model.embeddings.tok_embeddings.weight[60] = 0  # a token that no document of the batch has ...
        assert not (batch.input_ids == 60).any()
    after = model(batch)
    assert torch.equal(after[:, 60], model.decoder.bias[60].expand(9))  # ... is scored by the storage that changed
    assert torch.equal(after[:, :60], before[:, :60])


@pytest.mark.parametrize("family", FAMILIES)
def test_first_weights_hang_on_the_generator_alone(family: Family) -> None:
    config = small(family)
    torch.manual_seed(1)
    untouched = torch.get_rng_state()
    first = new_masked_lm(config, torch.Generator().manual_seed(3)).state_dict()
    assert torch.equal(torch.get_rng_state(), untouched)
    torch.manual_seed(2)
    again = new_masked_lm(config, torch.Generator().manual_seed(3)).state_dict()
    other = new_masked_lm(config, torch.Generator().manual_seed(4)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.layers.1.mlp.Wi.weight"], other["model.layers.1.mlp.Wi.weight"])


def test_first_weights_are_spread_as_the_published_ones() -> None:
    config = small("modernbert", hidden_size=192, num_hidden_layers=8, initializer_range=0.02)
    state = new_masked_lm(config, torch.Generator().manual_seed(0)).state_dict()
    inside = 0.8796  # standard deviation of a normal number cut off at two
    for name, std in {
        "model.embeddings.tok_embeddings.weight": 0.02,
        "model.layers.3.attn.Wqkv.weight": 0.02,
        "model.layers.3.mlp.Wi.weight": 0.02,
        "model.layers.3.attn.Wo.weight": 0.005,
        "model.layers.3.mlp.Wo.weight": 0.005,
        "head.dense.weight": 0.005,
    }.items():
        assert state[name].std().item() == pytest.approx(inside * std, rel=0.03), name
        assert state[name].abs().max().item() <= 2 * std
    assert torch.equal(state["model.final_norm.weight"], torch.ones(192))
    assert torch.equal(state["decoder.bias"], torch.zeros(config.vocab_size))


def test_bert_starts_every_matrix_alike_and_every_bias_at_zero() -> None:
    config = small("bert", hidden_size=192, initializer_range=0.02)
    for name, weight in new_masked_lm(config, torch.Generator().manual_seed(0)).state_dict().items():
        if name.endswith("bias"):
            assert not weight.any(), name
        elif not name.endswith("norm.weight") and weight.numel() > 5000:
            assert weight.std().item() == pytest.approx(0.8796 * 0.02, rel=0.05), name


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_asked_are_answered_padding_of_the_list_included(family: Family) -> None:
    model, whole = model_of(small(family)).double(), pack([documents([5, 6]), documents([11], seed=1)], 12)
    asked = torch.tensor([3, 20, 8, 0, 0, 0])
    few = asking(asked, whole.input_ids, whole.segment, whole.positions)
    assert torch.allclose(model(few), model(whole)[asked], rtol=1e-12, atol=1e-13)


def test_sentence_kinds_change_berts_answer() -> None:
    model, batch = model_of(small("bert")), pack([documents([9])], 9)
    zeros = torch.zeros_like(batch.input_ids)
    assert torch.equal(model(dataclasses.replace(batch, token_type_ids=zeros)), model(batch))
    assert not torch.allclose(model(dataclasses.replace(batch, token_type_ids=zeros + 1)), model(batch))


def test_a_row_beyond_learned_positions_is_the_users_mistake() -> None:
    model = model_of(small("bert", max_position_embeddings=8))
    with pytest.raises(ModelError, match="rows of 9 tokens"):
        model(pack([documents([9])], 9))
