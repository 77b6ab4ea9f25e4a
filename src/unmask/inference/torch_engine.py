"""Reads a model's weights into a network of ours, and runs it on windows of token ids: numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unmask.batch import IGNORE_INDEX, Batch, collate
from unmask.errors import ModelError
from unmask.inference.grouping import in_groups
from unmask.inference.resolved import Resolved
from unmask.model.heads import MaskedLM, initialise_head, shape_of
from unmask.model.hub.families import TABLES
from unmask.model.hub.tensors import Converted, from_published, read_tensors
from unmask.model.tasks import START_AND_END, TaskModel


def read_model(found: Resolved) -> MaskedLM:
    """Return the language model of ``found`` with its weights, in evaluation mode.

    An encoder that was published without a head gets a new one, the same every time, and ``has_new_head`` says so.
    Raises ModelError where the weights do not fit, or where it was fine-tuned and is no language model any more.
    """
    if found.task is not None:
        raise ModelError(
            f"{found.origin['path']}: was fine-tuned to {found.task.name} and has no head for hidden words; "
            "use unmask predict, or name the model that it was made from"
        )
    model = MaskedLM(found.config)
    if found.model_type is None:
        load_weights(model, *found.weights)
        return model.eval()
    published = convert(found)
    if not published.has_head:
        initialise_head(model, torch.Generator().manual_seed(0))
    model.load_state_dict(published.weights, strict=published.has_head)
    return model.eval()


def convert(found: Resolved, model: nn.Module | None = None) -> Converted:
    """Return the tensors of the published ``found`` under the names of ``model``, by default a language model.

    Raises ModelError where they do not fit.
    """
    assert found.model_type is not None, "a run bears our names"
    where, shape = found.origin["path"], model or shape_of(found.config)
    published = from_published(read_tensors(found.weights), TABLES[found.model_type], shape, where)
    _refuse_broken(published.weights, where)
    return published


def read_task_model(found: Resolved) -> TaskModel:
    """Return the network of a fine-tuned ``found`` with its weights, in evaluation mode. Raises ModelError."""
    task = found.task
    if task is None:
        raise ModelError(f"{found.origin['path']}: was not fine-tuned to a task; do so with unmask finetune")
    outputs = START_AND_END if task.name == "answer" else len(task.labels)
    model = TaskModel(found.config, task.name, outputs, task.pooling)
    if found.model_type is None:
        load_weights(model, *found.weights)
    else:
        model.load_state_dict(convert(found, model).weights)
    return model.eval()


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the weights in ``path`` into ``model``. Raises ModelError where a name, a shape or a number is not right."""
    weights = read_tensors([path])
    expected = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    if wrong := sorted(name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name)):
        name = wrong[0]
        raise ModelError(
            f"{path}: does not fit its configuration: {name} is {shapes.get(name, 'missing')}, "
            f"{expected.get(name, 'nothing')} is expected ({len(wrong)} such)"
        )
    _refuse_broken(weights, path)
    model.load_state_dict(weights)


def _refuse_broken(weights: Mapping[str, Tensor], where: Path | str) -> None:
    if broken := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise ModelError(f"{where}: holds numbers that are not finite, in {broken[0]}; take another checkpoint")


def use_threads(threads: int) -> None:
    """Let torch run on that many threads; 0 leaves it as it is."""
    if threads:
        torch.set_num_threads(threads)


def require_head(model: MaskedLM) -> None:
    """Raise ModelError where the head of ``model`` is a new one that was never trained."""
    if model.has_new_head:
        raise ModelError(
            "this encoder was published without a head for hidden words, so it can embed but not guess; "
            "train one: unmask pretrain --init MODEL --corpus CORPUS --out RUN"
        )


_FIRST = np.zeros(1, np.int32)


class TorchEngine:
    """An encoder with its head, on this machine's processor or GPU."""

    def __init__(self, model: MaskedLM, pad_id: int) -> None:
        """Take ``model`` as it is, in evaluation mode."""
        self.model = model.eval()
        self.pad_id = pad_id
        self.hidden_size, self.max_length = model.config.hidden_size, model.config.longest_row

    def logits(self, windows: Sequence[npt.NDArray[np.int32]], asked: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return (N, V) logits at place ``asked[n]`` of each of N windows (special tokens included in the count).

        Raises ModelError where the model came without a head.
        """
        found = self.logits_at(windows, [np.array([place], np.int32) for place in asked])
        return np.concatenate(found) if found else np.empty((0, self.model.config.vocab_size), np.float32)

    @torch.no_grad()
    def logits_at(
        self, windows: Sequence[npt.NDArray[np.int32]], asked: Sequence[npt.NDArray[np.int32]]
    ) -> list[npt.NDArray[np.float32]]:
        """Return (A, V) logits at the places of each window, which ascend.

        Raises ModelError where the model came without a head.
        """
        require_head(self.model)
        rows: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)] * len(windows)
        for chosen in in_groups([len(window) for window in windows]):
            before = self.model.config.predicts_next
            batch = self._batch([windows[n] for n in chosen], [asked[n] for n in chosen], read_before=before)
            found = self.model(batch)[: batch.num_asked].float().cpu().numpy()
            ends = np.cumsum([len(asked[n]) for n in chosen])[:-1]
            for n, part in zip(chosen, np.split(found, ends), strict=True):
                rows[n] = part
        return rows

    @torch.no_grad()
    def states(self, windows: Sequence[npt.NDArray[np.int32]]) -> list[npt.NDArray[np.float32]]:
        """Return the last states (L, D) of each window, special tokens included."""
        states: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)] * len(windows)
        for chosen in in_groups([len(window) for window in windows]):
            batch = self._batch([windows[n] for n in chosen], [_FIRST] * len(chosen))
            found = self.model.model(batch.input_ids, batch.segment, batch.positions).float().cpu().numpy()
            for row, n in enumerate(chosen):
                states[n] = found[row, : len(windows[n])]
        return states

    def _batch(
        self,
        windows: Sequence[npt.NDArray[np.int32]],
        asked: Sequence[npt.NDArray[np.int32]],
        *,
        read_before: bool = False,
    ) -> Batch:
        shape = (len(windows), max(map(len, windows)))
        ids, segment = np.full(shape, self.pad_id, np.int32), np.zeros(shape, np.int32)
        labels = np.full(shape, IGNORE_INDEX, np.int32)
        for row, (window, places) in enumerate(zip(windows, asked, strict=True)):
            ids[row, : len(window)], segment[row, : len(window)] = window, 1
            labels[row, places] = 0  # asks for the places; what the answers should be is not known here
        kind = np.full(shape, -1)
        batch = collate(input_ids=ids, segment=segment, labels=labels, kind=kind, read_before=read_before)
        return batch.to(next(self.model.parameters()).device)
