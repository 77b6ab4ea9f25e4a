"""What a recipe hides in truth: effective rates, by what a token is and where it stands.

A rate is compared with the one that was in force over the same tokens. What bites: tokens of one word are hidden
together, so errors are those of documents, whose masks are independent; counting tokens would find faults everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.batch import KINDS, Rows, positions_in
from unmask.masking.mask import Masked, MaskingSettings

Bools = npt.NDArray[np.bool_]

SUSPICIOUS = 4.5
"""Standard errors from the recipe's rate at which a cell is marked: one cell in 150,000 by chance."""

LONG_WORD = 5
"""Words of so many tokens and more are told together."""

FREQUENCIES = (0, 1, 10, 100, 1_000, 10_000, 100_000)
"""Where the buckets of how often a token occurs in the training text begin."""

EDGE = 4
"""Tokens at each end of a window that are told apart."""


def effective_rates(
    rows: Rows,
    masked: Masked,
    settings: MaskingSettings,
    rate: npt.NDArray[np.float64],
    *,
    counts: npt.NDArray[np.integer],
    source: npt.NDArray[np.integer],
    source_names: Sequence[str],
) -> dict[str, Any]:
    """Return the effective rates of ``masked`` rows: of all ordinary tokens, and of parts of them under ``by``.

    ``rate`` (R,) was in force at each row, ``counts`` (V,) is how often each token occurs in train, ``source`` (R,) is
    the number of each row's source. A cell holds ``tokens``, the shares ``selected``, ``masked``, ``random`` and
    ``kept``, what the recipe asks for as ``recipe``, and ``error``, the standard error of ``selected`` over documents;
    ``is_off`` says that the two are more than SUSPICIOUS errors apart.
    """
    ordinary = ~rows.special
    _, document = np.unique(rows.document[ordinary], return_inverse=True)
    row = np.broadcast_to(np.arange(len(rate))[:, None], ordinary.shape)[ordinary]
    kind, wanted = masked.kind[ordinary], rate[row]

    def cell(name: str, chosen: Bools) -> dict[str, Any]:
        return {"name": name, **_cell(kind[chosen], wanted[chosen], document[chosen])}

    groups = {
        "word_length": _by_word_length(rows, ordinary),
        "frequency": _by_frequency(counts[rows.input_ids[ordinary]]),
        "position": _by_position(rows, ordinary),
        "source": ((name, source[row] == number) for number, name in enumerate(source_names)),
    }
    window = np.arange(len(rate))[:, None] * (rows.segment.shape[1] + 1) + rows.segment  # a number for each window
    windows, asked = np.unique(window[ordinary]), np.unique(window[masked.kind >= 0])
    return {
        **_cell(kind, wanted, document),
        "mix": [settings.mask_replace_prob, settings.random_replace_prob],
        "windows": len(windows),
        "windows_unasked": 1 - len(asked) / max(1, len(windows)),
        "by": {
            group: [cell(name, chosen) for name, chosen in parts if chosen.any()] for group, parts in groups.items()
        },
    }


def _cell(
    kind: npt.NDArray[np.int8], wanted: npt.NDArray[np.float64], document: npt.NDArray[np.integer]
) -> dict[str, Any]:
    """Return the rates of tokens of ``kind`` (N,), which was to be selected at the rates ``wanted`` (N,)."""
    tokens = max(1, len(kind))
    shares = {name: float((kind == number).sum()) / tokens for number, name in enumerate(KINDS)}
    selected, recipe = float((kind >= 0).sum()) / tokens, float(wanted.sum()) / tokens
    surplus = np.bincount(document, weights=(kind >= 0) - wanted) if len(kind) else np.zeros(1)
    error = float(np.sqrt((surplus**2).sum())) / tokens
    return {
        "tokens": len(kind),
        "selected": selected,
        **shares,
        "recipe": recipe,
        "error": error,
        "is_off": abs(selected - recipe) > SUSPICIOUS * error,
    }


def _by_word_length(rows: Rows, ordinary: Bools) -> Iterator[tuple[str, Bools]]:
    """Yield the tokens of words of 1, 2, ... tokens."""
    begins = np.ones(rows.word.shape, bool)
    begins[:, 1:] = (rows.word[:, 1:] != rows.word[:, :-1]) | (rows.segment[:, 1:] != rows.segment[:, :-1])
    begins |= rows.special
    begins[:, 1:] |= rows.special[:, :-1]
    word = np.cumsum(begins.ravel()) - 1
    length = np.bincount(word)[word].reshape(rows.word.shape)[ordinary]
    for size in range(1, LONG_WORD):
        yield f"{size} token{'s' * (size > 1)}", length == size
    yield f"{LONG_WORD} tokens or more", length >= LONG_WORD


def _by_frequency(count: npt.NDArray[np.integer]) -> Iterator[tuple[str, Bools]]:
    """Yield the tokens that occur so and so often in the training text."""
    for low, high in zip(FREQUENCIES, [*FREQUENCIES[1:], None], strict=True):
        name = f"{low:,} or more" if high is None else f"{low:,} to {high - 1:,}"
        yield (name if high != low + 1 else f"{low:,}"), (count >= low) & (count < high if high else True)


def _by_position(rows: Rows, ordinary: Bools) -> Iterator[tuple[str, Bools]]:
    """Yield the tokens at the beginning of documents, and at both ends and in the middle of windows."""
    place = positions_in(rows.segment)
    size = np.zeros_like(place)
    for row, segment in enumerate(rows.segment):
        size[row] = np.bincount(segment)[segment]
    first, last = place[ordinary] <= EDGE, (size - 1 - place)[ordinary] <= EDGE
    of_document = rows.offset[ordinary] < EDGE
    yield f"first {EDGE} of a document", of_document
    yield f"first {EDGE} of a later window", first & ~of_document
    yield "in between", ~(first | last)
    yield f"last {EDGE} of a window", last


PARTS = {
    "word_length": "Word length",
    "frequency": "Occurrences in the training text",
    "position": "Position",
    "source": "Source",
}
"""What each part of ``by`` is called."""
