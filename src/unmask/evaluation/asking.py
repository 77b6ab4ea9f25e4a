"""Batches through a model, as it is measured: in evaluation mode, without gradients, in the order of the batches.

What bites: the list of asked positions is padded, so what comes back is cut to those that are asked in truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from unmask.batch import Batch

Precision = Callable[[], AbstractContextManager[None]]


def asked_logits(
    model: nn.Module, batches: Iterable[Batch], precision: Precision = nullcontext
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (M, V) float32 logits and (M,) true ids of what each batch asks for.

    The model's training mode is left as it was, once all batches have been taken.
    """
    training = model.training
    model.eval()
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    for batch in (batch.to(device) for batch in batches):
        with torch.no_grad(), precision():
            logits = model(batch)[: batch.num_asked].float()
        yield logits, batch.targets[: batch.num_asked]
    model.train(training)
