"""A set of examples to measure on, cut into windows once, and the figures of a model on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.finetuning.data import prepare
from unmask.inference.encoding import Window
from unmask.inference.task_predictor import Answered, TaskPredictor, answer_text
from unmask.stats.calibration import probabilities
from unmask.tasks.block import TaskBlock
from unmask.tasks.decoding import best_tags
from unmask.tasks.metrics import Metric, answers, classification, entity_f1, mean_metric, spearman
from unmask.tasks.tags import entities

Scores = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model made of a set."""

    metrics: list[Metric]
    """The headline first; items are the examples."""
    scores: Scores | None = None
    """(N, C) what was said of each text or word, for calibration; None where the task has no classes."""
    truth: npt.NDArray[Any] | None = None
    """(N,) classes or (N, C) labels that belong to ``scores``."""
    answered: list[Answered] | None = None
    """The answers to each question."""


class HeldOut:
    """Examples of one task and their windows."""

    def __init__(self, examples: Sequence[Any], predictor: TaskPredictor) -> None:
        """Cut ``examples`` into windows as ``predictor`` reads them."""
        self.examples = list(examples)
        self.windows = prepare(predictor.block, self.examples, predictor.maker).windows

    def outcome(self, predictor: TaskPredictor) -> Outcome:
        """Return what the model of ``predictor`` makes of the examples, by its block as it stands."""
        return _OUTCOMES[predictor.block.name](predictor.block, self.examples, self.windows, predictor)


def _classify(block: TaskBlock, examples: Sequence[Any], windows: list[Window], predictor: TaskPredictor) -> Outcome:
    scores = predictor.text_scores(windows)
    true = block.table([example.labels for example in examples])
    found = chosen_labels(scores, block)
    metrics = classification(found, true, multi_label=block.multi_label)
    return Outcome(metrics, scores, true if block.multi_label else true.argmax(1))


def chosen_labels(scores: Scores, block: TaskBlock) -> npt.NDArray[np.bool_]:
    """Return (N, C) which labels a text gets: the likeliest, or all whose probability is a half (the threshold)."""
    chances = probabilities(scores, block.temperature, multi_label=block.multi_label)
    if block.multi_label:
        return np.asarray(chances >= (0.5 if block.threshold is None else block.threshold))
    found = np.zeros(scores.shape, bool)
    found[np.arange(len(scores)), chances.argmax(1)] = True
    return found


def _tag(block: TaskBlock, examples: Sequence[Any], windows: list[Window], predictor: TaskPredictor) -> Outcome:
    scores = predictor.scores_of_words(windows, [len(example.tokens) for example in examples])
    found = [entities(best_tags(of_text, block.labels)) for of_text in scores]
    number = block.number
    truth = np.array([number[tag] for example in examples for tag in example.tags], np.int64)
    metrics = entity_f1(found, [entities(example.tags) for example in examples])
    flat = np.concatenate(scores)
    right = (flat.argmax(1) == truth).astype(float)
    lengths = [len(example.tokens) for example in examples]
    accuracy = [part.mean() for part in np.split(right, np.cumsum(lengths)[:-1])]
    return Outcome([*metrics, mean_metric("tag_accuracy", accuracy)], flat, truth)


def _answer(block: TaskBlock, examples: Sequence[Any], windows: list[Window], predictor: TaskPredictor) -> Outcome:
    answered = predictor.answers(windows, len(examples))
    found = [
        answer_text(example.context, one, block.null_margin) for example, one in zip(examples, answered, strict=True)
    ]
    true = [[text for _, text in example.answers] for example in examples]
    return Outcome(answers(found, true), answered=answered)


def _embed(_: TaskBlock, examples: Sequence[Any], windows: list[Window], predictor: TaskPredictor) -> Outcome:
    vectors = np.asarray(predictor.text_scores(windows), np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    one, two = vectors[0::2], vectors[1::2]
    scores = [example.score for example in examples]
    if None not in scores:
        return Outcome([spearman((one * two).sum(1), scores)])
    alike = one @ two.T
    return Outcome([mean_metric("accuracy", (alike.argmax(1) == np.arange(len(one))))])


_OUTCOMES: dict[str, Callable[[TaskBlock, Sequence[Any], list[Window], TaskPredictor], Outcome]] = {
    "classify": _classify,
    "tag": _tag,
    "answer": _answer,
    "embed": _embed,
}
