"""From examples to what a task's network learns: windows, and the truth about each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.inference.encoding import Window, WindowMaker, Word
from unmask.tasks.block import TaskBlock
from unmask.tasks.examples import AnswerExample, ClassifyExample, EmbedExample, TagExample


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskData:
    """Rows to learn from; a row is a window, or the two windows of a pair."""

    windows: list[Window]
    labels: list[list[int]] | None = None
    """The label of each asked place of each window, where there is one."""
    truth: npt.NDArray[Any] | None = None
    """What Batch.truth holds, for every row."""
    windows_per_row: int = 1

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.windows) // self.windows_per_row


def prepare(block: TaskBlock, examples: Sequence[Any], maker: WindowMaker) -> TaskData:
    """Return what there is to learn from ``examples`` of the block's task."""
    return _PREPARE[block.name](block, examples, maker)


def joined(tokens: Sequence[str]) -> tuple[str, list[Word]]:
    """Return words as one text, a space between them, and where each stands in it."""
    ends = np.cumsum([len(token) + 1 for token in tokens]) - 1
    return " ".join(tokens), [(int(end) - len(token), int(end)) for token, end in zip(tokens, ends, strict=True)]


def _classify(block: TaskBlock, examples: Sequence[ClassifyExample], maker: WindowMaker) -> TaskData:
    pairs = [example.text_pair for example in examples]
    windows = maker.texts([example.text for example in examples], pairs if any(pairs) else None)
    if block.multi_label:
        truth = block.table([example.labels for example in examples]).astype(np.float32)
        return TaskData(windows=windows, truth=truth)
    number = block.number
    return TaskData(windows=windows, labels=[[number[example.labels[0]]] for example in examples])


def _tag(block: TaskBlock, examples: Sequence[TagExample], maker: WindowMaker) -> TaskData:
    texts, words = zip(*(joined(example.tokens) for example in examples), strict=True)
    number = block.number
    windows = maker.words(texts, words)
    tags = [[number[tag] for tag in example.tags or ()] for example in examples]
    return TaskData(
        windows=windows, labels=[[tags[window.example][word] for word in window.words] for window in windows]
    )


def _answer(_: TaskBlock, examples: Sequence[AnswerExample], maker: WindowMaker) -> TaskData:
    windows = maker.contexts([example.question for example in examples], [example.context for example in examples])
    truth = np.array([places_of_answer(window, examples[window.example].answers) for window in windows], np.int64)
    return TaskData(windows=windows, truth=truth)


def places_of_answer(window: Window, answers: Sequence[tuple[int, str]]) -> tuple[int, int]:
    """Return the first and last place in ``window`` of the first of ``answers``; (0, 0) where it is not whole there."""
    if not answers:
        return 0, 0
    start, end = answers[0][0], answers[0][0] + len(answers[0][1])
    inside = np.flatnonzero((window.spans[:, 1] > start) & (window.spans[:, 0] < end) & (window.spans[:, 0] >= 0))
    context = window.spans[window.spans[:, 0] >= 0]
    if not len(inside) or context[0, 0] > start or context[-1, 1] < end:
        return 0, 0
    return int(inside[0]), int(inside[-1])


def _embed(_: TaskBlock, examples: Sequence[EmbedExample], maker: WindowMaker) -> TaskData:
    windows = maker.texts([text for example in examples for text in (example.sentence1, example.sentence2)])
    scores = [example.score for example in examples]
    truth = None if None in scores else np.array(scores, np.float32)
    return TaskData(windows=windows, truth=truth, windows_per_row=2)


_PREPARE: dict[str, Callable[[TaskBlock, Sequence[Any], WindowMaker], TaskData]] = {
    "classify": _classify,
    "tag": _tag,
    "answer": _answer,
    "embed": _embed,
}
