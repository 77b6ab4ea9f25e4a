"""A window: the signals of the requests that one model answered, as columns.

What bites: most signals are not measured for most requests. A number that was not is NaN, a class that was not is "",
and both are left out of every figure, never counted as zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Strings = npt.NDArray[np.str_]
Vectors = npt.NDArray[np.float32]
Which = npt.NDArray[np.integer] | npt.NDArray[np.bool_] | slice

OF_TEXT: Final = (
    "characters",
    "words",
    "tokens",
    "tokens_per_word",
    "unknown_share",
    "truncated",
    "other_script_share",
)
"""Numbers that describe a text: counts, shares, and whether part of it was not read (0 or 1)."""

OF_ANSWER: Final = ("confidence", "margin", "entropy", "abstained", "latency_ms")
"""Numbers that describe an answer: chance of the best, its lead over the second, nats, 0 or 1, milliseconds."""

OF_SAMPLE: Final = ("live_bits", "base_bits", "distance", "neighbours")
"""Numbers of a sample: bits per character under fixed masks, of this model and of the frozen one; how far its vector is
from the middle of a reference and from its nearest neighbours there."""

NUMBERS: Final = OF_TEXT + OF_ANSWER + OF_SAMPLE
CLASSES: Final = ("prediction", "script")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Signals of N texts; every name of NUMBERS and CLASSES is there."""

    time: Floats
    """(N,) when each was answered, in unix seconds."""
    numbers: Mapping[str, Floats]
    """By name (N,), NaN where not measured."""
    classes: Mapping[str, Strings]
    """By name (N,), "" where there is none."""
    embedding: Vectors | None = None
    """(N, D), rows of NaN where not sampled; None where no row is."""
    key: Strings | None = None
    """(N,) a keyed hash of each text in hexadecimal, the same for the same text; None where it is not known."""

    def __post_init__(self) -> None:
        count = len(self.time)
        columns = [*self.numbers.values(), *self.classes.values()]
        assert all(len(column) == count for column in columns), "columns of a window are equally long"
        assert self.embedding is None or len(self.embedding) == count, "a window has an embedding a row"

    def __len__(self) -> int:
        return len(self.time)

    def rows(self, index: Which) -> Self:
        """Return the rows ``index``: numbers of rows, a mask (N,) or a slice."""
        return type(self)(
            time=self.time[index],
            numbers={name: column[index] for name, column in self.numbers.items()},
            classes={name: column[index] for name, column in self.classes.items()},
            embedding=None if self.embedding is None else self.embedding[index],
            key=None if self.key is None else self.key[index],
        )


def joined(windows: Sequence[Window]) -> Window:
    """Return ``windows`` one after the other; there is at least one. All that are sampled are D wide."""
    width = next((one.embedding.shape[1] for one in windows if one.embedding is not None), None)
    return Window(
        time=np.concatenate([one.time for one in windows]),
        numbers={name: np.concatenate([one.numbers[name] for one in windows]) for name in NUMBERS},
        classes={name: np.concatenate([one.classes[name] for one in windows]) for name in CLASSES},
        embedding=None if width is None else np.concatenate([_vectors(one, width) for one in windows]),
        key=np.concatenate([one.key for one in windows if one.key is not None]) if _has_keys(windows) else None,
    )


def _has_keys(windows: Sequence[Window]) -> bool:
    return all(one.key is not None for one in windows)


def _vectors(window: Window, width: int) -> Vectors:
    if window.embedding is not None:
        return window.embedding
    return np.full((len(window), width), np.nan, np.float32)
