"""From a published ``config.json`` to the shape of an encoder, and back. Needs no torch.

Every key that changes what is computed is read here, or must have the one value that we compute. What bites: keys that
are left out have the default of their family, which differs from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from unmask.errors import ModelError
from unmask.model.config import EncoderConfig

Values = Mapping[str, Any]

FULL, SLIDING = "full_attention", "sliding_attention"

HEADS: Final = {
    "fill": "ForMaskedLM",
    "classify": "ForSequenceClassification",
    "tag": "ForTokenClassification",
    "answer": "ForQuestionAnswering",
    "embed": "Model",
}
"""How the name of a published class ends, by what it is made to do."""

STEMS: Final = {
    "bert": "Bert",
    "camembert": "Camembert",
    "distilbert": "DistilBert",
    "electra": "Electra",
    "modernbert": "ModernBert",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
}
"""How the name of a published class begins, by ``model_type``."""

_BERT_SIZES: Final = {
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_position_embeddings": "max_position_embeddings",
}
_BERT_MUST: Final = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
_DISTILBERT_SIZES: Final = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "max_position_embeddings": "max_position_embeddings",
}
_MODERNBERT_MUST: Final = {
    "hidden_activation": "gelu",
    "classifier_activation": "gelu",
    "attention_bias": False,
    "mlp_bias": False,
    "norm_bias": False,
    "classifier_bias": False,
    "decoder_bias": True,
    "tie_word_embeddings": True,
    "rope_scaling": None,
}


def encoder_config(values: Values, pad_id: int, where: Path) -> EncoderConfig:
    """Return the encoder that ``values``, read from the file ``where``, describe; the tokenizer pads with ``pad_id``.

    Raises ModelError for a family or a kind of computation that is not known here.
    """
    kind = str(values.get("model_type"))
    if kind not in _READERS:
        raise ModelError(f"{where}: its model_type is {kind!r}; what can be read is {', '.join(_READERS)}")
    return _READERS[kind](_Reader(values, where), pad_id)


def published_values(config: EncoderConfig, kind: str) -> dict[str, Any]:
    """Return the values of a ``config.json`` of the ``model_type`` ``kind`` that describe ``config``.

    Raises ModelError where that family has no word for something: what is written is read back and compared.
    """
    values = {
        "model_type": kind,
        "vocab_size": config.vocab_size,
        "pad_token_id": config.pad_id,
        "initializer_range": config.initializer_range,
        "tie_word_embeddings": True,
        **_WRITERS[kind](config),
    }
    read = encoder_config(values, config.pad_id, Path("config.json"))
    for field in fields(config):
        ours, theirs = (getattr(replace(one, norm_eps=one.eps), field.name) for one in (config, read))
        if ours != theirs:
            raise ModelError(
                f"model.{field.name} is {ours}, and no published {kind} can be: it would be read as {theirs}; "
                "such a model stays a run"
            )
    return values


class _Reader:
    """Reads checked values. Raises ModelError that names the file and the key."""

    def __init__(self, values: Values, where: Path) -> None:
        self.values, self.where = values, where

    def whole(self, name: str, default: int | None = None, least: int = 1) -> int:
        value = self._given(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.wrong(name, f"a whole number of at least {least}")
        return value

    def number(self, name: str, default: float) -> float:
        value = self._given(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise self.wrong(name, "a number above 0")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._given(name, default=False)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def sizes(self, names: Mapping[str, str]) -> dict[str, Any]:
        return {ours: self.whole(theirs) for ours, theirs in names.items()}

    def must(self, required: Mapping[str, Any]) -> None:
        for name, value in required.items():
            if self.values.get(name, value) != value:
                raise self.wrong(name, f"{value!r}, the only one that is computed here")

    def wrong(self, name: str, expected: str) -> ModelError:
        return ModelError(f"{self.where}: {name} must be {expected}, got {self.values.get(name)!r}")

    def _given(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        return default if value is None else value


def _bert(read: _Reader, pad_id: int, **more: Any) -> EncoderConfig:
    read.must(_BERT_MUST)
    return EncoderConfig(
        family="bert",
        vocab_size=read.whole("vocab_size"),
        pad_id=pad_id,
        **read.sizes(_BERT_SIZES),
        initializer_range=read.number("initializer_range", 0.02),
        is_causal=read.flag("is_decoder"),
        type_vocab_size=read.whole("type_vocab_size", 2),
        norm_eps=read.number("layer_norm_eps", 1e-12),
        **more,
    )


def _roberta(read: _Reader, pad_id: int) -> EncoderConfig:
    """Positions are counted from the one after the padding id, which therefore must be the tokenizer's."""
    if (given := read.whole("pad_token_id", 1, least=0)) != pad_id:
        raise ModelError(
            f"{read.where}: pad_token_id is {given}, and the tokenizer pads with {pad_id}; it is another model's"
        )
    return _bert(read, pad_id, position_offset=pad_id + 1)


