"""How each published family names its tensors, as tables that are read both ways.

A table goes from names of ours to theirs; ``{n}`` is the number of a layer, and where several of theirs stand for one
of ours they are laid one under the other. What bites: names are those of a model with a head; an encoder that was
published alone has them without ``prefix``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Names = str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The tensors of a family: mapped, carried along, or ignored; whatever else is there is an error."""

    prefix: str
    """What the names of the encoder begin with."""
    encoder: Mapping[str, Names]
    """Modules of our encoder, and of theirs without the prefix."""
    head: Mapping[str, Names]
    """Modules of the head of masked language modelling."""
    tasks: Mapping[str, Mapping[str, Names]]
    """Modules of the heads of tasks, by the task; a task that is not here has another head there than here."""
    repeats: Mapping[str, str]
    """Tensors that are another one over again: tied matrices, biases with two names. They are checked and left out."""
    carried: tuple[str, ...] = ()
    """Modules that a language model has no use for; kept aside, to be written out again as they were."""
    ignored: tuple[str, ...] = ()
    """Tensors that can be computed at any time."""

    def theirs(self, name: str) -> tuple[str, ...]:
        """Return the names of the tensors that stand for our tensor ``name``."""
        module, _, kind = name.rpartition(".")
        numbers = [part for part in module.split(".") if part.isdecimal()]
        pattern = ".".join("{n}" if part.isdecimal() else part for part in module.split("."))
        kind_of, _, inside = pattern.partition(".")
        if kind_of == "model":
            found, prefix = self.encoder[inside], self.prefix
        elif kind_of == "task":
            task, _, part = inside.partition(".")
            found, prefix = self.tasks[task][part], ""
        else:
            found, prefix = self.head[pattern], ""
        several = (found,) if isinstance(found, str) else found
        return tuple(f"{prefix}{one}.{kind}".replace("{n}", "".join(numbers)) for one in several)


_WHOLE_HEAD: Final = {name: name for name in ("head.dense", "head.norm", "classifier")}
_TOKENS: Final[Mapping[str, Mapping[str, Names]]] = {
    "tag": {"classifier": "classifier"},
    "answer": {"classifier": "qa_outputs"},
    "embed": {},
}
"""The heads that read one token: a matrix, whatever stands under it."""

_IDENTICAL_LAYERS: Final = ("attn_norm", "attn.Wqkv", "attn.Wo", "mlp_norm", "mlp.Wi", "mlp.Wo")

MODERNBERT: Final = Table(
    prefix="model.",
    encoder={
        name: name
        for name in (
            "embeddings.tok_embeddings",
            "embeddings.norm",
            *(f"layers.{{n}}.{part}" for part in _IDENTICAL_LAYERS),
            "final_norm",
        )
    },
    head={name: name for name in ("head.dense", "head.norm", "decoder")},
    tasks={"classify": _WHOLE_HEAD, "tag": _WHOLE_HEAD, "answer": _WHOLE_HEAD, "embed": {}},
    repeats={"decoder.weight": "model.embeddings.tok_embeddings.weight"},
)
"""Warner et al. 2024; our names are these."""

_BERT_ENCODER: Final[Mapping[str, Names]] = {
    "embeddings.tok_embeddings": "embeddings.word_embeddings",
    "embeddings.position_embeddings": "embeddings.position_embeddings",
    "embeddings.token_type_embeddings": "embeddings.token_type_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
    "layers.{n}.attn.Wqkv": (
        "encoder.layer.{n}.attention.self.query",
        "encoder.layer.{n}.attention.self.key",
        "encoder.layer.{n}.attention.self.value",
    ),
    "layers.{n}.attn.Wo": "encoder.layer.{n}.attention.output.dense",
    "layers.{n}.attn_norm": "encoder.layer.{n}.attention.output.LayerNorm",
    "layers.{n}.mlp.Wi": "encoder.layer.{n}.intermediate.dense",
    "layers.{n}.mlp.Wo": "encoder.layer.{n}.output.dense",
    "layers.{n}.mlp_norm": "encoder.layer.{n}.output.LayerNorm",
}

BERT: Final = Table(
    prefix="bert.",
    encoder=_BERT_ENCODER,
    head={
        "head.dense": "cls.predictions.transform.dense",
        "head.norm": "cls.predictions.transform.LayerNorm",
        "decoder": "cls.predictions",
    },
    tasks={**_TOKENS, "classify": {"head.dense": "bert.pooler.dense", "classifier": "classifier"}},
    repeats={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    carried=("bert.pooler.dense", "cls.seq_relationship"),
    ignored=("bert.embeddings.position_ids", "bert.embeddings.token_type_ids"),
)
"""Devlin et al. 2019."""

ROBERTA: Final = Table(
    prefix="roberta.",
    encoder=_BERT_ENCODER,
    head={"head.dense": "lm_head.dense", "head.norm": "lm_head.layer_norm", "decoder": "lm_head"},
    tasks={**_TOKENS, "classify": {"head.dense": "classifier.dense", "classifier": "classifier.out_proj"}},
    repeats={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    carried=("roberta.pooler.dense",),
    ignored=("roberta.embeddings.position_ids", "roberta.embeddings.token_type_ids"),
)
"""Liu et al. 2019; XLM-R (Conneau et al. 2020) and CamemBERT (Martin et al. 2020) have the same names."""

DISTILBERT: Final = Table(
    prefix="distilbert.",
    encoder={
        "embeddings.tok_embeddings": "embeddings.word_embeddings",
        "embeddings.position_embeddings": "embeddings.position_embeddings",
        "embeddings.norm": "embeddings.LayerNorm",
        "layers.{n}.attn.Wqkv": (
            "transformer.layer.{n}.attention.q_lin",
            "transformer.layer.{n}.attention.k_lin",
            "transformer.layer.{n}.attention.v_lin",
        ),
        "layers.{n}.attn.Wo": "transformer.layer.{n}.attention.out_lin",
        "layers.{n}.attn_norm": "transformer.layer.{n}.sa_layer_norm",
        "layers.{n}.mlp.Wi": "transformer.layer.{n}.ffn.lin1",
        "layers.{n}.mlp.Wo": "transformer.layer.{n}.ffn.lin2",
        "layers.{n}.mlp_norm": "transformer.layer.{n}.output_layer_norm",
    },
    head={"head.dense": "vocab_transform", "head.norm": "vocab_layer_norm", "decoder": "vocab_projector"},
    tasks=_TOKENS,
    repeats={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
    ignored=("distilbert.embeddings.position_ids",),
)
"""Sanh et al. 2019."""

ELECTRA: Final = Table(
    prefix="electra.",
    encoder={**_BERT_ENCODER, "embeddings.project": "embeddings_project"},
    head={
        "head.dense": "generator_predictions.dense",
        "head.norm": "generator_predictions.LayerNorm",
        "decoder": "generator_lm_head",
    },
    tasks=_TOKENS,
    repeats={"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"},
    carried=("discriminator_predictions.dense", "discriminator_predictions.dense_prediction"),
    ignored=("electra.embeddings.position_ids", "electra.embeddings.token_type_ids"),
)
"""Clark et al. 2020: a generator has the head, a discriminator has not."""

TABLES: Final[Mapping[str, Table]] = {
    "bert": BERT,
    "camembert": ROBERTA,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "modernbert": MODERNBERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
}
"""By the ``model_type`` of a configuration."""
