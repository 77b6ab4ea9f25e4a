"""One example of each task, as it was read, with the place that it is from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClassifyExample:
    """A text, or two, and its labels: one, or any number where a text may have several."""

    text: str
    text_pair: str | None
    labels: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True)
class TagExample:
    """The words of a text, each with a tag."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True)
class AnswerExample:
    """A question, a context, and the answers in it: (first code point, text); none where there is no answer."""

    id: str
    question: str
    context: str
    answers: tuple[tuple[int, str], ...]
    where: str


@dataclass(frozen=True, slots=True)
class EmbedExample:
    """Two texts, and how alike they are; None where pairs are alike and all else is not."""

    sentence1: str
    sentence2: str
    score: float | None
    where: str


Example = ClassifyExample | TagExample | AnswerExample | EmbedExample
