"""Runs an exported graph on windows of token ids by onnxruntime: numpy in, numpy out, no torch.

What bites: a graph says what its inputs are called, not what they mean. Names are looked at when it is opened; that the
numbers are right was looked at when it was written, by the parity gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from unmask.errors import MissingExtra, ModelError
from unmask.host import usable_threads
from unmask.inference.encoding import Window
from unmask.inference.grouping import in_groups
from unmask.model.config import EncoderConfig
from unmask.tasks.block import TaskBlock

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
ASKED, KEPT = "asked", "kept"
LOGITS, STATES, EMBEDDING = "logits", "states", "sentence_embedding"
"""Names of inputs and outputs."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_NOTHING: Final = np.empty(0, np.int64)

_KEPT_PLACES: Final = 1024
"""Memory that batches of so many places take, padding included, is kept for the next one; what larger ones take is
given back, since the reserve that onnxruntime keeps is that of the largest batch ever seen."""


class OnnxEngine:
    """A graph on this machine's processor: of a language model, or of a task."""

    def __init__(self, path: Path, config: EncoderConfig, task: TaskBlock | None = None, threads: int = 0) -> None:
        """Open the graph at ``path``, on ``threads`` threads or (0) on as many as pay here.

        Raises ModelError where the file is no such graph, MissingExtra.
        """
        self._session, self._giving_back = _open(path, threads or usable_threads())
        self.hidden_size, self.max_length, self._pad_id = config.hidden_size, config.longest_row, config.pad_id
        self._vocab_size, self._task = config.vocab_size, task
        self._require(path, *_needs(task))

    def interface(self) -> dict[str, dict[str, list[int | str]]]:
        """Return the shapes of ``inputs`` and ``outputs`` by name; what may vary is told by a name."""
        session = self._session
        given = [*session.get_inputs(), *session.get_overridable_initializers()]
        return {
            "inputs": {one.name: [one.name if size == 0 else size for size in one.shape] for one in given},
            "outputs": {one.name: list(one.shape) for one in session.get_outputs()},
        }

    def logits(self, windows: Sequence[npt.NDArray[np.int32]], asked: Sequence[int]) -> Floats:
        """Return (N, V) logits at place ``asked[n]`` of each of N windows (special tokens included in the count)."""
        found = self.logits_at(windows, [np.array([place], np.int32) for place in asked])
        return np.concatenate(found) if found else np.empty((0, self._vocab_size), np.float32)

    def logits_at(
        self, windows: Sequence[npt.NDArray[np.int32]], asked: Sequence[npt.NDArray[np.int32]]
    ) -> list[Floats]:
        """Return (A, V) logits at the places of each window, which ascend."""
        rows: list[Floats] = [np.empty(0, np.float32)] * len(windows)
        for group in in_groups([len(window) for window in windows]):
            feed = self._feed([windows[n] for n in group])
            length = feed[IDS].shape[1]
            places = np.concatenate([row * length + asked[n].astype(np.int64) for row, n in enumerate(group)])
            [found] = self._run([LOGITS], {**feed, ASKED: places})
            ends = np.cumsum([len(asked[n]) for n in group])[:-1]
            for n, part in zip(group, np.split(found, ends), strict=True):
                rows[n] = part
        return rows

    def states(self, windows: Sequence[npt.NDArray[np.int32]]) -> list[Floats]:
        """Return the last states (L, D) of each window, special tokens included."""
        states: list[Floats] = [np.empty(0, np.float32)] * len(windows)
        for group in in_groups([len(window) for window in windows]):
            feed = self._feed([windows[n] for n in group])
            [found] = self._run([STATES], {**feed, ASKED: _NOTHING, KEPT: np.flatnonzero(feed[MASK])})
            ends = np.cumsum([0, *(len(windows[n]) for n in group)])
            for n, (begin, end) in zip(group, pairwise(ends), strict=True):
                states[n] = found[begin:end]
        return states

    def scores(self, windows: Sequence[Window]) -> list[Floats]:
        """Return the scores of each window: classify (C,), tag (A, C), answer (L, 2), embed (D,)."""
        assert self._task is not None, "a language model has no scores"
        scores: list[Floats] = [np.empty(0, np.float32)] * len(windows)
        for group in in_groups([len(window.input_ids) for window in windows]):
            chosen = [windows[n] for n in group]
            feed = self._feed([window.input_ids for window in chosen])
            if self._reads_types:
                feed[TYPES] = _padded([window.token_type_ids for window in chosen], 0)
            [found] = self._run(None, feed)
            for row, n in enumerate(group):
                scores[n] = found[row]
                if self._task.name == "tag":
                    scores[n] = found[row, windows[n].asked]
                elif self._task.name == "answer":
                    scores[n] = found[row, : len(windows[n].input_ids)]
        return scores

    def _run(self, outputs: list[str] | None, feed: dict[str, Ints]) -> list[Floats]:
        how = self._giving_back if feed[IDS].size > _KEPT_PLACES else None
        found: list[Floats] = self._session.run(outputs, feed, how)
        return found

    def _feed(self, windows: Sequence[npt.NDArray[np.int32]]) -> dict[str, Ints]:
        ones = [np.ones(len(window), np.int32) for window in windows]
        return {IDS: _padded(windows, self._pad_id), MASK: _padded(ones, 0)}

    def _require(self, path: Path, inputs: set[str], outputs: set[str]) -> None:
        found = self.interface()
        self._reads_types = self._task is not None and TYPES in found["inputs"]
        given, gives = set(found["inputs"]) - ({TYPES} if self._reads_types else set()), set(found["outputs"])
        if (given, gives) != (inputs, outputs):
            made_for = "a language model" if self._task is None else self._task.name
            raise ModelError(
                f"{path}: is not a graph of {made_for} that unmask export wrote: it takes {_listed(given)} and gives "
                f"{_listed(gives)}, not {_listed(inputs)} and {_listed(outputs)}; export the model again"
            )


def _needs(task: TaskBlock | None) -> tuple[set[str], set[str]]:
    if task is None:
        return {IDS, MASK, ASKED, KEPT}, {LOGITS, STATES}
    return {IDS, MASK}, {EMBEDDING if task.name == "embed" else LOGITS}


def _open(path: Path, threads: int) -> tuple[Any, Any]:
    """Return a session of onnxruntime over ``path``, and the options of a run after which memory is given back.

    Raises ModelError where it can not be one, MissingExtra.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as says
    except ModuleNotFoundError:
        raise MissingExtra("serve", "onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False  # a plan for each shape, and every batch has its own
    options.log_severity_level = 3  # errors: what it warns of is its own affair
    giving_back = onnxruntime.RunOptions()
    giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    unreadable = (
        says.Fail,
        says.InvalidArgument,
        says.InvalidGraph,
        says.InvalidProtobuf,
        says.NoSuchFile,
        says.NotImplemented,
        says.RuntimeException,
    )
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]), giving_back
    except unreadable as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: can not be read as an ONNX graph here ({said}); export the model again") from None


def _padded(windows: Sequence[npt.NDArray[np.int32]], filling: int) -> Ints:
    """Return (N, L) int64: the ``windows`` as rows, filled up to the longest."""
    rows = np.full((len(windows), max(map(len, windows))), filling, np.int64)
    for row, window in zip(rows, windows, strict=True):
        row[: len(window)] = window
    return rows


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