def _electra(read: _Reader, pad_id: int) -> EncoderConfig:
    width = read.whole("embedding_size", 128)
    return _bert(read, pad_id, embedding_size=None if width == read.whole("hidden_size") else width)


def _distilbert(read: _Reader, pad_id: int) -> EncoderConfig:
    read.must({"activation": "gelu", "tie_word_embeddings": True})
    return EncoderConfig(
        family="bert",
        vocab_size=read.whole("vocab_size"),
        pad_id=pad_id,
        **read.sizes(_DISTILBERT_SIZES),
        initializer_range=read.number("initializer_range", 0.02),
        type_vocab_size=0,
        norm_eps=1e-12,
    )


def _modernbert(read: _Reader, pad_id: int) -> EncoderConfig:
    read.must(_MODERNBERT_MUST)
    thetas = {kind: _theta(read, kind) for kind in (FULL, SLIDING)}
    return EncoderConfig(
        family="modernbert",
        vocab_size=read.whole("vocab_size"),
        pad_id=pad_id,
        **read.sizes(_BERT_SIZES),
        initializer_range=read.number("initializer_range", 0.02),
        norm_eps=read.number("norm_eps", 1e-5),
        local_attention=read.whole("local_attention", 128),
        global_attn_every_n_layers=_global_every(read),
        global_rope_theta=thetas[FULL],
        local_rope_theta=thetas[SLIDING],
    )


def _theta(read: _Reader, kind: str) -> float:
    """Return the base of the rotary frequencies: a key of its own in older configurations, a group in newer ones."""
    groups = read.values.get("rope_parameters")
    if groups is not None:
        group = groups.get(kind) if isinstance(groups, dict) else None
        if not isinstance(group, dict) or group.get("rope_type", "default") != "default":
            raise read.wrong("rope_parameters", f"the default kind with a rope_theta for {FULL} and {SLIDING}")
        return _Reader(group, read.where).number("rope_theta", 160_000.0 if kind == FULL else 10_000.0)
    everywhere = read.number("global_rope_theta", 160_000.0)
    if kind == FULL or ("local_rope_theta" in read.values and read.values["local_rope_theta"] is None):
        return everywhere  # null says that local layers have no base of their own
    return read.number("local_rope_theta", 10_000.0)


def _global_every(read: _Reader) -> int:
    """Return n where every n-th layer from the first sees the whole document. Raises ModelError for other patterns."""
    said = read.whole("global_attn_every_n_layers", 3)
    kinds = read.values.get("layer_types")
    if kinds is None:
        return said
    layers = read.whole("num_hidden_layers")
    candidates: list[int] = [said, *range(1, layers + 1)]
    for every in candidates:
        if kinds == [SLIDING if layer % every else FULL for layer in range(layers)]:
            return every
    raise read.wrong("layer_types", f"{FULL} at every n-th layer from the first and {SLIDING} between")


def _written_bert(config: EncoderConfig) -> dict[str, Any]:
    return {
        **_written(config, _BERT_SIZES),
        "hidden_act": "gelu",
        "type_vocab_size": config.type_vocab_size,
        "layer_norm_eps": config.eps,
        "is_decoder": config.is_causal,
    }


def _written_electra(config: EncoderConfig) -> dict[str, Any]:
    return {**_written_bert(config), "embedding_size": config.embedding_width}


def _written_distilbert(config: EncoderConfig) -> dict[str, Any]:
    return {**_written(config, _DISTILBERT_SIZES), "activation": "gelu"}


def _written_modernbert(config: EncoderConfig) -> dict[str, Any]:
    kinds = {"global": FULL, "local": SLIDING}
    return {
        **_written(config, _BERT_SIZES),
        **{name: value for name, value in _MODERNBERT_MUST.items() if value is not None},
        "norm_eps": config.eps,
        "local_attention": config.local_attention,
        "global_attn_every_n_layers": config.global_attn_every_n_layers,
        "layer_types": [kinds[kind] for kind in config.layer_kinds],
        "global_rope_theta": config.global_rope_theta,
        "local_rope_theta": config.local_rope_theta,
        "rope_parameters": {
            FULL: {"rope_type": "default", "rope_theta": config.global_rope_theta},
            SLIDING: {"rope_type": "default", "rope_theta": config.local_rope_theta},
        },
    }


def _written(config: EncoderConfig, names: Mapping[str, str]) -> dict[str, Any]:
    return {theirs: getattr(config, ours) for ours, theirs in names.items()}


_WRITERS: Final[Mapping[str, Callable[[EncoderConfig], dict[str, Any]]]] = {
    "bert": _written_bert,
    "camembert": _written_bert,
    "distilbert": _written_distilbert,
    "electra": _written_electra,
    "modernbert": _written_modernbert,
    "roberta": _written_bert,
    "xlm-roberta": _written_bert,
}
_READERS: Final[Mapping[str, Callable[[_Reader, int], EncoderConfig]]] = {
    "bert": _bert,
    "camembert": _roberta,
    "distilbert": _distilbert,
    "electra": _electra,
    "modernbert": _modernbert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
}
