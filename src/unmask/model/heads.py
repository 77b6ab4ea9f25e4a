"""The head of masked language modelling, and the model that it makes with an encoder.

What bites: the decoder has no matrix of its own. It multiplies by the token embeddings, so a state dict holds
``decoder.bias`` and no ``decoder.weight``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmask.batch import Batch
from unmask.model.config import EncoderConfig
from unmask.model.encoder import BRICKS, Encoder
from unmask.model.init import initialise


class PredictionHead(nn.Module):
    """Dense, GELU, norm: (..., D) to the width of the embeddings."""

    def __init__(self, config: EncoderConfig) -> None:
        """Lay out the matrix and the norm."""
        super().__init__()
        bricks = BRICKS[config.family]
        self.dense = nn.Linear(config.hidden_size, config.embedding_width, bias=bricks.bias)
        self.norm = bricks.norm(config, config.embedding_width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return what the decoder reads."""
        normed: Tensor = self.norm(F.gelu(self.dense(hidden)))
        return normed


class TiedDecoder(nn.Module):
    """Scores of all tokens by the table of embeddings that it is handed, and a bias of its own."""

    def __init__(self, vocab_size: int) -> None:
        """Lay out the bias."""
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Return (M, V) from ``hidden`` and ``table`` (V, ...) of the same width."""
        return F.linear(hidden, table, self.bias)


class MaskedLM(nn.Module):
    """An encoder that names hidden tokens."""

    has_new_head = False
    """Whether the head was drawn for an encoder that came without one: what it says is chance until it is trained."""

    def __init__(self, config: EncoderConfig) -> None:
        """Assemble encoder, head and tied decoder; see ``new_masked_lm`` for weights to train from."""
        super().__init__()
        self.config = config
        self.model = Encoder(config)
        self.head = PredictionHead(config)
        self.decoder = TiedDecoder(config.vocab_size)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (M, V) at ``batch.asked``, the padding of that list included."""
        asked = self.model(  # (M, D): the vocabulary matmul dominates, so only the asked positions pay for it
            batch.input_ids,
            batch.segment,
            batch.positions,
            batch.token_type_ids,
            places=batch.asked,
            is_causal=batch.is_causal,
        )
        logits: Tensor = self.decoder(self.head(asked), self.model.embeddings.tok_embeddings.weight)
        return logits


def new_masked_lm(config: EncoderConfig, generator: torch.Generator) -> MaskedLM:
    """Return a model with the initial weights of its family, drawn from ``generator`` and from no other chance."""
    model = shape_of(config)  # torch's own initial weights would cost time and touch the global generator
    model.to_empty(device=generator.device)
    initialise(model, config, generator)
    return model


def shape_of(config: EncoderConfig) -> MaskedLM:
    """Return the model without storage."""
    with torch.device("meta"):
        return MaskedLM(config)


def initialise_head(model: MaskedLM, generator: torch.Generator) -> None:
    """Give the head of ``model`` the initial weights of its family, drawn from ``generator``."""
    initialise(nn.ModuleDict({"head": model.head, "decoder": model.decoder}), model.config, generator)
    model.has_new_head = True
