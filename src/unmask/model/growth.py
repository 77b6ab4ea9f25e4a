"""A model whose vocabulary grows: rows for new tokens, everything else as it was.

What bites: published tables are often padded beyond the last token, so new tokens take those rows before new ones are
laid on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from unmask.model.config import EncoderConfig
from unmask.model.heads import MaskedLM

_BY_TOKEN = ("model.embeddings.tok_embeddings.weight", "decoder.bias")
"""All that has a row for each token; the decoder's matrix is the first of them."""


def grown_config(config: EncoderConfig, num_tokens: int) -> EncoderConfig:
    """Return ``config`` with a row for each of ``num_tokens`` tokens, and no row fewer than it has."""
    return replace(config, vocab_size=max(config.vocab_size, num_tokens))


@torch.no_grad()
def grown_masked_lm(model: MaskedLM, first: int, pieces: Sequence[Sequence[int]]) -> MaskedLM:
    """Return ``model`` with tokens from ``first`` on, each the mean of its ``pieces`` in row and bias.

    So its logit is the mean of theirs, and it never outbids the likeliest of them. What the model says of the other
    tokens, where no new one is in the text, stays.
    """
    end = first + len(pieces)
    grown = MaskedLM(grown_config(model.config, end))
    weights = model.state_dict()
    for name in _BY_TOKEN:
        rows = weights[name]
        new = torch.stack([rows[list(ids)].mean(0) for ids in pieces])
        weights[name] = torch.cat([rows[:first], new, rows[end:]])
    grown.load_state_dict(weights)
    grown.has_new_head = model.has_new_head
    return grown.train(model.training)
