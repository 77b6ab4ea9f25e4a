"""The shape of an encoder: presets, the settings that change them, and the resolved configuration.

Names are Hugging Face's. What bites: ``intermediate_size`` is the width that the second matrix of the feed-forward part
reads; ModernBERT's gated form computes two such halves, so its first matrix is twice as wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from unmask.errors import ModelError, SettingError
from unmask.settings import Count, Positive, Settings

Family = Literal["modernbert", "bert"]
LayerKind = Literal["global", "local"]
PresetName = Literal[
    "tiny", "mini", "small", "medium", "base", "bert-tiny", "bert-mini", "bert-small", "bert-medium", "bert-base"
]


class ModelSettings(Settings):
    """The group ``model``: a preset, and what is to differ from it."""

    preset: PresetName = "mini"
    """Published shape in this size: ModernBERT, or BERT where the name says so."""
    hidden_size: Count | None = None
    """Width of the hidden states."""
    num_hidden_layers: Count | None = None
    """Number of layers."""
    num_attention_heads: Count | None = None
    """Number of attention heads; must divide hidden_size."""
    intermediate_size: Count | None = None
    """Inner width of the feed-forward part; follows hidden_size where it is not given."""
    max_position_embeddings: Count | None = None
    """Longest row: a hard limit where positions are learned (BERT)."""
    initializer_range: Positive | None = None
    """Standard deviation of the initial weights."""
    is_causal: bool = False
    """Let a token see only what stands before it."""
    local_attention: Count | None = None
    """Width of the window of the local layers, in tokens (ModernBERT)."""
    global_attn_every_n_layers: Count | None = None
    """Every n-th layer, from the first, sees the whole document (ModernBERT)."""
    global_rope_theta: Positive | None = None
    """Base of the rotary frequencies in global layers (ModernBERT)."""
    local_rope_theta: Positive | None = None
    """Base of the rotary frequencies in local layers (ModernBERT)."""
    type_vocab_size: Count | None = None
    """Number of kinds of sentence in a pair (BERT)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """A resolved encoder. Raises ModelError, in one line, for a shape that can not be built."""

    family: Family
    vocab_size: int
    pad_id: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    initializer_range: float = 0.02
    is_causal: bool = False
    predicts_next: bool = False
    """Whether what is said at a place is of the token behind it, not of its own (clm, mntp, hybrid)."""
    local_attention: int = 128
    global_attn_every_n_layers: int = 1
    global_rope_theta: float = 160_000.0
    local_rope_theta: float = 10_000.0
    type_vocab_size: int = 2
    norm_eps: float | None = None
    """Added to variances in norms; None is what the family was published with."""
    position_offset: int = 0
    """Which learned position a window begins at; those before it stand empty (RoBERTa)."""
    embedding_size: int | None = None
    """Width of the table of tokens, where it is not the hidden one (ELECTRA)."""

    def __post_init__(self) -> None:
        """Refuse what can not be built."""
        if self.hidden_size % self.num_attention_heads:
            raise ModelError(
                f"model.hidden_size must be a multiple of model.num_attention_heads, "
                f"got {self.hidden_size} and {self.num_attention_heads}"
            )
        if self.family == "modernbert" and self.head_width % 2:
            raise ModelError(
                f"rotary positions need an even width per head, got {self.hidden_size} / {self.num_attention_heads} = "
                f"{self.head_width}; change model.hidden_size or model.num_attention_heads"
            )
        if self.local_attention % 2:
            raise ModelError(f"model.local_attention must be even (half to each side), got {self.local_attention}")
        if self.longest_row < 1:
            raise ModelError(
                f"max_position_embeddings must leave room behind the first {self.position_offset} positions, "
                f"got {self.max_position_embeddings}"
            )
        if not 0 <= self.pad_id < self.vocab_size:
            raise ModelError(f"the padding id {self.pad_id} is outside the vocabulary of {self.vocab_size}")

    @property
    def head_width(self) -> int:
        """Width of one attention head, K."""
        return self.hidden_size // self.num_attention_heads

    @property
    def embedding_width(self) -> int:
        """Width of the table of tokens."""
        return self.embedding_size or self.hidden_size

    @property
    def eps(self) -> float:
        """What is added to variances in norms."""
        return self.norm_eps if self.norm_eps is not None else {"modernbert": 1e-5, "bert": 1e-12}[self.family]

    @property
    def longest_row(self) -> int:
        """Tokens of the longest row that was meant to be read."""
        return self.max_position_embeddings - self.position_offset

    @property
    def is_left_to_right(self) -> bool:
        """Whether it is a causal language model: each token is told from what stands before it."""
        return self.is_causal and self.predicts_next

    @property
    def layer_kinds(self) -> tuple[LayerKind, ...]:
        """Which layers see the whole document and which a window of it, from the first layer up."""
        every = self.global_attn_every_n_layers
        return tuple("local" if layer % every else "global" for layer in range(self.num_hidden_layers))

    def check_row_length(self, row_length: int) -> None:
        """Raise ModelError where rows are longer than the learned positions reach; rotary positions have no end."""
        if self.family == "bert" and row_length > self.longest_row:
            raise ModelError(
                f"rows of {row_length} tokens do not fit model.max_position_embeddings = "
                f"{self.longest_row}: shorten the rows, or raise it before training"
            )


