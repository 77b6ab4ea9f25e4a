"""Heads for understanding tasks on an encoder: one vector a text, one a word, or a start and an end.

Shapes and names inside a head are those of its family, so that the usual libraries read what is exported. What bites:
a row holds one window here, never several, since a pooled vector stands for the whole row.
"""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor, nn

from unmask.batch import Batch
from unmask.model.config import EncoderConfig, Family
from unmask.model.encoder import Encoder
from unmask.model.heads import MaskedLM, PredictionHead
from unmask.model.init import initialise

TaskName = Literal["classify", "tag", "answer", "embed"]
Pooling = Literal["mean", "cls"]

START_AND_END: Final = 2
"""Outputs a token of the task answer."""


def usual_pooling(name: TaskName, family: Family) -> Pooling:
    """Return what stands for a text where nobody says: the mean, and [CLS] where a published head reads that alone."""
    return "cls" if name == "classify" and family == "bert" else "mean"


class Pooler(nn.Module):
    """BERT's: dense, tanh (Devlin et al. 2019); (..., D) to (..., D)."""

    def __init__(self, config: EncoderConfig) -> None:
        """Lay out the matrix."""
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return what the classifier reads."""
        return torch.tanh(self.dense(hidden))


class TaskHead(nn.Module):
    """From hidden states (..., D) to scores (..., C): ModernBERT's prediction head or BERT's pooler, and a matrix."""

    def __init__(self, config: EncoderConfig, num_outputs: int, *, reads_texts: bool) -> None:
        """Lay out the parts; ``reads_texts`` says that a state stands for a text, where BERT has its pooler."""
        super().__init__()
        bert = Pooler(config) if reads_texts else nn.Identity()
        self.head = PredictionHead(config) if config.family == "modernbert" else bert
        self.classifier = nn.Linear(config.hidden_size, num_outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the scores."""
        scores: Tensor = self.classifier(self.head(hidden))
        return scores


class TaskModel(nn.Module):
    """An encoder with the head of one task, under ``task.<name>``."""

    def __init__(self, config: EncoderConfig, name: TaskName, num_outputs: int, pooling: Pooling) -> None:
        """Assemble both; ``num_outputs`` and ``pooling`` count where the task has them."""
        super().__init__()
        self.config, self.name, self.pooling = config, name, pooling
        self.model = Encoder(config)
        head = nn.Identity() if name == "embed" else TaskHead(config, num_outputs, reads_texts=name == "classify")
        self.task = nn.ModuleDict({name: head})

    def forward(self, batch: Batch) -> Tensor:
        """Return scores: classify (R, C), tag (M, C) at ``batch.asked``, answer (R, L, 2), embed (R, D) vectors."""
        pools_all = self.name in ("classify", "embed") and self.pooling == "mean"
        places = batch.asked if self.name == "tag" else None
        if self.name in ("classify", "embed") and not pools_all:
            rows, length = batch.segment.shape
            places = torch.arange(0, rows * length, length, device=batch.segment.device)  # each row's [CLS]
        types = batch.token_type_ids if self.config.type_vocab_size > 1 else None  # RoBERTa knows one kind of sentence
        hidden = self.model(batch.input_ids, batch.segment, batch.positions, types, places=places)
        scores: Tensor = self.task[self.name](mean_over_window(hidden, batch.segment) if pools_all else hidden)
        return scores


def mean_over_window(hidden: Tensor, segment: Tensor) -> Tensor:
    """Return (R, D) the mean of ``hidden`` (R, L, D) over what ``segment`` (R, L) fills, special tokens included."""
    filled = (segment > 0).to(hidden.dtype)
    return (hidden * filled[..., None]).sum(1) / filled.sum(1, keepdim=True)


@torch.no_grad()
def new_task_model(
    base: MaskedLM, name: TaskName, num_outputs: int, pooling: Pooling, generator: torch.Generator
) -> TaskModel:
    """Return a model for a task that starts from the encoder of ``base``; what it lacks is drawn from ``generator``.

    ModernBERT's tasks go on from the prediction head that pre-training made, as they do in transformers.
    """
    with torch.device("meta"):
        model = TaskModel(base.config, name, num_outputs, pooling)
    model.to_empty(device=generator.device)
    initialise(model.task, base.config, generator)
    model.model.load_state_dict(base.model.state_dict())
    if name != "embed" and base.config.family == "modernbert":
        head = model.task[name].head
        assert isinstance(head, PredictionHead)
        head.load_state_dict(base.head.state_dict())
    return model
