"""From scores to answers: classes, tags, spans. All scores are numpy arrays, all offsets code points.

What bites: an answer is always a piece of its context, so only tokens that cover some of it may begin or end one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unmask.stats.calibration import probabilities
from unmask.tasks.tags import split_tag

Floats = npt.NDArray[np.floating]

LONGEST_ANSWER = 30
"""Tokens of the longest answer (the usual bound for SQuAD)."""
_BEST = 20  # starts and ends that are tried, of each window

IMPOSSIBLE = -1e4
"""The score of a tag that may not follow the one before it."""


def may_follow(labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return (C + 1, C) whether tag j of BIO ``labels`` may stand behind tag i, the last row for the beginning."""
    parts = [*(split_tag(label) for label in labels), ("O", "")]
    allowed = [
        [prefix != "I" or (before[0] != "O" and before[1] == label) for prefix, label in parts[:-1]] for before in parts
    ]
    return np.array(allowed)


def best_tags(scores: Floats, labels: Sequence[str]) -> list[str]:
    """Return the likeliest sequence of BIO tags for ``scores`` (W, C) of W words in which no I- stands alone.

    Viterbi over sums of log-probabilities, with nothing learned of what follows what.
    """
    if not len(scores):
        return []
    logarithms = np.log(probabilities(scores) + 1e-300)
    penalty = np.where(may_follow(labels), 0.0, IMPOSSIBLE)
    total, came_from = logarithms[0] + penalty[-1], []
    for word in logarithms[1:]:
        ways = total[:, None] + penalty[:-1]
        came_from.append(ways.argmax(0))
        total = ways.max(0) + word
    path = [int(total.argmax())]
    for step in reversed(came_from):
        path.append(int(step[path[-1]]))
    return [labels[place] for place in reversed(path)]


@dataclass(frozen=True, slots=True)
class Span:
    """A possible answer."""

    score: float
    """Of its start and its end, added; comparable within a question."""
    start: int
    """First code point in the context."""
    end: int
    """The one after the last."""


def best_spans(scores: Floats, spans: npt.NDArray[np.integer], count: int) -> tuple[list[Span], float]:
    """Return the ``count`` likeliest answers in a window, best first, and the score of no answer there.

    ``scores`` (L, 2) of start and end; ``spans`` (L, 2) the code points that each token covers, -1 outside of the
    context. Scores are log-probabilities within the window, so that windows can be compared.
    """
    logarithms = np.asarray(scores, np.float64) - _log_sum(np.asarray(scores, np.float64))
    nothing = float(logarithms[0].sum())
    inside = np.flatnonzero((spans[:, 0] >= 0) & (spans[:, 1] > spans[:, 0]))
    starts = inside[np.argsort(-logarithms[inside, 0], kind="stable")[:_BEST]]
    ends = inside[np.argsort(-logarithms[inside, 1], kind="stable")[:_BEST]]
    found = [
        Span(float(logarithms[start, 0] + logarithms[end, 1]), int(spans[start, 0]), int(spans[end, 1]))
        for start in starts
        for end in ends
        if start <= end < start + LONGEST_ANSWER
    ]
    return sorted(found, key=lambda span: (-span.score, span.start, span.end))[:count], nothing


def merged(windows: Sequence[tuple[list[Span], float]], count: int) -> tuple[list[Span], float]:
    """Return the ``count`` best answers over the windows of one question, each once, and the score of no answer.

    There is no answer where every window says so: the least of their scores counts (Devlin et al. 2019, 4.3).
    """
    best: dict[tuple[int, int], Span] = {}
    for spans, _ in windows:
        for span in spans:
            at = span.start, span.end
            if at not in best or span.score > best[at].score:
                best[at] = span
    ordered = sorted(best.values(), key=lambda span: (-span.score, span.start, span.end))
    return ordered[:count], min((nothing for _, nothing in windows), default=0.0)


def _log_sum(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (2,) the logarithm of the sum of exponentials down the columns."""
    highest = scores.max(0)
    return np.asarray(highest + np.log(np.exp(scores - highest).sum(0)))
