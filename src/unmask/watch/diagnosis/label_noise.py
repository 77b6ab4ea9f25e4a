"""Label noise: examples whose label is wrong, so that no model can be right about them.

Errors of a model get rarer the surer it is; errors of labels do not. So the share of wrong labels is read off the
surest third of the decisions, and only where the next third is hardly worse. What bites: a model that has learned too
little is wrong everywhere, and can not judge labels; then this says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmask.stats import paired_difference
from unmask.stats.figure import Figure, Floats, mean_of
from unmask.watch.diagnosis.case import (
    BASES,
    LEAST,
    SHOWN,
    Case,
    Examined,
    Finding,
    Ints,
    Shown,
    in_points,
    judged,
    share_of,
    skipped,
)
from unmask.watch.diagnosis.confident import Confident, confident_labels, confusable, out_of_fold, predicted

LEAST_NOISE = 0.03
"""Share of wrong labels that is worth a look; carefully made sets have that many (Northcutt et al. 2021b: 3.3 %)."""
MOST_NOISE = 0.4
"""Beyond it the model may as well be the one that is wrong."""
STEEPEST = 1.25
"""How many times more often the middle third may be wrong than the surest, where labels are to blame."""
AS_GOOD = 0.05
"""How far below the model a regression on frozen states may be, on the development examples, to judge labels."""
FEWEST = 150
"""Examples of which a third says anything."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What was seen of one file."""

    share: Figure
    confident: Confident
    is_found: bool


def label_noise(case: Case) -> Finding:
    """Return the share of wrong labels among development and training examples, with the clearest of them."""
    name = "label noise"
    dev = case.dev
    if dev.chance is None or dev.given is None:
        return skipped(name, f"labels are judged where a text has one class, not in a task of {case.block.name}")
    if len(dev) < FEWEST:
        return skipped(name, f"takes at least {FEWEST} development examples, there are {len(dev)}")
    of_dev = noise_in(dev.chance, dev.given)
    of_train = _training_noise(case)
    found = of_dev.is_found or (of_train is not None and of_train.is_found)
    says = f"of the surest third of the decisions {_percent(of_dev.share)} are wrong"
    if of_dev.is_found:
        says += ", and the next third hardly more often: so many of the development labels look wrong"
    gain, basis = of_dev.share, BASES[0]
    if of_train is not None:
        says += f"; by frozen states {_percent(of_train.share)} of the training labels are"
        if of_train.is_found and not of_dev.is_found:
            gain, basis = _without(case, of_train), BASES[1]
            says += f"; a cheap model without these labels changes by {in_points(gain)}"
    suspects = _suspects(case, dev, of_dev.confident)
    if of_train is not None and case.train is not None:
        suspects = [*suspects[: SHOWN - 2], *_suspects(case, case.train, of_train.confident)[:2]]
    return judged(
        name,
        found and gain.value >= LEAST,
        says=says,
        gain=gain,
        basis=basis,
        examples=suspects,
        advice="read the labels that --json lists under suspects, and mend them in both files",
        command=case.finetune(),
        facts=_facts(case, of_dev, of_train),
    )


def noise_in(chance: Floats, given: Ints) -> Noise:
    """Return what ``chance`` (N, C) of a model that did not see the labels ``given`` (N,) says of them.

    The pair of classes that holds most errors is left out where it holds more than half: that is confusion, not noise.
    """
    said = chance.argmax(1)
    errors = said != given
    counted = ~confusable(errors, given, said) if chance.shape[1] > 2 else np.ones(len(errors), bool)
    order = np.argsort(-chance.max(1)[counted], kind="stable")
    wrong = errors[counted][order]
    third = max(1, len(wrong) // 3)
    surest, middle = int(wrong[:third].sum()), int(wrong[third : 2 * third].sum())
    share = share_of(surest, third)
    is_flat = middle <= STEEPEST * surest + 2 * np.sqrt(max(surest, 1))
    is_found = bool(share.low > LEAST_NOISE and share.value <= MOST_NOISE and is_flat)
    return Noise(share, confident_labels(chance, given), is_found)


def _training_noise(case: Case) -> Noise | None:
    """Return what a regression on frozen states says of training labels; None where it is no judge of them."""
    train, dev = case.train, case.dev
    if case.features is None or train is None or train.given is None or dev.given is None or dev.chance is None:
        return None
    if len(train) < FEWEST:
        return None
    classes = len(case.block.labels)
    judge = predicted(case.features[0], train.given, case.features[1], classes)
    if (judge.argmax(1) == dev.given).mean() < (dev.chance.argmax(1) == dev.given).mean() - AS_GOOD:
        return None
    return noise_in(out_of_fold(case.features[0], train.given, classes), train.given)


def _without(case: Case, noise: Noise) -> Figure:
    """Return what a cheap model gains on the development examples when the suspects are left out of its training."""
    assert case.features is not None
    assert case.train is not None
    assert case.train.given is not None
    assert case.dev.given is not None
    learned, asked = case.features
    labels, classes = case.train.given, len(case.block.labels)
    kept = np.ones(len(labels), bool)
    kept[noise.confident.suspects] = False
    tables = []
    for rows in (kept, np.ones(len(labels), bool)):
        right = predicted(learned[rows], labels[rows], asked, classes).argmax(1) == case.dev.given
        tables.append(np.stack([right, np.ones(len(right))], 1).astype(float))
    return paired_difference(tables[:1], tables[1:], mean_of)


def _suspects(case: Case, seen: Examined, confident: Confident) -> list[Shown]:
    names = case.block.labels
    assert seen.given is not None
    return [
        Shown(seen.where[row], seen.texts[row], f"{names[seen.given[row]]}, likely {names[confident.likely[row]]}")
        for row in confident.suspects[:SHOWN].tolist()
    ]


def _percent(share: Figure) -> str:
    return f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _facts(case: Case, of_dev: Noise, of_train: Noise | None) -> dict[str, Any]:
    """Return the shares, the joint of classes, and where all suspects stand."""
    parts = {"development": (case.dev, of_dev)}
    if of_train is not None and case.train is not None:
        parts["training"] = (case.train, of_train)
    return {
        name: {
            "share": noise.share.plain(),
            "joint": noise.confident.joint.round(5).tolist(),
            "suspects": _places(seen.where, noise.confident.suspects),
        }
        for name, (seen, noise) in parts.items()
    }


def _places(where: Sequence[str], rows: Ints) -> list[str]:
    return [where[row] for row in rows.tolist()]
