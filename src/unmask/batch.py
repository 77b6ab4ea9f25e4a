"""The two typed values that cross from text to network: Rows (numpy) and Batch (torch).

Imports no torch, so that everything below the network runs without it. What bites: ``asked`` and what stands beside it
are padded to a closed length; ``targets`` is IGNORE_INDEX there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor, device

IGNORE_INDEX = -100
"""Label of a position where nothing is asked."""

MASKED, RANDOM, KEPT = 0, 1, 2
"""What a selected position shows: [MASK], a random token, or the token itself."""

KINDS = ("masked", "random", "kept")
"""Names of the three kinds, in the order of their numbers."""

NEXT = 3
"""Nothing is hidden: the token is asked for where only what stands before it is seen."""

KINDS_AND_NEXT = (*KINDS, "next")
"""Names of all four, where rows are read from left to right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Windows of documents packed into rows, before anything is hidden. All arrays are (R, L)."""

    input_ids: npt.NDArray[np.int32]
    segment: npt.NDArray[np.int32]
    """0 where padded, then 1, 2, ... along a row: one number a window."""
    document: npt.NDArray[np.uint64]
    """Low 64 bits of the id of the document that a token belongs to; 0 where padded."""
    offset: npt.NDArray[np.int32]
    """Place of the token in its document, special tokens not counted; 0 at special tokens and padding."""
    word: npt.NDArray[np.int32]
    """Index of the token's word in its document; 0 at special tokens and padding."""
    special: npt.NDArray[np.bool_]
    """True at [CLS], [SEP] and padding: never hidden."""

    def __post_init__(self) -> None:
        """Refuse arrays of unequal shape: a bug of ours."""
        shapes = {getattr(self, name).shape for name in self.__slots__}
        assert {len(shape) for shape in shapes} == {2}, f"rows of other than two dimensions: {shapes}"
        assert len(shapes) == 1, f"rows of unequal shape: {shapes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the network and the loss see of one micro-batch."""

    input_ids: Tensor
    """(R, L) int64, with [MASK] and random replacements in place."""
    segment: Tensor
    """(R, L) int32: 0 where padded, then 1, 2, ... along a row. Tokens see only their own segment."""
    positions: Tensor
    """(R, L) int64: place in the window, from 0 at [CLS]; 0 where padded."""
    labels: Tensor
    """(R, L) int64: the token that was there, IGNORE_INDEX where nothing is asked."""
    asked: Tensor
    """(M,) int64: flat places in (R, L) where answers are read, padded with 0 to a closed length: those of the labels,
    or in rows whose network predicts the next token the places before them."""
    targets: Tensor
    """(M,) int64: the labels that ``asked`` answers, IGNORE_INDEX at the padding."""
    kind: Tensor
    """(M,) int64: MASKED, RANDOM, KEPT or NEXT, by ``asked``, -1 at the padding."""
    num_asked: int
    """How many of the M are asked in truth."""
    token_type_ids: Tensor | None = None
    """(R, L) int64, for BERT's sentence pairs."""
    weights: Tensor | None = None
    """(M,) float32: weight of each asked position; 1 where absent."""
    source: Tensor | None = None
    """(R,) int64: the source that each row's text is from; 0 where absent."""
    num_sources: int = 1
    is_causal: Tensor | None = None
    """(R,) bool: rows in which a token sees only what stands before it; as the network is made where absent."""
    truth: Tensor | None = None
    """What a task's loss reads where one label a place does not say it: (R, C) float32 labels of texts that may have
    several, (R, 2) int64 first and last place of answers, (R / 2,) float32 scores of pairs."""

    def to(self, device: device) -> Batch:
        """Return the batch with its tensors on ``device``; itself where they are there already."""
        if self.input_ids.device == device:
            return self
        names = [field.name for field in fields(self) if not field.name.startswith("num_")]
        tensors = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})

    def split(self, rows: int) -> list[Batch]:
        """Return the batches that ``rows`` rows at a time make, each as if it had been collated by itself."""
        assert self.truth is None, "the truth of a task does not say which rows it is about"
        return [self._part(first, first + rows) for first in range(0, len(self.segment), rows)]

    def _part(self, first: int, end: int) -> Batch:
        from torch.nn.functional import pad

        width, rows = self.segment.shape[1], slice(first, end)
        asked = self.asked[: self.num_asked]
        inside = ((asked >= first * width) & (asked < end * width)).nonzero().squeeze(1)
        room = padded_length(len(inside)) - len(inside)

        def listed(values: Tensor, padding: int) -> Tensor:
            return pad(values[inside], (0, room), value=padding)

        return replace(
            self,
            input_ids=self.input_ids[rows],
            segment=self.segment[rows],
            positions=self.positions[rows],
            labels=self.labels[rows],
            asked=listed(self.asked - first * width, 0),
            targets=listed(self.targets, IGNORE_INDEX),
            kind=listed(self.kind, -1),
            num_asked=len(inside),
            token_type_ids=None if self.token_type_ids is None else self.token_type_ids[rows],
            weights=None if self.weights is None else listed(self.weights, 0),
            source=None if self.source is None else self.source[rows],
            is_causal=None if self.is_causal is None else self.is_causal[rows],
        )

    def source_tokens(self) -> Tensor:
        """Return (S,) how many places that are not padding the rows of each source hold."""
        filled = (self.segment > 0).sum(1)
        if self.source is None:
            return filled.sum(0, keepdim=True)
        return filled.new_zeros(self.num_sources).index_add(0, self.source, filled)


