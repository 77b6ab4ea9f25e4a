"""What a fine-tuned encoder answers: labels, tags, answers, vectors. Numpy in, numpy out, no torch.

What bites: probabilities are the scores divided by the block's temperature; every caller gets the same, in training,
on the command line and behind a server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from unmask.corpus.tokenizer import Vocabulary
from unmask.errors import ModelError
from unmask.inference.asks import Answer, Question, Score, TaskEngine, answered
from unmask.inference.encoding import Window, WindowMaker, Word
from unmask.inference.loaded import LoadedModel
from unmask.stats.calibration import probabilities
from unmask.tasks.block import TaskBlock
from unmask.tasks.decoding import Span, best_spans, best_tags, merged
from unmask.tasks.tags import OUTSIDE, entities

Floats = npt.NDArray[np.float32]

WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
"""What counts as a word of a text that comes without words."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The best answers to one question."""

    spans: list[Span]
    nothing: float
    """The score of no answer."""


class TaskPredictor(LoadedModel):
    """A fine-tuned model and its tokenizer, ready to answer its task."""

    def __init__(
        self, engine: TaskEngine, tokenizer: Tokenizer, vocabulary: Vocabulary, block: TaskBlock, info: dict[str, Any]
    ) -> None:
        """Build from parts; :func:`unmask.load` finds them."""
        self.block, self.info, self.engine = block, info, engine
        self.made_for = f"was fine-tuned to {block.name}"
        self.maker = WindowMaker(tokenizer, vocabulary, block.max_length, block.stride)
        self.tokenizer, self.vocabulary = self.maker.tokenizer, vocabulary

    def classify(self, texts: Sequence[str], pairs: Sequence[str | None] | None = None) -> list[list[dict[str, Any]]]:
        """Return for every text its labels with their ``score``, the likeliest first; with ``pairs`` of two texts."""
        return self._answered(self.classifying(texts, pairs))

    def classifying(
        self, texts: Sequence[str], pairs: Sequence[str | None] | None = None
    ) -> Question[list[list[dict[str, Any]]]]:
        """Ask what :meth:`classify` asks."""
        self._must_be("classify")
        scores = self._stacked((yield _scores_of(self.maker.texts(texts, pairs))))
        chances = probabilities(scores, self.block.temperature, multi_label=self.block.multi_label)
        return [
            [
                {"label": self.block.labels[place], "score": float(row[place])}
                for place in np.argsort(-row, kind="stable")
            ]
            for row in chances
        ]

    def tag(self, texts: Sequence[str], words: Sequence[Sequence[Word]] | None = None) -> list[list[dict[str, Any]]]:
        """Return the entities of every text: ``entity_group``, ``score``, ``word``, ``start`` and ``end``.

        ``words`` says which code points of each text are its words; where it is not given, runs of letters and single
        signs are. The score is the mean probability of the entity's tags.
        """
        return self._answered(self.tagging(texts, words))

    def tagging(
        self, texts: Sequence[str], words: Sequence[Sequence[Word]] | None = None
    ) -> Question[list[list[dict[str, Any]]]]:
        """Ask what :meth:`tag` asks."""
        self._must_be("tag")
        spans = words if words is not None else [[found.span() for found in WORD.finditer(text)] for text in texts]
        windows = self.maker.words(texts, spans)
        by_word = self.by_word(windows, (yield _scores_of(windows)), [len(places) for places in spans])
        found = []
        for text, places, scores in zip(texts, spans, by_word, strict=True):
            tags = best_tags(scores, self.block.labels)
            chances = probabilities(scores, self.block.temperature)
            chance = [chances[word, self.block.labels.index(tag)] for word, tag in enumerate(tags)]
            found.append(
                [
                    {
                        "entity_group": label,
                        "score": float(np.mean(chance[first:last])),
                        "word": text[places[first][0] : places[last - 1][1]],
                        "start": places[first][0],
                        "end": places[last - 1][1],
                    }
                    for label, first, last in entities(tags)
                ]
            )
        return found

    def tags(self, texts: Sequence[str], words: Sequence[Sequence[Word]]) -> list[list[str]]:
        """Return the tag of every word of every text."""
        self._must_be("tag")
        return [best_tags(scores, self.block.labels) for scores in self.word_scores(texts, words)]

    def answer(self, questions: Sequence[str], contexts: Sequence[str], top_k: int = 1) -> list[list[dict[str, Any]]]:
        """Return the ``top_k`` answers to every question, each with ``answer``, ``score``, ``start`` and ``end``.

        An answer is a piece of its context. An empty answer from 0 to 0 says that there is none. Scores are
        probabilities among the answers looked at.
        """
        return self._answered(self.answering(questions, contexts, top_k))

    def answering(
        self, questions: Sequence[str], contexts: Sequence[str], top_k: int = 1
    ) -> Question[list[list[dict[str, Any]]]]:
        """Ask what :meth:`answer` asks."""
        self._must_be("answer")
        if len(questions) != len(contexts):
            raise ModelError(f"every question needs a context: got {len(questions)} and {len(contexts)}")
        windows = self.maker.contexts(questions, contexts)
        found = self._by_question(windows, (yield _scores_of(windows)), len(questions))
        return [
            [
                {"answer": context[span.start : span.end], "score": chance, "start": span.start, "end": span.end}
                for span, chance in self._ranked(answered)[:top_k]
            ]
            for context, answered in zip(contexts, found, strict=True)
        ]

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return (N, D) float32, of length one where the block says so."""
        return self._answered(self.embedding(texts))

    def embedding(self, texts: Sequence[str]) -> Question[Floats]:
        """Ask what :meth:`embed` asks."""
        self._must_be("embed")
        vectors = self._stacked((yield _scores_of(self.maker.texts(texts))))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if self.block.normalize else vectors

    def text_scores(self, windows: Sequence[Window]) -> Floats:
        """Return (N, C) or (N, D): what the network says of texts, one window each."""
        return self._stacked(self.engine.scores(windows))

    def word_scores(self, texts: Sequence[str], words: Sequence[Sequence[Word]]) -> list[Floats]:
        """Return (W, C) of the words of each text; a word without a token is outside of everything."""
        return self.scores_of_words(self.maker.words(texts, words), [len(spans) for spans in words])

    def scores_of_words(self, windows: Sequence[Window], num_words: Sequence[int]) -> list[Floats]:
        """Return (W, C) of the words of each text from its ``windows``."""
        return self.by_word(windows, self.engine.scores(windows), num_words)

    def answers(self, windows: Sequence[Window], num_questions: int) -> list[Answered]:
        """Return the best answers to each question from its ``windows``, which stand together."""
        return self._by_question(windows, self.engine.scores(windows), num_questions)

    def _stacked(self, scores: Sequence[Floats]) -> Floats:
        return np.stack(scores) if scores else np.empty((0, len(self.block.labels)), np.float32)

    def by_word(self, windows: Sequence[Window], scored: Sequence[Floats], num_words: Sequence[int]) -> list[Floats]:
        """Return (W, C) of the words of each text, of what its ``windows`` were ``scored``."""
        silent = np.full(len(self.block.labels), -100.0, np.float32)
        silent[self.block.labels.index(OUTSIDE)] = 0.0
        found = [np.tile(silent, (count, 1)) for count in num_words]
        for window, scores in zip(windows, scored, strict=True):
            found[window.example][window.words] = scores
        return found

    def _by_question(self, windows: Sequence[Window], scored: Sequence[Floats], num_questions: int) -> list[Answered]:
        found = [Answered([], 0.0)] * num_questions
        pairs = zip(windows, scored, strict=True)
        for example, of_question in groupby(pairs, key=lambda pair: pair[0].example):
            best = [best_spans(scores, window.spans, _TRIED) for window, scores in of_question]
            found[example] = Answered(*merged(best, _TRIED))
        return found

    def _ranked(self, answered: Answered) -> list[tuple[Span, float]]:
        """Return the answers, no answer among them where the task knows it, with probabilities, best first."""
        margin = self.block.null_margin
        spans = list(answered.spans)
        if margin is not None or not spans:
            spans.append(Span(answered.nothing + (margin or 0.0), 0, 0))
        spans.sort(key=lambda span: -span.score)
        chances = probabilities(np.array([span.score for span in spans]), self.block.temperature)
        return list(zip(spans, map(float, chances), strict=True))

    def _answered(self, question: Question[Answer]) -> Answer:
        return answered(question, self.engine, _NO_WORDS)

    def _must_be(self, name: str) -> None:
        if self.block.name != name:
            self._refuse(name)


def _scores_of(windows: Sequence[Window]) -> list[Score]:
    return [Score(window) for window in windows]


_NO_WORDS = np.empty(0, np.int32)
_TRIED = 20  # answers of a question that are told apart


def answer_text(context: str, answered: Answered, null_margin: float | None) -> str:
    """Return the best answer of ``context``, or nothing where no answer beats it by the margin."""
    if not answered.spans or (null_margin is not None and answered.spans[0].score < answered.nothing + null_margin):
        return ""
    return context[answered.spans[0].start : answered.spans[0].end]
