"""Runs a task's network on windows: batches of them for training, scores for all else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from unmask.batch import IGNORE_INDEX, Batch, collate
from unmask.inference.encoding import Window
from unmask.inference.grouping import in_groups
from unmask.model.tasks import TaskModel

LENGTH_MULTIPLE = 8
"""Rows are padded to a multiple of this: few shapes, and whole vectors of the processor."""


def batch_of(windows: Sequence[Window], pad_id: int, labels: Sequence[Sequence[int]] | None = None) -> Batch:
    """Return a batch with a window a row, padded to the longest; ``labels`` (A,) of each window's asked places."""
    length = -(-max(len(window.input_ids) for window in windows) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
    shape = (len(windows), length)
    ids, types, segment = np.full(shape, pad_id, np.int32), np.zeros(shape, np.int64), np.zeros(shape, np.int32)
    asked = np.full(shape, IGNORE_INDEX, np.int64)
    for row, window in enumerate(windows):
        size = len(window.input_ids)
        ids[row, :size], types[row, :size], segment[row, :size] = window.input_ids, window.token_type_ids, 1
        asked[row, window.asked] = 0 if labels is None else labels[row]
    batch = collate(input_ids=ids, segment=segment, labels=asked, kind=np.zeros(shape, np.int64))
    return replace(batch, token_type_ids=torch.from_numpy(types))


class TorchTaskEngine:
    """A task's network, on this machine's processor or GPU."""

    def __init__(
        self,
        model: TaskModel,
        pad_id: int,
        precision: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Take ``model`` as it is; it is put into evaluation mode while it is asked, and back."""
        self.model, self.pad_id, self._precision = model, pad_id, precision

    @torch.no_grad()
    def scores(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        """Return the scores of each window: classify (C,), tag (A, C), answer (L, 2), embed (D,)."""
        found: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)] * len(windows)
        device = next(self.model.parameters()).device
        training = self.model.training
        self.model.eval()
        for group in in_groups([len(window.input_ids) for window in windows]):
            chosen = [windows[n] for n in group]
            batch = batch_of(chosen, self.pad_id).to(device)
            with self._precision():
                scores = self.model(batch).float().cpu().numpy()
            if self.model.name == "tag":  # (M, C), window by window
                parts = np.split(scores, np.cumsum([len(window.asked) for window in chosen]))[: len(chosen)]
            elif self.model.name == "answer":  # (R, L, 2)
                parts = [row[: len(window.input_ids)] for row, window in zip(scores, chosen, strict=True)]
            else:
                parts = list(scores)
            for n, part in zip(group, parts, strict=True):
                found[n] = part
        self.model.train(training)
        return found
