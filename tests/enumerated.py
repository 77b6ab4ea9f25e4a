"""Known sources the slow way: every text, every outcome of hiding it, and nothing of forward-backward."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from unmask.batch import KINDS
from unmask.oracle.posterior import UNSEEN
from unmask.oracle.sources import Source

Floats = npt.NDArray[np.float64]


def every_text(num_symbols: int, length: int) -> npt.NDArray[np.int64]:
    """Return (V**L, L) all texts."""
    return np.array(list(product(range(num_symbols), repeat=length)))


def text_chances(source: Source, length: int) -> Floats:
    """Return (V**L,) the chance of each text: a sum over every path of states."""
    chances = np.zeros(source.num_symbols**length)
    for path in every_text(len(source.initial), length):
        steps = [source.transition[one, other] for one, other in pairwise(path)]
        chances += source.initial[path[0]] * np.prod(steps) * _every_product(list(source.emission[path]))
    return chances


@dataclass(frozen=True)
class Hiding:
    """A way to hide: the chance of being selected, then of [MASK] and of one of ``pool`` tokens."""

    rate: float
    mask: float
    random: float
    pool: int

    @property
    def keep(self) -> float:
        return 1 - self.mask - self.random


class Enumeration:
    """All that can happen to texts of ``length`` of ``source`` under ``hiding``.

    What is seen is a number below V, V for a token that the source does not know, V + 1 for [MASK].
    """

    def __init__(self, source: Source, length: int, hiding: Hiding) -> None:
        self.source, self.length, self.hiding = source, length, hiding
        self.texts = every_text(source.num_symbols, length)
        self.chances = text_chances(source, length)
        self.seen = every_text(source.num_symbols + 2, length)
        self.context = hiding.rate * _sum(self.shown()) + (1 - hiding.rate) * self._itself()

    def _itself(self) -> Floats:
        return np.eye(self.source.num_symbols, self.source.num_symbols + 2)

    def shown(self) -> dict[str, Floats]:
        """Return (V, V + 2) by kind: how likely the selected token of a row is of that kind and shows the column."""
        size, hiding = self.source.num_symbols, self.hiding
        random, mask = np.zeros((2, size, size + 2))
        for true in range(size):
            mask[true, size + 1] += hiding.mask
            for drawn in range(hiding.pool):
                random[true, min(drawn, size)] += hiding.random / hiding.pool
        return dict(zip(KINDS, (mask, random, hiding.keep * self._itself()), strict=True))

    def joint(self, place: int, kind: str | None = None) -> Floats:
        """Return (V**L, (V+2)**L) the chance of text, what is seen and ``kind``, given that ``place`` is selected."""
        shown = self.shown()
        channels = [self.context] * self.length
        channels[place] = _sum(shown) if kind is None else shown[kind]
        return np.asarray(self.chances[:, None] * _every_product(channels))

    def posterior(self, place: int) -> Floats:
        """Return ((V+2)**L, V) how likely each symbol stood at ``place``; NaN where what is seen can not be."""
        joint, true = self.joint(place), self.texts[:, place]
        by_symbol = np.stack([joint[true == symbol].sum(0) for symbol in range(self.source.num_symbols)], 1)
        with np.errstate(invalid="ignore"):
            return np.asarray(by_symbol / by_symbol.sum(1, keepdims=True))

    def observed(self) -> npt.NDArray[np.int64]:
        """Return ((V+2)**L, L) what is seen, as the oracle reads it."""
        return np.where(self.seen == self.source.num_symbols + 1, UNSEEN, self.seen)

    def limits(self) -> dict[str, float]:
        """Return the least possible cross entropy of each kind that there is, and of all, in nats a position."""
        kinds = [name for name, shown in self.shown().items() if shown.any()]
        return {name: self._limit(name) for name in kinds} | {"all": self._limit(None)}

    def _limit(self, kind: str | None) -> float:
        lost = weight = 0.0
        for place in range(self.length):
            joint, answers = self.joint(place, kind), self.posterior(place)
            can_be = joint > 0
            true = np.broadcast_to(answers[:, self.texts[:, place]].T, joint.shape)
            lost += float((joint[can_be] * -np.log(true[can_be])).sum())
            weight += float(joint.sum())
        return lost / weight


def _sum(shown: dict[str, Floats]) -> Floats:
    return np.asarray(sum(shown.values()))


def _every_product(factors: list[Floats]) -> Floats:
    """Return the product of every choice of an entry from each of ``factors``, in the order of every_text."""
    found = factors[0]
    for factor in factors[1:]:
        found = np.asarray(np.kron(found, factor), np.float64)
    return found
