"""Small encoders and packed rows to try them on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unmask.batch import IGNORE_INDEX, Batch
from unmask.model.config import EncoderConfig, Family, ModelSettings, resolve
from unmask.model.heads import MaskedLM, new_masked_lm

VOCABULARY = 61
SIZE = {"num_hidden_layers": 4, "hidden_size": 24, "num_attention_heads": 3, "initializer_range": 0.3}
OWN: dict[Family, dict[str, Any]] = {
    "modernbert": {"preset": "tiny", "local_attention": 16},
    "bert": {"preset": "bert-tiny"},
}
FAMILIES: tuple[Family, ...] = ("modernbert", "bert")


def small(family: Family, **changes: Any) -> EncoderConfig:
    """Return a config small enough for float64 and large enough to go wrong: weights that matter, a window of 16."""
    values = {**OWN[family], **SIZE, **changes}
    return resolve(ModelSettings.parse(values), VOCABULARY, pad_id=0)


def model_of(config: EncoderConfig, seed: int = 7) -> MaskedLM:
    """Return a model whose biases and norms are not at rest either."""
    chance = torch.Generator().manual_seed(seed)
    model = new_masked_lm(config, chance)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=chance))
    return model.eval()


def documents(lengths: Sequence[int], seed: int = 0) -> list[Tensor]:
    """Return documents of random ids, never padding."""
    chance = torch.Generator().manual_seed(seed)
    return [torch.randint(1, VOCABULARY, (length,), generator=chance) for length in lengths]


def pack(rows: Sequence[Sequence[Tensor]], row_length: int) -> Batch:
    """Return rows of documents laid one after the other, every position asked."""
    shape = (len(rows), row_length)
    input_ids, segment = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int32)
    positions = torch.zeros(shape, dtype=torch.int64)
    for row, held in enumerate(rows):
        start = 0
        for number, ids in enumerate(held, start=1):
            place = slice(start, start + len(ids))
            input_ids[row, place], segment[row, place], positions[row, place] = ids, number, torch.arange(len(ids))
            start = place.stop
    return asking(torch.arange(segment.numel()), input_ids, segment, positions)


def asking(asked: Tensor, input_ids: Tensor, segment: Tensor, positions: Tensor) -> Batch:
    """Return a batch that asks for the flat places ``asked``."""
    targets = input_ids.flatten()[asked]
    labels = torch.full_like(input_ids, IGNORE_INDEX)
    labels.view(-1)[asked] = targets
    return Batch(
        input_ids=input_ids,
        segment=segment,
        positions=positions,
        labels=labels,
        asked=asked,
        targets=targets,
        kind=torch.zeros_like(asked),
        num_asked=len(asked),
    )
