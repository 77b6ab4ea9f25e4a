"""Passages of held-out text with the hidden words in colour and what the model put in their place.

What bites: a hidden word counts as found when the trimmed text of a guess equals its own; a guess is shown as the
tokenizer wrote it, so pieces of words look like pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from unmask.report.html import Json, number, objects, percent


@dataclass(frozen=True, slots=True)
class Guess:
    """A prediction: ``width`` is the length of its bar in percent, ``score`` its probability as text."""

    token: str
    width: float
    score: str
    right: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; a hidden one has its ``place`` in the passage (from 1), guesses, and what came of them."""

    before: str
    text: str
    after: str
    place: int | None = None
    guesses: Sequence[Guess] = ()
    probability: object = None
    """What the model gave to the hidden text itself, where that was measured."""

    @property
    def rank(self) -> int | None:
        """The rank of the right guess, from 1; None where no guess was right."""
        return next((rank for rank, guess in enumerate(self.guesses, 1) if guess.right), None)

    @property
    def outcome(self) -> str:
        """How it went: right at once, near (among the guesses) or missed."""
        return "missed" if self.rank is None else "right" if self.rank == 1 else "near"

    @property
    def verdict(self) -> str:
        """The outcome in words, so that it does not hang on colour."""
        if self.rank is None and number(self.probability) is not None:
            return f"✗ missed ({_probability(self.probability)})"
        if self.rank is None:
            return "✗ missed"
        return "✓ first guess" if self.rank == 1 else f"guess {self.rank} of {len(self.guesses)}"


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage, a block of a page; ``place`` counts passages from 1."""

    template: ClassVar[str] = "passage.html.j2"
    place: int
    pieces: Sequence[Piece]

    @property
    def hidden(self) -> list[Piece]:
        """The hidden pieces in reading order."""
        return [piece for piece in self.pieces if piece.place is not None]


def passages(fills: object) -> list[Passage]:
    """Return the passages of ``fills.json``; those in which nothing is hidden are left out."""
    found = ([*_pieces(objects(fill.get("pieces")))] for fill in objects(fills))
    return [
        Passage(place, pieces)
        for place, pieces in enumerate((p for p in found if any(piece.place for piece in p)), start=1)
    ]


def _pieces(pieces: Sequence[Json]) -> list[Piece]:
    made: list[Piece] = []
    hidden = 0
    for piece in pieces:
        text = str(piece.get("text", ""))
        if piece.get("hidden") is not True:
            made.append(Piece("", text, ""))
            continue
        hidden += 1
        word = text.strip()
        start = text.find(word)
        guesses = [_guess(prediction, word) for prediction in objects(piece.get("predictions"))]
        after = text[start + len(word) :]
        made.append(Piece(text[:start], word, after, hidden, guesses, piece.get("probability")))
    return made


def _guess(prediction: Json, word: str) -> Guess:
    token = str(prediction.get("token", "")).strip()
    share = min(max(number(prediction.get("probability")) or 0.0, 0.0), 1.0)
    return Guess(token, round(100 * share, 1), _probability(prediction.get("probability")), token == word)


def _probability(value: object) -> str:
    """Return a probability in two or three figures: 61 %, 4.2 %, under 0.1 %."""
    share = number(value)
    if share is not None and share < 0.001:
        return "under 0.1\u202f%"
    return percent(value, 0 if share is not None and share >= 0.1 else 1)
