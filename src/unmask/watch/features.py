"""What is compared of a window: every signal as means of bounded functions of one request.

A number is counted in bins whose edges are quantiles of the reference, a class in its labels, an embedding in waves
(``waves.py``). What bites: functions are bounded so that a heavy tail
can not swing a mean; and then a difference of means says how large a share of the requests must have changed at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unmask.watch.waves import WAVES, Waves, sampled, spread_rows
from unmask.watch.window import CLASSES, OF_TEXT, Floats, Strings, Window

GROUPS: dict[str, tuple[str, ...]] = {
    "answers": ("prediction", "confidence", "margin", "entropy", "abstained"),
    "meaning": ("embedding", "distance", "neighbours"),
    "texts": (*OF_TEXT, "script"),
    "language": ("live_bits", "base_bits"),
    "service": ("latency_ms",),
}
"""Signals in the order in which they are read: what the model answers comes first (Rabanser et al. 2019)."""
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}

LEAST_MEASURED = 100
"""Values of a signal in the reference below which it is not watched."""
BINS = 32
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
LEAST_SHARE = 0.01
"""What is rarer in the reference is taken for as frequent: nobody knows the rate of what was seen twice."""
MOST_LABELS = 20


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal, counted in bins: of a number at ``edges``, or of a class by ``labels``, the last bin for all others.

    A number falls in the first bin whose edge is not below it; what is above all edges falls in the last.
    """

    name: str
    edges: Floats
    labels: tuple[str, ...]
    table: Floats
    """(bins, K): what the K functions are in each bin, from 0 to 1."""

    def bins(self, window: Window) -> npt.NDArray[np.int64]:
        """Return (N,) the bin of each row, -1 where it was not measured."""
        if self.labels:
            values = window.classes[self.name]
            found = _bins_of_labels(values, self.labels)
            return np.where(values == "", -1, found)
        numbers = window.numbers[self.name]
        return np.where(np.isnan(numbers), -1, np.searchsorted(self.edges, numbers, side="left"))


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of the functions over the rows of C windows, and how many rows had each signal."""

    sums: Floats
    """(C, K)"""
    counts: Floats
    """(C, S)"""
    rows: Floats
    """(C,)"""

    def take(self, index: Any) -> Sums:
        """Return the windows ``index``."""
        return Sums(self.sums[index], self.counts[index], self.rows[index])

    def plus(self, other: Sums) -> Sums:
        """Return these windows and then the ``other`` ones."""
        return Sums(*(np.concatenate(pair) for pair in zip(self.parts(), other.parts(), strict=True)))

    def parts(self) -> tuple[Floats, Floats, Floats]:
        """Return sums, counts and rows."""
        return self.sums, self.counts, self.rows


@dataclass(frozen=True)
class FeatureMap:
    """The functions that windows are compared by, fitted on a reference."""

    signals: tuple[Signal, ...]
    waves: Waves | None
    variance: Floats
    """(K,) of each function over the rows of the reference, at least that of something as rare as LEAST_SHARE."""

    @cached_property
    def names(self) -> list[str]:
        """The signals, S of them; the embedding is the last."""
        return [signal.name for signal in self.signals] + (["embedding"] if self.waves else [])

    @cached_property
    def widths(self) -> list[int]:
        """How many functions each signal has."""
        return [signal.table.shape[1] for signal in self.signals] + ([2 * WAVES] if self.waves else [])

    @cached_property
    def owner(self) -> npt.NDArray[np.int64]:
        """(K,) the place of the signal that each function belongs to."""
        return np.repeat(np.arange(len(self.names)), self.widths)

    @classmethod
    def fit(cls, reference: Window) -> Self:
        """Return the functions of every signal that ``reference`` has enough values of."""
        signals = [
            signal
            for names in GROUPS.values()
            for name in names
            if name != "embedding" and (signal := _fit(name, reference)) is not None
        ]
        waves = Waves.fit(reference.embedding, LEAST_MEASURED)
        bare = cls(tuple(signals), waves, np.empty(0))
        return cls(bare.signals, waves, bare._variance_of(reference))

    def sums(self, window: Window, block: npt.NDArray[np.integer], num_blocks: int) -> Sums:
        """Return the sums over the rows of each of ``num_blocks`` blocks; ``block`` (N,) says where a row belongs."""
        sums, counts = [], []
        for signal in self.signals:
            histogram = self.histogram(signal, window, block, num_blocks)
            sums.append(histogram @ signal.table)
            counts.append(histogram.sum(1))
        if self.waves:
            total, count = self.waves.sums(window.embedding, block, num_blocks)
            sums.append(total)
            counts.append(count)
        rows = np.bincount(block, minlength=num_blocks).astype(np.float64)
        return Sums(np.concatenate(sums, axis=1), np.stack(counts, axis=1), rows)

    def one(self, window: Window) -> Sums:
        """Return the sums of ``window`` as one block."""
        return self.sums(window, np.zeros(len(window), np.int64), 1)

    def rows(self, window: Window) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return (N, K) the functions of each row, 0 where not measured, and (N, S) whether it was."""
        values, measured = [], []
        for signal in self.signals:
            bins = signal.bins(window)
            values.append(np.where(bins[:, None] < 0, 0.0, signal.table[bins]).astype(np.float32))
            measured.append(bins >= 0)
        if self.waves:
            there = sampled(window.embedding, len(window))
            wave = np.zeros((len(window), 2 * WAVES), np.float32)
            if window.embedding is not None and there.any():
                wave[there] = self.waves.values(window.embedding[there])
            values.append(wave)
            measured.append(there)
        return np.concatenate(values, axis=1), np.stack(measured, axis=1).astype(np.float32)

    def histogram(
        self, signal: Signal, window: Window, block: npt.NDArray[np.integer], num_blocks: int
    ) -> npt.NDArray[np.int64]:
        """Return (B, bins) how many rows of each block fall in each bin of ``signal``."""
        bins, width = signal.bins(window), len(signal.table)
        there = bins >= 0
        return np.bincount(block[there] * width + bins[there], minlength=num_blocks * width).reshape(num_blocks, width)

    def _variance_of(self, reference: Window) -> Floats:
        found = []
        everything = np.zeros(len(reference), np.int64)
        for signal in self.signals:
            [histogram] = self.histogram(signal, reference, everything, 1)
            share = histogram / histogram.sum()
            found.append(share @ signal.table**2 - (share @ signal.table) ** 2)
        if self.waves:
            assert reference.embedding is not None, "waves were fitted on an embedding"
            found.append(self.waves.values(spread_rows(reference.embedding)).var(0))
        return np.asarray(np.maximum(np.concatenate(found), LEAST_SHARE * (1 - LEAST_SHARE)))

    def effects(self, differences: Floats) -> Floats:
        """Return (C, S): the share of requests that must have changed at least, for mean ``differences`` (C, K).

        The total variation distance is never below a difference of means of a function from 0 to 1.
        """
        found, start = [], 0
        for place, width in enumerate(self.widths):
            own = np.abs(np.nan_to_num(differences[:, start : start + width]))
            if place < len(self.signals):
                found.append(own.sum(1) / 2 if self.signals[place].labels else own.max(1))
            else:
                found.append(own.max(1) / 2)
            start += width
        return np.stack(found, axis=1)

    def tensors(self) -> tuple[dict[str, npt.NDArray[Any]], list[dict[str, Any]]]:
        """Return what :meth:`from_tensors` reads: arrays by name, and names with labels."""
        arrays: dict[str, npt.NDArray[Any]] = {"variance": self.variance}
        for signal in self.signals:
            arrays |= {f"edges.{signal.name}": signal.edges, f"table.{signal.name}": signal.table}
        if self.waves:
            arrays |= {name: getattr(self.waves, name) for name in ("middle", "directions")}
        return arrays, [{"name": signal.name, "labels": list(signal.labels)} for signal in self.signals]

    @classmethod
    def from_tensors(cls, arrays: Mapping[str, npt.NDArray[Any]], named: list[dict[str, Any]]) -> Self:
        """Return the map that :meth:`tensors` wrote."""
        signals = tuple(
            Signal(one["name"], arrays[f"edges.{one['name']}"], tuple(one["labels"]), arrays[f"table.{one['name']}"])
            for one in named
        )
        waves = Waves(arrays["middle"], arrays["directions"]) if "middle" in arrays else None
        return cls(signals, waves, arrays["variance"])