_ONLY_IN: Final[dict[str, Family]] = {
    "local_attention": "modernbert",
    "global_attn_every_n_layers": "modernbert",
    "global_rope_theta": "modernbert",
    "local_rope_theta": "modernbert",
    "type_vocab_size": "bert",
}


def _modernbert(layers: int, hidden: int, heads: int, intermediate: int | None = None) -> dict[str, Any]:
    return {
        "family": "modernbert",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate or feed_forward_width("modernbert", hidden),
        "max_position_embeddings": 8192,
        "global_attn_every_n_layers": 3,
    }


def _bert(layers: int, hidden: int, heads: int) -> dict[str, Any]:
    return {
        "family": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": feed_forward_width("bert", hidden),
        "max_position_embeddings": 512,
    }


def feed_forward_width(family: Family, hidden_size: int) -> int:
    """Return the usual ``intermediate_size``: 4 times the width, or two thirds of that where a gate doubles the cost.

    Both cost 8 hidden_size^2 parameters a layer (Shazeer 2020, GLU Variants Improve Transformer); the gated one is
    rounded to a multiple of 64.
    """
    return 4 * hidden_size if family == "bert" else max(64, round(8 * hidden_size / 3 / 64) * 64)


PRESETS: Final[dict[PresetName, dict[str, Any]]] = {
    "tiny": _modernbert(2, 128, 2),
    "mini": _modernbert(4, 256, 4),
    "small": _modernbert(4, 512, 8),
    "medium": _modernbert(8, 512, 8),
    "base": _modernbert(22, 768, 12, intermediate=1152),
    "bert-tiny": _bert(2, 128, 2),
    "bert-mini": _bert(4, 256, 4),
    "bert-small": _bert(4, 512, 8),
    "bert-medium": _bert(8, 512, 8),
    "bert-base": _bert(12, 768, 12),
}
"""The published shapes, as arguments of EncoderConfig. BERT's sizes are those of Turc et al. 2019."""


def resolve(settings: ModelSettings, vocab_size: int, pad_id: int) -> EncoderConfig:
    """Return the encoder that ``settings`` describe for a vocabulary of ``vocab_size``.

    Raises SettingError for a setting that the preset's family does not have, ModelError for a shape that can not be
    built.
    """
    preset = PRESETS[settings.preset]
    family: Family = preset["family"]
    changes = {name: value for name, value in settings if name != "preset" and value is not None}
    for name in changes:
        if _ONLY_IN.get(name, family) != family:
            raise SettingError(
                f"model.{name} belongs to {_ONLY_IN[name]}, preset '{settings.preset}' is {family}; leave it out"
            )
    if "hidden_size" in changes:
        changes.setdefault("intermediate_size", feed_forward_width(family, changes["hidden_size"]))
    return EncoderConfig(**{**preset, **changes}, vocab_size=vocab_size, pad_id=pad_id)
