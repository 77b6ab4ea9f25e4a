"""The published families are the specification: same weights, same answers, padded there and packed here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from tests.packed import FAMILIES, documents, model_of, pack, small
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM, PreTrainedModel
from transformers.models.modernbert import modeling_modernbert

from unmask.model.config import EncoderConfig, Family
from unmask.model.heads import MaskedLM

LONGEST = 64
TOLERANCE = 1e-10

SHARED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
BERT_NAMES = {
    r"^model\.embeddings\.tok_embeddings": "bert.embeddings.word_embeddings",
    r"^model\.embeddings\.norm": "bert.embeddings.LayerNorm",
    r"^model\.embeddings": "bert.embeddings",
    r"^model\.layers\.(\d+)\.attn\.Wo": r"bert.encoder.layer.\1.attention.output.dense",
    r"^model\.layers\.(\d+)\.attn_norm": r"bert.encoder.layer.\1.attention.output.LayerNorm",
    r"^model\.layers\.(\d+)\.mlp\.Wi": r"bert.encoder.layer.\1.intermediate.dense",
    r"^model\.layers\.(\d+)\.mlp\.Wo": r"bert.encoder.layer.\1.output.dense",
    r"^model\.layers\.(\d+)\.mlp_norm": r"bert.encoder.layer.\1.output.LayerNorm",
    r"^head\.dense": "cls.predictions.transform.dense",
    r"^head\.norm": "cls.predictions.transform.LayerNorm",
    r"^decoder\.bias": "cls.predictions.bias",
}


def rotate_in_full(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
) -> tuple[Tensor, Tensor]:
    """Stand in for theirs, which passes through float32 whatever the model computes in."""
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)

    def half(heads: Tensor) -> Tensor:
        first, second = heads.chunk(2, dim=-1)
        return torch.cat((-second, first), dim=-1)

    return query * cos + half(query) * sin, key * cos + half(key) * sin


def modernbert(config: EncoderConfig) -> PreTrainedModel:
    shape: dict[str, Any] = {name: getattr(config, name) for name in (*SHARED, "local_attention")}
    for token in ("pad", "cls", "sep", "bos", "eos"):
        shape[f"{token}_token_id"] = 0
    return ModernBertForMaskedLM(ModernBertConfig(**shape))


def bert(config: EncoderConfig) -> PreTrainedModel:
    shape: dict[str, Any] = {name: getattr(config, name) for name in (*SHARED, "type_vocab_size")}
    return BertForMaskedLM(BertConfig(**shape, is_decoder=config.is_causal, use_cache=False))


def bert_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    theirs = {}
    for name, weight in state.items():
        if "Wqkv" in name:
            layer, kind = re.findall(r"layers\.(\d+).*\.(\w+)$", name)[0]
            for part, third in zip(("query", "key", "value"), weight.chunk(3), strict=True):
                theirs[f"bert.encoder.layer.{layer}.attention.self.{part}.{kind}"] = third
        else:
            pattern = next(pattern for pattern in BERT_NAMES if re.search(pattern, name))
            theirs[re.sub(pattern, BERT_NAMES[pattern], name)] = weight
    return theirs


def twin_of(model: MaskedLM) -> PreTrainedModel:
    """Return their model with the weights of ours, in float64."""
    if model.config.family == "bert":
        theirs, state = bert(model.config), bert_state(model.state_dict())
    else:
        theirs, state = modernbert(model.config), model.state_dict()
    missing, unexpected = theirs.double().load_state_dict(state, strict=False)
    assert not unexpected
    assert all("decoder" in name for name in missing), missing
    theirs.tie_weights()
    theirs.train(mode=False)
    return theirs


def their_answers(theirs: PreTrainedModel, texts: list[Tensor]) -> list[Tensor]:
    """Return their logits (L, V) of each text, from a padded batch."""
    ids = pad_sequence(texts, batch_first=True)
    lengths = torch.tensor([len(text) for text in texts])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    logits = theirs(input_ids=ids, attention_mask=mask).logits
    return [answer[:length] for answer, length in zip(logits, lengths.tolist(), strict=True)]


def distance(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.fixture(autouse=True)
def _rotation_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modeling_modernbert, "apply_rotary_pos_emb", rotate_in_full)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [1, 2, 17, LONGEST])
def test_a_single_document_is_answered_as_there(family: Family, length: int) -> None:
    model = model_of(small(family, max_position_embeddings=LONGEST)).double()
    (text,) = documents([length])
    (expected,) = their_answers(twin_of(model), [text])
    assert distance(model(pack([[text]], length)), expected) < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_rows_are_answered_as_padded_rows_there(family: Family) -> None:
    model = model_of(small(family, max_position_embeddings=LONGEST)).double()
    texts = documents([1, 2, 17, 40, LONGEST, 30])
    batch = pack([texts[:4], [texts[4]], [texts[5]]], LONGEST)
    answers = model(batch).view(3, LONGEST, -1)
    ours = [*answers[0].split([1, 2, 17, 40, 4])[:4], answers[1], answers[2, :30]]
    for answer, expected in zip(ours, their_answers(twin_of(model), texts), strict=True):
        assert distance(answer, expected) < TOLERANCE


def test_a_causal_bert_is_answered_as_their_decoder() -> None:
    model = model_of(small("bert", is_causal=True)).double()
    (text,) = documents([17])
    (expected,) = their_answers(twin_of(model), [text])
    assert distance(model(pack([[text]], 17)), expected) < TOLERANCE


@pytest.mark.parametrize(
    ("family", "table", "inner"),
    [
        ("modernbert", "model.embeddings.tok_embeddings.weight", "model.layers.0.mlp.Wi.weight"),
        ("bert", "bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.intermediate.dense.weight"),
    ],
)
def test_gradients_are_theirs(family: Family, table: str, inner: str) -> None:
    model, texts = model_of(small(family)).double(), documents([9, 30])
    theirs = twin_of(model)
    torch.autograd.backward(torch.logsumexp(model(pack([texts], 39)), -1).sum())
    torch.autograd.backward(torch.logsumexp(torch.cat(their_answers(theirs, texts)), -1).sum())
    for ours, other in (
        (model.get_parameter("model.embeddings.tok_embeddings.weight"), theirs.get_parameter(table)),
        (model.get_parameter("model.layers.0.mlp.Wi.weight"), theirs.get_parameter(inner)),
    ):
        assert ours.grad is not None
        assert other.grad is not None
        assert distance(ours.grad, other.grad) < TOLERANCE
