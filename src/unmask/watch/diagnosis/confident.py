"""Confident learning: which labels are wrong, from probabilities of a model that did not see them.

After Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels". What bites: the
probabilities must be of a model that did not learn from the label it judges; one that did agrees with every mistake.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmask.stats.figure import Floats
from unmask.watch.diagnosis.case import Bools, Ints

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Confident:
    """What N given labels of C classes look like to a model."""

    joint: Floats
    """(C, C) the share of examples that are given one class (row) and are of another (column)."""
    likely: Ints
    """(N,) the class that each is confidently of, -1 where of none."""
    suspects: Ints
    """Numbers of the examples that are confidently of another class than the given, the clearest first."""


def confident_labels(chance: Floats, given: Ints) -> Confident:
    """Return the confident joint of ``chance`` (N, C) and ``given`` (N,), calibrated to the counts of given labels.

    An example is confidently of a class whose probability is at least the mean of it among the examples that are given
    this class; of several such classes, of the likeliest.
    """
    classes = chance.shape[1]
    thresholds = np.array(
        [chance[given == label, label].mean() if (given == label).any() else np.inf for label in range(classes)]
    )
    above = chance >= thresholds
    likely = np.where(above.any(1), np.where(above, chance, -1.0).argmax(1), -1)
    counted = np.zeros((classes, classes))
    sure = likely >= 0
    np.add.at(counted, (given[sure], likely[sure]), 1.0)
    of_given = np.bincount(given, minlength=classes).astype(float)
    rows = counted.sum(1)
    counted[np.arange(classes), np.arange(classes)] += np.where(rows == 0, of_given, 0.0)  # nothing speaks against them
    joint = counted / np.maximum(counted.sum(1, keepdims=True), 1.0) * of_given[:, None]
    wrong = np.flatnonzero(sure & (likely != given))
    margin = chance[wrong, likely[wrong]] - chance[wrong, given[wrong]]
    return Confident(joint / len(given), likely, wrong[np.argsort(-margin, kind="stable")])


def out_of_fold(features: Floats, labels: Ints, classes: int) -> Floats:
    """Return (N, C) probabilities of each row by a regression on the others, in FOLDS parts."""
    found = np.zeros((len(labels), classes))
    part = np.random.Generator(np.random.Philox(0)).permutation(len(labels)) % FOLDS
    for fold in range(FOLDS):
        held = part == fold
        found[held] = predicted(features[~held], labels[~held], features[held], classes)
    return found


def predicted(features: Floats, labels: Ints, others: Floats, classes: int) -> Floats:
    """Return (N, C) probabilities of ``others`` by a logistic regression on ``features``."""
    from sklearn.exceptions import ConvergenceWarning

    found = np.zeros((len(others), classes))
    if len(np.unique(labels)) < 2:
        found[:, labels[0]] = 1.0
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a cheap judge need not be the best one
        fitted = _regression().fit(features, labels)
    found[:, fitted.classes_] = fitted.predict_proba(others)
    return found


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))


def confusable(errors: Bools, given: Ints, said: Ints) -> Bools:
    """Return (N,) which examples are of the ordered pair (given, said) that holds most of ``errors``, if over half."""
    if not errors.any():
        return errors
    pair = given * (int(max(given.max(), said.max())) + 1) + said
    names, counts = np.unique(pair[errors], return_counts=True)
    of_most = errors & (pair == names[counts.argmax()])
    return of_most if 2 * counts.max() > errors.sum() else np.zeros_like(errors)
