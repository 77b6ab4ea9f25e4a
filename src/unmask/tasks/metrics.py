"""Figures of tasks. Each is a sum of what items bring and a function of that sum, so that items can be resampled.

``per_item`` is (N, K) float64 and ``combine`` maps sums (..., K) to figures (...). What bites: a figure of no items is
NaN, never 0 or 1.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unmask.stats.figure import Combine, Floats, mean_of
from unmask.tasks.tags import Entity


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure and what it is made of."""

    name: str
    per_item: Floats
    """(N, K)"""

    @property
    def combine(self) -> Combine:
        """How the figure is made of sums."""
        return COMBINES[self.name]

    @property
    def value(self) -> float:
        """The figure of all items."""
        return float(self.combine(self.per_item.sum(0)))


def _ratio(above: Floats, below: Floats) -> Floats:
    """Return ``above`` / ``below``, 0 where both are 0."""
    return np.asarray(np.divide(above, below, out=np.zeros_like(np.asarray(above, float)), where=np.asarray(below) > 0))


def f1_of(sums: Floats) -> Floats:
    """Combine (found and true, found, true) into F1, 0 where nothing is found or true."""
    return _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def macro_f1_of(sums: Floats) -> Floats:
    """Combine (found and true, found, true) of C classes, (..., 3 C), into the mean F1 of those that occur."""
    parts = sums.reshape(*sums.shape[:-1], -1, 3)
    occurs = (parts[..., 1] + parts[..., 2]) > 0
    return _ratio((f1_of(parts) * occurs).sum(-1), occurs.sum(-1).astype(float))


def mean_metric(name: str, values: npt.ArrayLike) -> Metric:
    """Return the mean of ``values`` (N,)."""
    column = np.asarray(values, np.float64)
    return Metric(name, np.stack([column, np.ones_like(column)], 1))


def classification(found: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_], *, multi_label: bool) -> list[Metric]:
    """Return accuracy, macro F1 and micro F1 of ``found`` (N, C) against ``true`` (N, C).

    Accuracy of several labels asks for all of them to be right. With one label a text, micro F1 is accuracy and is
    left out.
    """
    counts = np.stack([found & true, found, true], -1).astype(np.float64)  # (N, C, 3)
    accuracy = mean_metric("accuracy", (found == true).all(1))
    macro = Metric("macro_f1", counts.reshape(len(found), -1))
    return [accuracy, macro, *([Metric("micro_f1", counts.sum(1))] if multi_label else [])]


def entity_f1(found: Sequence[Sequence[Entity]], true: Sequence[Sequence[Entity]]) -> list[Metric]:
    """Return strict micro F1 of entities, and their precision and recall, an item a text."""
    pairs = [(set(one), set(other)) for one, other in zip(found, true, strict=True)]
    counts = np.array([(len(one & other), len(one), len(other)) for one, other in pairs], np.float64).reshape(-1, 3)
    return [Metric("entity_f1", counts), Metric("precision", counts[:, [0, 1]]), Metric("recall", counts[:, [0, 2]])]


def entity_f1_by_label(
    found: Sequence[Sequence[Entity]], true: Sequence[Sequence[Entity]], labels: Sequence[str]
) -> dict[str, Metric]:
    """Return strict F1 of the entities of each label."""

    def only(label: str, sequences: Sequence[Sequence[Entity]]) -> list[list[Entity]]:
        return [[entity for entity in entities if entity[0] == label] for entities in sequences]

    return {label: entity_f1(only(label, found), only(label, true))[0] for label in labels}


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised_answer(text: str) -> str:
    """Return ``text`` as SQuAD compares it: lower case, without punctuation, articles and surplus space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def token_f1(found: str, true: str) -> float:
    """Return F1 of the words that two answers share; no answer is right or wrong as a whole (Rajpurkar et al. 2018)."""
    one, other = normalised_answer(found).split(), normalised_answer(true).split()
    if not one or not other:
        return float(one == other)
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / (len(one) + len(other))


def answers(found: Sequence[str], true: Sequence[Sequence[str]]) -> list[Metric]:
    """Return SQuAD's exact match and F1, the best over the true answers; none is the empty answer."""
    golds = [[text for text in texts if normalised_answer(text)] or [""] for texts in true]
    exact = [
        max(normalised_answer(one) == normalised_answer(gold) for gold in gold_texts)
        for one, gold_texts in zip(found, golds, strict=True)
    ]
    overlap = [max(token_f1(one, gold) for gold in gold_texts) for one, gold_texts in zip(found, golds, strict=True)]
    return [mean_metric("f1", overlap), mean_metric("exact_match", exact)]


def _ranks(values: npt.ArrayLike) -> Floats:
    """Return (N,) ranks from 1, ties at their mean."""
    _, at, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[at])


def pearson_of(sums: Floats) -> Floats:
    """Combine (1, x, y, x^2, y^2, x y) into Pearson's correlation, NaN where one does not vary."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread = np.sqrt(np.maximum(n * xx - x**2, 0) * np.maximum(n * yy - y**2, 0))
    return np.asarray(np.divide(n * xy - x * y, spread, out=np.full(spread.shape, np.nan), where=spread > 1e-9))


def spearman(found: npt.ArrayLike, true: npt.ArrayLike) -> Metric:
    """Return Spearman's correlation: Pearson's of the ranks among all items, which resamples keep."""
    x, y = _ranks(found), _ranks(true)
    x, y = x - x.mean(), y - y.mean()
    return Metric("spearman", np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1))


def _share_of(sums: Floats) -> Floats:
    return _ratio(sums[..., 0], sums[..., 1])


COMBINES: dict[str, Combine] = {
    **dict.fromkeys(("accuracy", "tag_accuracy", "f1", "exact_match"), mean_of),
    "macro_f1": macro_f1_of,
    **dict.fromkeys(("micro_f1", "entity_f1"), f1_of),
    **dict.fromkeys(("precision", "recall"), _share_of),
    "spearman": pearson_of,
}
"""How each figure is made of sums over items, by its name."""
