"""One step of training on a corpus, and whether all that came of it is finite."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from unmask.cli.planning import plan_for, pretrain_settings, step_batches
from unmask.corpus.directory import Corpus
from unmask.model.config import resolve
from unmask.model.heads import new_masked_lm
from unmask.training.loop import train_step
from unmask.training.optim import make_optimizer

TINY = [
    *("model.preset=tiny", "model.hidden_size=16", "model.num_attention_heads=1", "model.num_hidden_layers=2"),
    *("training.batch_rows=4", "training.micro_batch_rows=2", "training.threads=1", "evaluation.documents=100"),
]


class Step(NamedTuple):
    """What a step came to."""

    loss: float
    asked: float
    gradients: list[Tensor]
    weights: list[Tensor]

    @property
    def is_finite(self) -> bool:
        """Whether the loss, every gradient and every weight after the step is."""
        tensors = [torch.tensor(self.loss), *self.gradients, *self.weights]
        return all(bool(tensor.isfinite().all()) for tensor in tensors)


def one_step(corpus: Corpus, *words: str) -> Step:
    """Take the first step of a run with the settings in ``words``."""
    settings = pretrain_settings([*TINY, *words])
    config = resolve(settings.model, corpus.vocabulary.size, corpus.vocabulary.pad_id)
    model = new_masked_lm(config, torch.Generator().manual_seed(0))
    batches = step_batches(corpus, settings)
    plan = plan_for(corpus, settings, model, batches, 0.0, None)
    by_kind, _ = train_step(plan, make_optimizer(model, settings.optimizer), batches(0), 0)
    loss, asked = by_kind.sum((1, 2)).tolist()
    parameters = list(model.parameters())
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return Step(loss, asked, gradients, [parameter.detach() for parameter in parameters])
