"""Sources of symbols that are known in full: Markov chains, and hidden Markov models in general.

A chain is a hidden Markov model whose states show themselves, so there is one class. What bites: a text may begin
anywhere in the life of its source, so ``initial`` has to be the stationary distribution of ``transition``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Symbols = npt.NDArray[np.int64]

CONCENTRATION = 0.15
"""Of the Dirichlet distribution that rows are drawn from: a few symbols are likely after each, any is possible."""
SYMBOLS_PER_STATE = 4
STAYING = 0.8
"""Chance that a hidden state stays for another symbol, before the row drawn at random has its say."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A stationary hidden Markov model of S states and V symbols."""

    initial: Floats
    """(S,) how likely each state is where nothing is known."""
    transition: Floats
    """(S, S) from the state of a row to that of a column."""
    emission: Floats
    """(S, V) which symbol a state shows."""

    def __post_init__(self) -> None:
        """Refuse tables that do not fit: a bug of ours."""
        states, symbols = self.emission.shape
        assert (self.initial.shape, self.transition.shape) == ((states,), (states, states)), "shapes do not fit"
        for table in (self.initial, self.transition, self.emission):
            assert (table >= 0).all(), "chances are not negative"
            assert np.allclose(table.sum(-1), 1), "rows must be distributions"
        assert symbols > 1, "one symbol is no source"
        assert np.allclose(self.initial @ self.transition, self.initial), "the initial distribution must be stationary"

    @property
    def num_symbols(self) -> int:
        """How many symbols there are, V."""
        return int(self.emission.shape[1])

    @property
    def frequencies(self) -> Floats:
        """(V,) how often each symbol occurs in the long run."""
        return self.initial @ self.emission

    def sample(self, texts: int, length: int, chance: np.random.Generator) -> Symbols:
        """Return (N, L) symbols of ``texts`` independent texts."""
        state = _draw(np.broadcast_to(self.initial, (texts, len(self.initial))), chance)
        symbols = np.empty((texts, length), np.int64)
        for place in range(length):
            symbols[:, place] = _draw(self.emission[state], chance)
            state = _draw(self.transition[state], chance)
        return symbols

    def plain(self) -> dict[str, Any]:
        """Return the source as JSON writes it; floats survive that to the bit."""
        return {name: getattr(self, name).tolist() for name in ("initial", "transition", "emission")}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Return the source that ``values`` describe, as plain() wrote them."""
        return cls(**{name: np.array(values[name]) for name in ("initial", "transition", "emission")})


def chain(transition: Floats) -> Source:
    """Return the Markov chain of ``transition`` (V, V)."""
    return Source(initial=stationary(transition), transition=transition, emission=np.eye(len(transition)))


def hidden(transition: Floats, emission: Floats) -> Source:
    """Return the hidden Markov model of ``transition`` (S, S) and ``emission`` (S, V)."""
    return Source(initial=stationary(transition), transition=transition, emission=emission)


def stationary(transition: Floats) -> Floats:
    """Return (S,) the distribution that ``transition`` (S, S) leaves as it is, the only one where all is reachable."""
    size = len(transition)
    equations = np.vstack([transition.T - np.eye(size), np.ones(size)])
    found = np.linalg.lstsq(equations, np.append(np.zeros(size), 1.0), rcond=None)[0].clip(0)
    return np.asarray(found / found.sum())


def entropy_rate(source: Source) -> float | None:
    """Return the least a causal model can lose on a chain, in nats a symbol: the mean entropy of its rows.

    None for a hidden Markov model, whose rate has no closed form (Cover and Thomas 2006, section 4.5).
    """
    if not np.array_equal(source.emission, np.eye(len(source.initial))):
        return None
    rows = source.transition
    return float(-source.initial @ np.sum(rows * np.log(rows, where=rows > 0, out=np.zeros_like(rows)), 1))


def pair_chances(source: Source) -> Floats:
    """Return (V, V) how likely each symbol is with each other one behind it, anywhere in a text."""
    return np.asarray((source.initial[:, None] * source.emission).T @ source.transition @ source.emission)


def markov(num_symbols: int, chance: np.random.Generator) -> Source:
    """Return a chain with rows drawn at random: what stands beside a symbol says much about it."""
    return chain(_rows(num_symbols, num_symbols, chance))


def hmm(num_symbols: int, chance: np.random.Generator) -> Source:
    """Return a hidden Markov model drawn at random, with a state for every few symbols: what is far away counts too."""
    states = max(2, num_symbols // SYMBOLS_PER_STATE)
    transition = STAYING * np.eye(states) + (1 - STAYING) * _rows(states, states, chance)
    return hidden(transition, _rows(states, num_symbols, chance))


SOURCES: dict[str, Callable[[int, np.random.Generator], Source]] = {"markov": markov, "hmm": hmm}


def _rows(count: int, size: int, chance: np.random.Generator) -> Floats:
    """Return (count, size) distributions: Dirichlet, with a little of everything so that nothing is impossible."""
    drawn = chance.dirichlet(np.full(size, CONCENTRATION), count)
    return np.asarray(0.99 * drawn + 0.01 / size)


def _draw(distributions: Floats, chance: np.random.Generator) -> Symbols:
    """Return (N,) one number from each row of ``distributions`` (N, K)."""
    height = distributions.cumsum(1)
    return np.asarray((height < chance.random((len(height), 1)) * height[:, -1:]).sum(1))
