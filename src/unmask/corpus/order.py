"""The order of rows: a permutation that is computed, not stored, so that a place in the data is one number.

A mixture of sources is a pattern of rows, the same over and over: which source a place gets is read off the pattern,
and each source goes through epochs of its own. The permutation is a Feistel network over the smallest even number of
bits that holds the rows, with cycle walking (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). Its
mixer is MurmurHash3's finaliser, so that order and masks share no chance. What bites: a source of few rows and much
weight comes round often, so a row's epoch is that of its source.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

LONGEST_PATTERN = 10_000
"""Rows after which a mixture repeats, at most: shares are exact to half of one in this many."""

_ROUNDS = 6
_STEP = 0xD1B54A32D192ED03
_POOL_STEP = 0xABC98388FB8FAC03  # not a multiple of the other that is in reach
_WRAP = 1 << 64


class RowOrder:
    """Which row stands at each global place; rows are numbered source by source."""

    def __init__(self, sizes: Sequence[int], weights: Sequence[float] | None) -> None:
        """Order the ``sizes`` (S,) rows of each source by ``weights`` (S,), or all in one pool where there are none.

        A pool shows every row once an epoch, so there each source has its natural share.
        """
        self._sizes = np.array([sum(sizes)] if weights is None else sizes, dtype=np.int64)
        self._first = np.cumsum(self._sizes) - self._sizes
        self._counts = np.ones(1, dtype=np.int64) if weights is None else pattern_counts(weights)
        self._pattern, self._before = mixture_pattern(self._counts)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Return which share of the places each source gets; (1,) for a pool."""
        return np.asarray(self._counts / self._counts.sum())

    def at(self, places: Indices, seed: int) -> tuple[Indices, Indices]:
        """Return the rows at the global ``places`` (B,) of a run with ``seed``, and its source's epoch at each."""
        repeat, at = np.divmod(places, len(self._pattern))
        source = self._pattern[at]
        place = repeat * self._counts[source] + self._before[at]
        rows = np.empty_like(places)
        for number in np.unique(source):
            mine = source == number
            own_seed = seed + int(number) * _POOL_STEP
            rows[mine] = self._first[number] + rows_at(place[mine], int(self._sizes[number]), own_seed)
        return rows, place // self._sizes[source]


def pattern_counts(weights: Sequence[float]) -> Indices:
    """Return (S,) how many rows of a pattern each source gets: of the shortest pattern that fits ``weights`` exactly.

    Where none of at most LONGEST_PATTERN rows does, the nearest of that length, by largest remainders; a source whose
    share is too small for it gets 0.
    """
    shares = np.array(weights, dtype=np.float64) / np.sum(weights)
    lengths = np.arange(1, LONGEST_PATTERN + 1)
    wanted = lengths[:, None] * shares  # (LONGEST_PATTERN, S)
    exact = np.flatnonzero((np.abs(wanted - np.rint(wanted)) < 1e-9 * lengths[:, None]).all(axis=1))
    if len(exact):
        shortest: Indices = np.rint(wanted[exact[0]]).astype(np.int64)
        return shortest
    counts: Indices = np.floor(wanted[-1]).astype(np.int64)
    missing = LONGEST_PATTERN - int(counts.sum())
    counts[np.argsort(counts - wanted[-1], kind="stable")[:missing]] += 1
    return counts


def mixture_pattern(counts: Indices) -> tuple[Indices, Indices]:
    """Return (P,) the source of each row of a pattern, and how many rows of that source stand before it.

    The k-th of a source's n rows belongs at (k + 1/2) / n of the pattern, and rows stand in the order of these places.
    """
    source = np.repeat(np.arange(len(counts)), counts)
    before = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.lexsort((source, (2 * before + 1) / (2 * counts[source])))
    return source[order], before[order]


def _mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    words = (words ^ (words >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return words ^ (words >> np.uint64(33))


def rows_at(places: Indices, num_rows: int, seed: int) -> Indices:
    """Return which of ``num_rows`` rows stands at each of the global ``places`` (B,) of a run with ``seed``.

    Place g is place g % num_rows of epoch g // num_rows; every epoch shows each row once, in an order of its own.
    """
    epoch, at = np.divmod(places, num_rows)
    keys = _mix(np.uint64(seed % _WRAP) + np.uint64(_STEP) * (epoch.astype(np.uint64) + np.uint64(1)))
    half = max(1, -(-int(num_rows - 1).bit_length() // 2))
    rows = _feistel(at.astype(np.uint64), keys, half)
    while (outside := rows >= np.uint64(num_rows)).any():
        rows[outside] = _feistel(rows[outside], keys[outside], half)
    return rows.astype(np.int64)


def _feistel(words: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64], half: int) -> npt.NDArray[np.uint64]:
    """Return a permutation of [0, 4**half) at ``words``, one permutation a key."""
    mask, shift = np.uint64((1 << half) - 1), np.uint64(half)
    left, right = words >> shift, words & mask
    for number in range(_ROUNDS):
        key = keys + np.uint64((number + 1) * _STEP % _WRAP)
        left, right = right, left ^ (_mix(key ^ right) & mask)
    return (left << shift) | right