def _bins_of_labels(values: Strings, labels: tuple[str, ...]) -> npt.NDArray[np.int64]:
    order = np.argsort(labels)
    known = np.array(labels)[order]
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[place] == values, order[place], len(labels))


def _fit(name: str, reference: Window) -> Signal | None:
    if name in CLASSES:
        values = reference.classes[name][reference.classes[name] != ""]
        if len(values) < LEAST_MEASURED:
            return None
        labels, counts = np.unique(values, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:MOST_LABELS]
        kept = [place for place in order if counts[place] >= LEAST_SHARE * len(values)] or [order[0]]
        return Signal(name, np.empty(0), tuple(map(str, labels[kept])), np.eye(len(kept) + 1))
    numbers = reference.numbers[name][np.isfinite(reference.numbers[name])]
    if len(numbers) < LEAST_MEASURED:
        return None
    inner = np.quantile(numbers, np.arange(1, BINS) / BINS, method="lower")
    ends = [np.nextafter(numbers.min(), -np.inf), numbers.max()]
    edges = np.unique(np.concatenate([inner, ends]))
    return Signal(name, edges, (), _table(np.bincount(np.searchsorted(edges, numbers), minlength=len(edges) + 1)))


def _table(histogram: npt.NDArray[np.int64]) -> Floats:
    """Return (bins, K): the mean rank of a bin in the reference, and whether a bin lies above each of a few cuts."""
    share = histogram / histogram.sum()
    up_to = np.cumsum(share)
    cuts = np.unique([np.argmin(np.abs(up_to[:-1] - level)) for level in LEVELS])
    common = [cut for cut in cuts if LEAST_SHARE <= up_to[cut] <= 1 - LEAST_SHARE]
    if not common:  # nearly always the same: whatever is above or below it
        usual = int(np.argmax(share))
        common = [cut for cut in (usual - 1, usual) if 0 <= cut < len(share) - 1]
    above = np.arange(len(share))[:, None] > np.array(common)
    return np.concatenate([(up_to - share / 2)[:, None], above], axis=1)
