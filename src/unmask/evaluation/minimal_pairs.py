"""Pairs of sentences that differ in one point, one of them acceptable: how often the model prefers that one.

The form is BLiMP's (Warstadt et al. 2020). What bites: a tie counts one half, so that who scores all alike gets exactly
50 % and not all or nothing. Beside the model stand a trigram floor and a scorer that prefers the shorter sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from unmask.errors import DataError
from unmask.evaluation.likelihood import METHODS, Score, Told, part_of, scored
from unmask.stats.figure import Floats, bootstrap, mean_of
from unmask.tasks.records import records

GROUPS: Final = {"field": "field", "phenomenon": "linguistics_term", "paradigm": "UID"}
"""Names of groups of pairs, and of the fields of the file that name them, where it has them."""
TIE = 1e-4
"""Nats under which two scores are equal: batches of another shape round otherwise."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An acceptable sentence and one that is not."""

    good: str
    bad: str
    groups: Mapping[str, str]
    """Which field, phenomenon and paradigm it belongs to."""


def read_pairs(path: Path, most: int | None = None) -> list[Pair]:
    """Return the pairs in ``path`` (jsonl, csv or tsv; or a folder of such), the first ``most`` of each paradigm.

    Raises DataError for a row without sentence_good or sentence_bad.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    found: list[Pair] = []
    taken: dict[str, int] = {}
    for file in files:
        for row in records(file, {}):
            groups = {name: str(row.values[key]) for name, key in GROUPS.items() if row.values.get(key)}
            paradigm = groups.get("paradigm", file.name)
            taken[paradigm] = taken.get(paradigm, 0) + 1
            if most is None or taken[paradigm] <= most:
                found.append(Pair(row.text("sentence_good"), row.text("sentence_bad"), groups))
    if not found:
        raise DataError(path, "holds no pair of sentence_good and sentence_bad (jsonl, csv or tsv)")
    return found


def minimal_pairs(score: Score, pairs: Sequence[Pair], floors: Mapping[str, Floats], told: Told) -> dict[str, Any]:
    """Return accuracies by both methods and of ``floors``, of all pairs and of each group, with intervals over pairs.

    ``floors`` are how much each pair's good sentence is preferred (N,); ``above`` is by how
    much the model is above each of them on the same pairs, ``flipped`` the share on which its two methods differ.
    """
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.good, pair.bad)))
    preferred: dict[str, Floats] = {}
    for number, method in enumerate(METHODS):
        answers = scored(score, texts, method, part_of(told, number, len(METHODS)))
        of_text = {text: answer["score"] for text, answer in zip(texts, answers, strict=True)}
        preferred[method] = np.array([of_text[pair.good] - of_text[pair.bad] for pair in pairs])
    right = {name: wins(margins) for name, margins in {**preferred, **floors}.items()}
    found: dict[str, Any] = {"pairs": len(pairs), "accuracy": {name: _accuracy(won) for name, won in right.items()}}
    found["above"] = {name: _accuracy(right["pll"] - right[name]) for name in floors}
    found["flipped"] = float((right[METHODS[0]] != right[METHODS[1]]).mean())
    for group in GROUPS:
        if members := _members(pairs, group):
            found[f"by_{group}"] = {
                name: {
                    "pairs": len(places),
                    "accuracy": {scorer: _accuracy(won[places]) for scorer, won in right.items()},
                }
                for name, places in members.items()
            }
    return found


def wins(margins: Floats) -> Floats:
    """Return 1 where the good sentence is preferred, 0 where the bad one is, and one half of each tie."""
    return np.where(np.abs(margins) < TIE, 0.5, (margins > 0).astype(float))


def shorter(pairs: Sequence[Pair]) -> Floats:
    """Return (N,) by how many characters each good sentence is the shorter one."""
    return np.array([len(pair.bad) - len(pair.good) for pair in pairs], np.float64)


def _accuracy(won: Floats) -> dict[str, Any]:
    return bootstrap(np.stack([won, np.ones_like(won)], 1), mean_of, method="bootstrap over pairs").plain()


def _members(pairs: Sequence[Pair], group: str) -> dict[str, list[int]]:
    """Return the numbers of the pairs of each ``group``, groups in alphabetical order."""
    found: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        if group in pair.groups:
            found.setdefault(pair.groups[group], []).append(number)
    return dict(sorted(found.items()))
