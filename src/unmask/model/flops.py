"""What a model costs, before anything is spent: parameters and floating point operations per token.

What bites: these are the model's own operations, not what a kernel does; a fused attention that computes its scores a
second time on the way back is not paid for it here.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from unmask.model.config import EncoderConfig
from unmask.model.heads import shape_of


@dataclass(frozen=True, slots=True)
class Flops:
    """Floating point operations per token of a row, a multiplication and an addition counted as two."""

    forward: float
    backward: float

    @property
    def total(self) -> float:
        """Forward and backward together."""
        return self.forward + self.backward


def num_parameters(config: EncoderConfig) -> int:
    """Return the number of trained parameters, the tied table counted once."""
    return sum(parameter.numel() for parameter in shape_of(config).parameters())


def flops_per_token(config: EncoderConfig, row_length: int, asked_share: float) -> Flops:
    """Return the operations per token in rows of ``row_length``, ``asked_share`` of which pay for the vocabulary.

    Two per parameter of a matmul on the way there, twice that on the way back (Kaplan et al. 2020, section 2.1);
    attention adds 4 * row_length * hidden_size per layer for scores and mixing (Chowdhery et al. 2022, appendix B),
    counted in full for packed and local layers too, since a dense mask saves nothing. What the last layer does after
    attention is done at the asked positions alone.
    """
    model = shape_of(config)
    last = model.model.layers[-1]
    after_attention = _matmul_parameters(last) - _matmul_parameters(last.get_submodule("attn.Wqkv"))
    for_all = _matmul_parameters(model.model) - after_attention
    for_asked = after_attention + _matmul_parameters(model.head) + config.vocab_size * config.embedding_width
    attention = 4 * row_length * config.hidden_size * config.num_hidden_layers
    forward = 2 * (for_all + asked_share * for_asked) + attention
    return Flops(forward, 2 * forward)


def _matmul_parameters(module: nn.Module) -> int:
    return sum(part.weight.numel() for part in module.modules() if isinstance(part, nn.Linear))
