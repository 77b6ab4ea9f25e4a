"""What a recipe hides in truth: effective rates, by what a token is and where it stands.

A rate is compared with the one that was in force over the same tokens. What bites: tokens of one word are hidden
together, so errors are those of windows, whose masks are independent; counting tokens would find faults everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.batch import KINDS, Rows, positions_in
from unmask.masking.mask import Masked, MaskingSettings
from unmask.masking.span import TOGETHER

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
    ``kept``, what the recipe asks to select as ``recipe``, and ``error``, the standard error of ``selected`` over
    windows; ``is_off`` says that one of the four is more than SUSPICIOUS errors away. ``window_shares`` are the shares
    of tokens that are selected in a window, at the 5th, 50th and 95th of 100 windows.
    """
    ordinary = ~rows.special
    row = np.broadcast_to(np.arange(len(rate))[:, None], ordinary.shape)[ordinary]
    _, window = np.unique(row * (rows.segment.shape[1] + 1) + rows.segment[ordinary], return_inverse=True)
    mix = {"masked": settings.mask_replace_prob, "random": settings.random_replace_prob}
    mix["kept"] = max(0.0, 1 - sum(mix.values()))
    words, kind, wanted = _words(rows), masked.kind[ordinary], rate[row]
    word, words_together = words[ordinary], TOGETHER if settings.unit == "span" else 1.0

    def cell(chosen: Bools) -> dict[str, Any]:
        return _cell(kind[chosen], wanted[chosen], window[chosen], word[chosen], words_together, mix)

    groups = {
        "word_length": _by_word_length(np.bincount(words.ravel())[word]),
        "frequency": _by_frequency(counts[rows.input_ids[ordinary]]),
        "position": _by_position(rows, ordinary),
        "source": ((name, source[row] == number) for number, name in enumerate(source_names)),
    }
    shares = np.bincount(window, weights=kind >= 0) / np.bincount(window) if len(window) else np.zeros(1)
    return {
        **cell(np.ones(len(kind), bool)),
        "mix": mix,
        "windows": len(shares),
        "windows_unasked": float((shares == 0).mean()),
        "window_shares": np.quantile(shares, (0.05, 0.5, 0.95)).tolist(),
        "by": {
            group: [{"name": name, **cell(chosen)} for name, chosen in parts if chosen.any()]
            for group, parts in groups.items()
        },
    }


def _cell(
    kind: npt.NDArray[np.int8],
    wanted: npt.NDArray[np.float64],
    window: npt.NDArray[np.integer],
    word: npt.NDArray[np.integer],
    words_together: float,
    mix: dict[str, float],
) -> dict[str, Any]:
    """Return the rates of tokens of ``kind`` (N,), which was to be selected at the rates ``wanted`` (N,).

    Where little was expected and nothing came, windows do not differ and their error is too small. What chance does is
    then at least what it does to whole words, of which ``words_together`` are hidden at once.
    """
    tokens = max(1, len(kind))
    asked = {"selected": (kind >= 0, wanted)}
    asked |= {name: (kind == number, wanted * mix[name]) for number, name in enumerate(KINDS)}
    together = words_together * (np.bincount(word)[word] if len(word) else word)  # tokens in this cell, by words
    errors, off = {}, False
    for name, (found, rate) in asked.items():
        surplus = np.bincount(window, weights=found - rate) if len(kind) else np.zeros(1)
        errors[name] = float(np.sqrt((surplus**2).sum()))
        by_words = float(np.sqrt((rate * (1 - rate) * together).sum()))
        off |= abs(float(surplus.sum())) > SUSPICIOUS * max(errors[name], by_words)
    return {
        "tokens": len(kind),
        **{name: float(found.sum()) / tokens for name, (found, _) in asked.items()},
        "recipe": float(wanted.sum()) / tokens,
        "error": errors["selected"] / tokens,
        "is_off": off,
    }


def _words(rows: Rows) -> npt.NDArray[np.int64]:
    """Return (R, L) a number for each word; special tokens have numbers of their own."""
    begins = np.ones(rows.word.shape, bool)
    begins[:, 1:] = (rows.word[:, 1:] != rows.word[:, :-1]) | (rows.segment[:, 1:] != rows.segment[:, :-1])
    begins |= rows.special
    begins[:, 1:] |= rows.special[:, :-1]
    return (np.cumsum(begins.ravel()) - 1).reshape(begins.shape)


def _by_word_length(length: npt.NDArray[np.integer]) -> Iterator[tuple[str, Bools]]:
    """Yield the tokens of words of 1, 2, ... tokens."""
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
    yield f"document's first {EDGE}", of_document
    yield f"later window's first {EDGE}", first & ~of_document
    yield "in between", ~(first | last)
    yield f"window's last {EDGE}", last


PARTS = {
    "word_length": "Word length",
    "frequency": "Times seen in train",
    "position": "Position",
    "source": "Source",
}
"""What each part of ``by`` is called."""
