"""From scores to tags and answers: the likeliest legal sequence, and answers that are pieces of their context."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_encoding import KINDS, TEXTS, maker_of

from unmask.stats.calibration import probabilities
from unmask.tasks.decoding import LONGEST_ANSWER, Span, best_spans, best_tags, may_follow, merged
from unmask.tasks.tags import entities, scheme_of

LABELS = ("O", "B-a", "I-a", "B-b", "I-b")
Floats = npt.NDArray[np.float64]


def random_scores(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).normal(size=shape) * 3


def slow_best_tags(scores: Floats) -> list[str]:
    """Return the likeliest of all sequences in which no I- stands alone: those that BIO reads as they are written."""
    legal = [tags for tags in product(range(5), repeat=len(scores)) if _legal([LABELS[tag] for tag in tags])]
    logarithms = np.log(probabilities(scores))
    best = max(legal, key=lambda tags: sum(logarithms[word, tag] for word, tag in enumerate(tags)))
    return [LABELS[tag] for tag in best]


def _legal(tags: list[str]) -> bool:
    return scheme_of([tags]) == "BIO"


@given(st.integers(0, 10**6), st.integers(1, 5))
def test_tags_are_the_likeliest_legal_sequence(seed: int, words: int) -> None:
    scores = random_scores(seed, words, 5)
    assert best_tags(scores, LABELS) == slow_best_tags(scores)


def test_tags_that_are_legal_stay_as_each_word_has_them() -> None:
    tags = ["B-a", "I-a", "O", "B-b", "B-b", "I-b"]
    scores = np.array([[4.0 if tag == label else 0.0 for label in LABELS] for tag in tags])
    assert best_tags(scores, LABELS) == tags
    assert best_tags(np.empty((0, 5)), LABELS) == []


def test_a_lone_inside_becomes_a_beginning_or_nothing() -> None:
    scores = np.array([[0.0, 0.0, 9.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0, 0.0]])
    scores[0, 1] = 1.0
    assert best_tags(scores, LABELS) == ["B-a", "O"]
    scores[0, 0] = 2.0
    assert best_tags(scores, LABELS) == ["O", "O"]


def test_no_score_is_so_high_that_a_tag_may_stand_where_it_may_not() -> None:
    scores = np.full((5000, 5), -1e6)
    scores[:, 2] = 1e6
    assert entities(best_tags(scores, LABELS)) == [("a", 0, 5000)]


def test_what_may_follow_what() -> None:
    allowed = may_follow(LABELS)
    assert allowed.shape == (6, 5)
    assert allowed[:, [0, 1, 3]].all()  # O and B- may stand anywhere
    assert allowed[:, 2].tolist() == [False, True, True, False, False, False]


def slow_best_spans(scores: Floats, spans: npt.NDArray[np.integer]) -> list[Span]:
    """Return all answers of a window, best first."""
    logarithms = np.log(probabilities(scores.T)).T
    inside = [place for place, (start, end) in enumerate(spans) if 0 <= start < end]
    found = [
        Span(float(logarithms[start, 0] + logarithms[end, 1]), int(spans[start, 0]), int(spans[end, 1]))
        for start in inside
        for end in inside
        if start <= end < start + LONGEST_ANSWER
    ]
    return sorted(found, key=lambda span: -span.score)


@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(1, 12))
def test_answers_are_the_best_of_all(seed: int, question: int, context: int) -> None:
    spans = np.array([[-1, -1]] * (question + 2) + [[3 * n, 3 * n + 2] for n in range(context)] + [[-1, -1]])
    scores = random_scores(seed, len(spans), 2)
    found, nothing = best_spans(scores, spans, 5)
    expected = slow_best_spans(scores, spans)[:5]
    assert [(span.start, span.end) for span in found] == [(span.start, span.end) for span in expected]
    assert [span.score for span in found] == pytest.approx([span.score for span in expected])
    assert nothing == pytest.approx(np.log(probabilities(scores.T))[:, 0].sum())


def test_no_answer_is_longer_than_the_longest_or_ends_before_it_begins() -> None:
    spans = np.array([[-1, -1], *([n, n + 1] for n in range(100)), [-1, -1]])
    scores = np.zeros((102, 2))
    scores[1, 0] = scores[LONGEST_ANSWER, 1] = scores[LONGEST_ANSWER + 1, 1] = scores[80, 0] = scores[70, 1] = 5.0
    found, _ = best_spans(scores, spans, 1000)
    assert {span.end - span.start for span in found} >= {1, LONGEST_ANSWER}
    assert all(0 < span.end - span.start <= LONGEST_ANSWER for span in found)


def test_a_window_without_context_has_no_answer() -> None:
    found, nothing = best_spans(np.zeros((4, 2)), np.full((4, 2), -1), 5)
    assert found == []
    assert nothing == pytest.approx(2 * np.log(1 / 4))


def test_windows_give_each_answer_once_and_no_answer_where_all_say_so() -> None:
    first = ([Span(-1.0, 5, 9), Span(-3.0, 5, 20)], -0.5)
    second = ([Span(-0.5, 5, 9), Span(-2.0, 30, 31)], -4.0)
    found, nothing = merged([first, second], 2)
    assert found == [Span(-0.5, 5, 9), Span(-2.0, 30, 31)]
    assert nothing == -4.0
    assert merged([], 3) == ([], 0.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [*TEXTS, "\r\n".join([*TEXTS[:6]] * 130)])
def test_every_answer_is_a_piece_of_its_context(kind: str, text: str) -> None:
    windows = maker_of(kind, 64, 16).contexts(["What is it?"], [text])
    found, _ = merged(
        [best_spans(random_scores(at, len(one.spans), 2), one.spans, 10) for at, one in enumerate(windows)], 10
    )
    assert bool(found) == bool(text.strip())
    for span in found:
        assert 0 <= span.start < span.end <= len(text)
        answer = text[span.start : span.end]
        assert answer == answer.strip() != ""
    assert len({(span.start, span.end) for span in found}) == len(found)
