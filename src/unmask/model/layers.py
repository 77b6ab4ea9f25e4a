"""The bricks of the two families: embeddings, feed-forward parts and the two ways to join them with attention.

What bites: ModernBERT normalises what a part reads (pre-norm), BERT what it has written (post-norm); under autocast the
sums between the parts stay in float32 in both.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from unmask.model.attention import Attention, Sight, at
from unmask.model.config import EncoderConfig


class TokenEmbeddings(nn.Module):
    """ModernBERT: the tokens alone, normalised; positions come in by rotation."""

    def __init__(self, config: EncoderConfig, norm: nn.Module) -> None:
        """Lay out the table."""
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = norm

    def forward(self, input_ids: Tensor, *_positions_and_types: Tensor | None) -> Tensor:
        """Return (R, L, D); this family has neither positions nor sentences in its embeddings."""
        normed: Tensor = self.norm(self.tok_embeddings(input_ids))
        return normed


class SummedEmbeddings(nn.Module):
    """BERT: token, sentence and learned position, summed and normalised.

    RoBERTa counts positions from a later one, DistilBERT has no sentences, ELECTRA widens what it has summed.
    """

    def __init__(self, config: EncoderConfig, norm: nn.Module) -> None:
        """Lay out the three tables."""
        super().__init__()
        width, kinds = config.embedding_width, config.type_vocab_size
        self.first_position = config.position_offset
        self.tok_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(kinds, width) if kinds else None
        self.norm = norm
        self.project = nn.Identity() if width == config.hidden_size else nn.Linear(width, config.hidden_size)

    def forward(self, input_ids: Tensor, positions: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """Return (R, L, D); without ``token_type_ids`` all is of the first sentence."""
        summed = self.tok_embeddings(input_ids)
        if (types := self.token_type_embeddings) is not None:
            summed = summed + (types.weight[0] if token_type_ids is None else types(token_type_ids))
        summed = summed + self.position_embeddings(positions + self.first_position)
        widened: Tensor = self.project(self.norm(summed))
        return widened


class GatedFeedForward(nn.Module):
    """GeGLU (Shazeer 2020): one half of Wi passes through GELU and scales the other."""

    def __init__(self, config: EncoderConfig, *, bias: bool) -> None:
        """Lay out the two matrices."""
        super().__init__()
        self.Wi = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=bias)
        self.Wo = nn.Linear(config.intermediate_size, config.hidden_size, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        first, second = self.Wi(hidden).chunk(2, dim=-1)
        written: Tensor = self.Wo(F.gelu(first) * second)
        return written


class FeedForward(nn.Module):
    """BERT's two matrices with GELU between them."""

    def __init__(self, config: EncoderConfig, *, bias: bool) -> None:
        """Lay out the two matrices."""
        super().__init__()
        self.Wi = nn.Linear(config.hidden_size, config.intermediate_size, bias=bias)
        self.Wo = nn.Linear(config.intermediate_size, config.hidden_size, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        written: Tensor = self.Wo(F.gelu(self.Wi(hidden)))
        return written


class PreNormLayer(nn.Module):
    """Each part reads a normalised copy and adds to the stream."""

    def __init__(self, attn: Attention, mlp: nn.Module, attn_norm: nn.Module, mlp_norm: nn.Module) -> None:
        """Join the parts."""
        super().__init__()
        self.attn_norm, self.attn, self.mlp_norm, self.mlp = attn_norm, attn, mlp_norm, mlp

    def forward(self, hidden: Tensor, sight: Sight, places: Tensor | None = None) -> Tensor:
        """(R, L, D) to (R, L, D), or to (M, D) at ``places`` (M,)."""
        seen: Tensor = at(hidden, places) + self.attn(self.attn_norm(hidden), sight, places)
        thought: Tensor = seen + self.mlp(self.mlp_norm(seen))
        return thought


class PostNormLayer(nn.Module):
    """Each part adds to the stream, and the sum is normalised."""

    def __init__(self, attn: Attention, mlp: nn.Module, attn_norm: nn.Module, mlp_norm: nn.Module) -> None:
        """Join the parts."""
        super().__init__()
        self.attn, self.attn_norm, self.mlp, self.mlp_norm = attn, attn_norm, mlp, mlp_norm

    def forward(self, hidden: Tensor, sight: Sight, places: Tensor | None = None) -> Tensor:
        """(R, L, D) to (R, L, D), or to (M, D) at ``places`` (M,)."""
        seen: Tensor = self.attn_norm(at(hidden, places) + self.attn(hidden, sight, places))
        thought: Tensor = self.mlp_norm(seen + self.mlp(seen))
        return thought
