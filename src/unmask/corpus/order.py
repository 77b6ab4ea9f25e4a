"""The order of rows: a permutation that is computed, not stored, so that a place in the data is one number.

A Feistel network over the smallest even number of bits that holds the rows, with cycle walking (Black and Rogaway 2002,
"Ciphers with arbitrary finite domains"). Its mixer is MurmurHash3's finaliser, so that order and masks share no chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_ROUNDS = 6
_STEP = 0xD1B54A32D192ED03
_WRAP = 1 << 64


def _mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    words = (words ^ (words >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return words ^ (words >> np.uint64(33))


def rows_at(places: npt.NDArray[np.int64], num_rows: int, seed: int) -> npt.NDArray[np.int64]:
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
