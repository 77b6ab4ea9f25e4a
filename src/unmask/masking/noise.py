"""The counter-based noise that every mask is made of.

SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): a document and an epoch make
a key, a place and a lane make a word. What bites: all arithmetic wraps in uint64; numpy scalars warn where arrays do
not, so everything here is an array.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Words: TypeAlias = npt.NDArray[np.uint64]

HIDDEN, KIND, REPLACEMENT, FREE = 0, 1, 2, 3
"""The four lanes of a place: is it hidden, what does it show, which random token, and one to spare."""

GAMMA = 0x9E3779B97F4A7C15
_WRAP = 1 << 64


def mix(words: Words) -> Words:
    """Return SplitMix64's finaliser of ``words``, elementwise."""
    words = words ^ (words >> np.uint64(30))  # the one copy; from here on it is changed in place
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def document_keys(seed: int, epoch: npt.ArrayLike, document: Words) -> Words:
    """Return the key of each document in each epoch; ``epoch`` broadcasts against ``document``."""
    epochs = np.asarray(epoch, dtype=np.uint64).reshape(np.shape(epoch) or (1,))
    return mix(mix(np.uint64(seed % _WRAP) + np.uint64(GAMMA) * epochs) ^ document)


def words(keys: Words, place: npt.NDArray[np.integer], lane: int) -> Words:
    """Return the 64 bits of chance of ``lane`` at ``place`` of the documents that ``keys`` stand for."""
    counter = np.uint64(4) * place.astype(np.uint64) + np.uint64(lane + 1)
    return mix(keys + np.uint64(GAMMA) * counter)


def uniform(chance: Words) -> npt.NDArray[np.float64]:
    """Return numbers in [0, 1) on a grid of 2**-24, exact in any float."""
    return (chance >> np.uint64(40)).astype(np.float64) * 2.0**-24


def below(chance: Words, bound: int) -> npt.NDArray[np.int64]:
    """Return whole numbers in [0, ``bound``), ``bound`` at most 2**32, from the high half of each word.

    Multiply-shift (Lemire 2019, "Fast random integer generation in an interval"), its bias at most bound / 2**32.
    """
    return (((chance >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)
