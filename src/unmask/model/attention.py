"""Attention over packed rows: a token sees the tokens of its own document and nothing else.

Three ways to compute the same thing, chosen once per forward by device, number format and row length; every layer of a
kind shares the choice. What bites: padding is a segment like any other (number 0), so no row of the mask is ever empty
and softmax never divides by zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmask.model.config import EncoderConfig, LayerKind
from unmask.model.rope import Rotation, rotation, split_and_rotate, split_heads

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # an older torch: CUDA then takes the dense mask as well
    HAS_VARLEN = False
else:
    HAS_VARLEN = True

LONGEST_EXPLICIT_ROW = 512
"""Up to this length bfloat16 attention on CPU is faster as two plain matmuls. Measured, 4096 tokens, 4 heads of 64, one
core, forward and backward: 18 ms against 57 at 128 tokens a row, 52 against 103 at 512; from 1024 on they are equal,
and the fused kernel saves the memory. In float32 the fused kernel is never behind."""


class Attend(Protocol):
    """A way to compute attention: query, key, value (R, H, L, K) to the heads' answers side by side (R, L, D)."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return softmax(query key^T / sqrt(K)) value over what is visible."""


@dataclass(frozen=True, slots=True)
class FusedAttention:
    """torch's own kernel with a mask; nothing of size L x L is kept for the backward."""

    mask: Tensor
    """(R, 1, L, L): 0 where visible, -inf elsewhere."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See Attend."""
        return F.scaled_dot_product_attention(query, key, value, attn_mask=self.mask).transpose(1, 2).flatten(2)


@dataclass(frozen=True, slots=True)
class ExplicitAttention:
    """Two matmuls and a softmax. exp(-inf) is an exact zero, so a hidden token weighs nothing, to the bit."""

    mask: Tensor
    """(R, 1, L, L): 0 where visible, -inf elsewhere."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See Attend."""
        scores = torch.matmul(query * query.shape[-1] ** -0.5, key.mT).add_(self.mask)  # (R, H, L, L)
        return torch.matmul(torch.softmax(scores, dim=-1), value).transpose(1, 2).flatten(2)


@dataclass(frozen=True, slots=True)
class VarlenAttention:
    """The variable-length kernel of CUDA, which skips what is hidden instead of masking it. Not yet run on a GPU."""

    cu_seqlens: Tensor
    """(N + 1,) int32: where each window starts in the rows laid end to end, and the end."""
    window: tuple[int, int]
    """How many tokens to the left and right are visible, -1 for all."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See Attend."""
        rows, heads, length, width = query.shape
        query, key, value = (part.transpose(1, 2).reshape(-1, heads, width) for part in (query, key, value))
        bounds = self.cu_seqlens
        answer = varlen_attn(query, key, value, bounds, bounds, length, length, window_size=self.window)
        assert isinstance(answer, Tensor)  # a pair only where it is asked for the log of the sums
        return answer.view(rows, length, heads * width)


@dataclass(frozen=True, slots=True)
class Sight:
    """What one kind of layer sees: which tokens, and how their positions are told."""

    attend: Attend
    turn: Rotation | None
    """None where positions were added to the embeddings."""


class Attention(nn.Module):
    """Multi-head self-attention with one matrix for query, key and value: (R, L, D) to (R, L, D)."""

    def __init__(self, config: EncoderConfig, *, bias: bool) -> None:
        """Lay out the two matrices."""
        super().__init__()
        self.heads = (3, config.num_attention_heads, config.head_width)
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=bias)
        self.Wo = nn.Linear(config.hidden_size, config.hidden_size, bias=bias)

    def forward(self, hidden: Tensor, sight: Sight, places: Tensor | None = None) -> Tensor:
        """Let the tokens of ``hidden`` (R, L, D) see each other through ``sight``.

        Returns (R, L, D), or (M, D) where only the flat ``places`` (M,) of the rows are wanted.
        """
        qkv: Tensor = self.Wqkv(hidden).unflatten(-1, self.heads)  # (R, L, 3, H, K)
        query, key, value = split_heads(qkv) if sight.turn is None else split_and_rotate(qkv, sight.turn)
        answer: Tensor = self.Wo(at(sight.attend(query, key, value), places))
        return answer


