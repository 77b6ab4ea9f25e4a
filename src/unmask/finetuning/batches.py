"""The batches of fine-tuning: which windows a step sees is a pure function of the step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from unmask.batch import Batch
from unmask.corpus.order import RowOrder
from unmask.finetuning.data import TaskData
from unmask.inference.torch_tasks import batch_of
from unmask.training.batches import dealt_places


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBatches:
    """Makes the micro-batches of a step; every epoch shows each row of the data once, in an order of its own."""

    data: TaskData
    pad_id: int
    seed: int
    batch_rows: int
    micro_batch_rows: int
    class_weights: npt.NDArray[np.float32] | None = None
    """(C,) what each label weighs in the loss."""

    def __call__(self, step: int) -> list[Batch]:
        """Return the micro-batches of ``step``, counted from 0."""
        order = RowOrder([self.data.num_rows], None)
        dealt = dealt_places(step, self.batch_rows, self.micro_batch_rows)
        return [self._batch(order.at(places, self.seed)[0]) for places in dealt]

    def _batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        data = self.data
        numbers = (rows[:, None] * data.windows_per_row + np.arange(data.windows_per_row)).ravel()
        labels = None if data.labels is None else [data.labels[number] for number in numbers]
        batch = batch_of([data.windows[number] for number in numbers], self.pad_id, labels)
        truth = None if data.truth is None else torch.from_numpy(data.truth[rows])
        weights = None
        if self.class_weights is not None:
            weight = torch.from_numpy(self.class_weights)[batch.targets.clamp(min=0)]
            weights = torch.where(batch.targets >= 0, weight, 0.0)
        return replace(batch, truth=truth, weights=weights)
