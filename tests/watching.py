"""Models that answer at once and without a network, for tests of what is captured of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.made_text import sentences

from unmask.corpus.tokenizer import TokenizerSettings, train_tokenizer, vocabulary_of
from unmask.inference.encoding import Window as TaskWindow
from unmask.inference.predictor import Predictor
from unmask.inference.task_predictor import TaskPredictor
from unmask.tasks.block import TaskBlock

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

LABELS = ("bad", "fair", "good")
WIDTH = 6
tokenizer = cache(lambda: train_tokenizer(sentences(400), TokenizerSettings(vocab_size=300)))


class Frequencies:
    """A language model that guesses each token by a weight of its own, whatever stands around it."""

    hidden_size, max_length = WIDTH, 64

    def __init__(self, weights: npt.NDArray[np.floating]) -> None:
        self.weights = np.asarray(weights, np.float32)
        self.asked = 0

    def logits(self, windows: Sequence[Ids], asked: Sequence[int]) -> Floats:
        self.asked += len(windows)
        return np.tile(self.weights, (len(windows), 1))

    def logits_at(self, windows: Sequence[Ids], asked: Sequence[Ids]) -> list[Floats]:
        return [
            self.logits([window] * len(places), places.tolist()) for window, places in zip(windows, asked, strict=True)
        ]

    def states(self, windows: Sequence[Ids]) -> list[Floats]:
        return [np.stack([np.cos(window * (1 + n)) for n in range(WIDTH)], 1).astype(np.float32) for window in windows]


class Sums:
    """A task's network whose scores follow from the tokens."""

    def __init__(self, block: TaskBlock) -> None:
        self.block = block

    def scores(self, windows: Sequence[TaskWindow]) -> list[Floats]:
        found = []
        for window in windows:
            ids = window.input_ids.astype(np.float64)
            if self.block.name == "tag":
                found.append(np.sin(np.outer(ids[window.asked], 1 + np.arange(len(self.block.labels)))) * 3)
            elif self.block.name == "answer":
                found.append(np.sin(np.outer(ids, [1.0, 2.0])) * 3)
            else:
                size = WIDTH if self.block.name == "embed" else len(self.block.labels)
                found.append(np.sin(ids.sum() * (1 + np.arange(size))) * 3)
        return [one.astype(np.float32) for one in found]


def filling(weights: npt.NDArray[np.floating] | None = None) -> Predictor:
    """Return a language model; without ``weights`` all tokens are as likely as each other."""
    known = vocabulary_of(tokenizer())
    return Predictor(Frequencies(np.zeros(known.size) if weights is None else weights), tokenizer(), known, {})


def doing(name: Any, **changes: Any) -> TaskPredictor:
    """Return a model that was fine-tuned to the task ``name``."""
    labels = {"classify": LABELS, "tag": ("O", "B-PER", "I-PER")}.get(name, ())
    block = TaskBlock(**{"name": name, "labels": labels, "max_length": 32, "stride": 4, **changes})
    return TaskPredictor(Sums(block), tokenizer(), vocabulary_of(tokenizer()), block, {})