ASKED_MULTIPLE = 128
"""The list of asked positions is padded to a multiple of this, so that a compiled step sees few shapes."""


def padded_length(num_asked: int) -> int:
    """Return the length of the list in which ``num_asked`` positions are asked."""
    return max(1, -(-num_asked // ASKED_MULTIPLE)) * ASKED_MULTIPLE


def positions_in(segment: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return (R, L) each token's place in its own window, from 0; 0 where padded."""
    start, size = runs_of(segment)
    place = np.arange(segment.size)
    place -= np.repeat(start, size)
    place *= segment.ravel() > 0
    return place.reshape(segment.shape)


def runs_of(values: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where runs of equal ``values`` (R, L) begin, as flat places, and their sizes; a row ends every run."""
    flat = values.ravel()
    changes = np.ones(len(flat), bool)
    np.not_equal(flat[1:], flat[:-1], out=changes[1:])
    changes[:: max(1, values.shape[1])] = True
    start = np.flatnonzero(changes)
    return start, np.diff(start, append=len(flat))


def collate(
    *,
    input_ids: npt.NDArray[np.integer],
    segment: npt.NDArray[np.int32],
    labels: npt.NDArray[np.integer],
    kind: npt.NDArray[np.integer],
    source: npt.NDArray[np.integer] | None = None,
    num_sources: int = 1,
    weights: npt.NDArray[np.floating] | None = None,
    is_causal: npt.NDArray[np.bool_] | None = None,
    read_before: npt.NDArray[np.bool_] | bool = False,
) -> Batch:
    """Return the Batch of masked rows: all (R, L) but ``source``, ``is_causal`` and ``read_before`` (R,). Needs torch.

    ``read_before`` are the rows in which the place before a label answers for it. That is in the label's own window:
    a window's first token is special, and never asked for. Arrays are left as they are.
    """
    import torch

    where = np.flatnonzero(labels != IGNORE_INDEX)
    length = padded_length(len(where))
    asked, targets, kinds = np.zeros(length, np.int64), np.full(length, IGNORE_INDEX, np.int64), np.full(length, -1)
    asked[: len(where)] = where - np.broadcast_to(read_before, len(labels))[where // labels.shape[1]]
    targets[: len(where)] = labels.ravel()[where]
    kinds[: len(where)] = kind.ravel()[where]
    weighed = None if weights is None else np.pad(weights.ravel()[where], (0, length - len(where)))
    return Batch(
        input_ids=torch.from_numpy(input_ids.astype(np.int64)),
        segment=torch.from_numpy(segment.copy()),
        positions=torch.from_numpy(positions_in(segment)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        asked=torch.from_numpy(asked),
        targets=torch.from_numpy(targets),
        kind=torch.from_numpy(kinds),
        num_asked=len(where),
        source=None if source is None else torch.from_numpy(source.astype(np.int64)),
        num_sources=num_sources,
        weights=None if weighed is None else torch.from_numpy(weighed.astype(np.float32)),
        is_causal=None if is_causal is None else torch.from_numpy(is_causal),
    )