def at(hidden: Tensor, places: Tensor | None) -> Tensor:
    """Return ``hidden`` (R, L, D) at the flat ``places`` (M,) of its rows as (M, D), or as it is without places."""
    return hidden if places is None else hidden.flatten(0, 1).index_select(0, places)


def sights(
    segment: Tensor, positions: Tensor, config: EncoderConfig, dtype: torch.dtype, is_causal: Tensor | None = None
) -> Mapping[LayerKind, Sight]:
    """Return what each kind of layer sees of rows with ``segment`` and ``positions`` (R, L), computing in ``dtype``.

    ``is_causal`` (R,) are the rows that are read from left to right, where they are not all as ``config`` says. All is
    derived once per forward. Rows so short that the window reaches over all of them share one mask.
    """
    attends = _attends(segment, config, dtype, is_causal)
    if config.family == "bert":
        return {kind: Sight(attend, None) for kind, attend in attends.items()}
    thetas = {"global": config.global_rope_theta, "local": config.local_rope_theta}
    return {
        kind: Sight(attend, rotation(positions, head_width=config.head_width, theta=thetas[kind], dtype=dtype))
        for kind, attend in attends.items()
    }


def _attends(
    segment: Tensor, config: EncoderConfig, dtype: torch.dtype, is_causal: Tensor | None
) -> Mapping[LayerKind, Attend]:
    reach, length = config.local_attention // 2, segment.shape[1]
    has_one_way = is_causal is None  # the kernel of CUDA reads all of its documents in the same direction
    if HAS_VARLEN and has_one_way and segment.is_cuda and dtype in (torch.bfloat16, torch.float16):
        return _varlen(cu_seqlens(segment), reach, is_causal=config.is_causal)
    explicit = segment.device.type == "cpu" and dtype == torch.bfloat16 and length <= LONGEST_EXPLICIT_ROW
    attention = ExplicitAttention if explicit else FusedAttention
    seen = visible(segment, is_causal=config.is_causal if is_causal is None else is_causal)
    everywhere = attention(additive(seen, dtype))
    if length <= reach + 1 or "local" not in config.layer_kinds:
        return {"global": everywhere, "local": everywhere}
    return {"global": everywhere, "local": attention(additive(seen & nearby(segment, reach), dtype))}


def _varlen(bounds: Tensor, reach: int, *, is_causal: bool) -> Mapping[LayerKind, Attend]:
    everything, near = (-1, 0 if is_causal else -1), (reach, 0 if is_causal else reach)
    return {"global": VarlenAttention(bounds, everything), "local": VarlenAttention(bounds, near)}


def visible(segment: Tensor, *, is_causal: bool | Tensor) -> Tensor:
    """Return (R, L, L) bool: True where token i may see token j of ``segment`` (R, L).

    ``is_causal`` says it of all rows, or (R,) of each.
    """
    same = segment[:, :, None] == segment[:, None, :]
    if isinstance(is_causal, Tensor):
        return torch.where(is_causal[:, None, None], same.tril(), same)
    return same.tril() if is_causal else same


def nearby(segment: Tensor, reach: int) -> Tensor:
    """Return (L, L) bool: True where two places of a row are at most ``reach`` apart."""
    place = torch.arange(segment.shape[1], device=segment.device)
    return (place[:, None] - place).abs() <= reach


def additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Return (R, 1, L, L): 0 where ``seen`` (R, L, L), -inf elsewhere, to be added to scores of any number of heads."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf")).unsqueeze(1)


def cu_seqlens(segment: Tensor) -> Tensor:
    """Return (N + 1,) int32: where each run of one ``segment`` (R, L) starts in the rows laid end to end, and the end.

    Padding is a run like any other, so that every token has a place and nothing has to be cut out and put back.
    """
    starts = torch.ones_like(segment, dtype=torch.bool)
    starts[:, 1:] = segment[:, 1:] != segment[:, :-1]
    return F.pad(starts.flatten().nonzero().squeeze(1), (0, 1), value=segment.numel()).to(torch.int32)
