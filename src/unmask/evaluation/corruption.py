"""Text with the errors that people and machines make, at a chosen rate. Pure: chance is a hash of text, kind and place.

What bites: a rate is a share of the characters that a kind can change, letters or spaces, and not of all characters.
An error that is there at a low rate is there at every higher one, so that rates can be compared.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np

from unmask.corpus.documents import document_id
from unmask.masking import noise

Kind = Literal["typos", "case", "whitespace", "accents", "homoglyphs"]
CORRUPTIONS: Final[tuple[Kind, ...]] = ("typos", "case", "whitespace", "accents", "homoglyphs")

_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_ACUTE = "\u0301"
_LATIN = "aceijopsxyABCEHIKMOPSTXY"
_CYRILLIC = (
    "\u0430\u0441\u0435\u0456\u0458\u043e\u0440\u0455\u0445\u0443"
    "\u0410\u0412\u0421\u0415\u041d\u0406\u041a\u041c\u041e\u0420\u0405\u0422\u0425\u0423"
)
_HOMOGLYPHS = dict(zip(_LATIN, _CYRILLIC, strict=True))


def _keys_beside(letter: str) -> str:
    """Return the letters left and right of ``letter`` on an English keyboard, nothing for another letter."""
    for row in _KEYBOARD:
        place = row.find(letter.lower())
        if place >= 0:
            near = row[max(0, place - 1) : place] + row[place + 1 : place + 2]
            return near.upper() if letter.isupper() else near
    return ""


def corrupted(
    text: str, kind: Kind, rate: float, *, protected: Sequence[tuple[int, int]] = (), seed: int = 0
) -> list[str]:
    """Return what stands for each character of ``text``: joined, the text with errors of ``kind`` at ``rate``.

    A character that ``kind`` can change is changed with probability ``rate``. The spans (start, end) that are
    ``protected`` stay as they are.
    """
    pieces = list(text)
    may_change = np.array([_CAN_CHANGE[kind](character) for character in text], bool)
    for start, end in protected:
        may_change[start:end] = False
    places = np.flatnonzero(may_change)
    name = np.frombuffer(document_id(text)[:8], "<u8").astype(np.uint64)
    key = noise.document_keys(seed, CORRUPTIONS.index(kind), name)
    hit = noise.uniform(noise.words(key, places, noise.HIDDEN)) < rate
    chosen = places[hit]
    which = noise.below(noise.words(key, chosen, noise.KIND), 1 << 16)
    change = _CHANGE[kind]
    for place, number in zip(chosen.tolist(), which.tolist(), strict=True):
        change(pieces, place, number, may_change)
    return pieces


Change = Callable[[list[str], int, int, "np.ndarray[tuple[int], np.dtype[np.bool_]]"], None]
"""Changes ``pieces`` at ``place``; ``number`` says how, ``may_change`` which neighbours are letters that may change."""


def _typo(pieces: list[str], place: int, number: int, may_change: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    """Swap with the next letter, drop, add a neighbouring key, or hit that key instead; what can not be is doubled."""
    letter, way, choice = pieces[place], number % 4, number // 4
    if not may_change[place]:  # it has changed places with the letter before
        return
    follows = place + 1 < len(pieces) and bool(may_change[place + 1])
    near = _keys_beside(letter)
    key = near[choice % len(near)] if near else letter
    if way == 0 and follows:
        pieces[place], pieces[place + 1] = pieces[place + 1], letter
        may_change[place + 1] = False
    elif way == 1 and (follows or (place > 0 and pieces[place - 1].isalpha())):
        pieces[place] = ""
    elif way == 3 and near:
        pieces[place] = key
    else:
        pieces[place] = letter + (key if way == 2 else letter)


def _case(pieces: list[str], place: int, *_: object) -> None:
    pieces[place] = pieces[place].swapcase()


def _whitespace(pieces: list[str], place: int, number: int, _: object) -> None:
    pieces[place] = "" if number % 2 else "  "


def _accent(pieces: list[str], place: int, *_: object) -> None:
    pieces[place] = _other_accent(pieces[place])


def _homoglyph(pieces: list[str], place: int, *_: object) -> None:
    pieces[place] = _HOMOGLYPHS[pieces[place]]


def _other_accent(letter: str) -> str:
    """Return ``letter`` without its accents, or with an acute one where it has none and there is such a letter."""
    bare = unicodedata.normalize("NFD", letter)
    if len(bare) > 1:
        return bare[0]
    accented = unicodedata.normalize("NFC", letter + _ACUTE)
    return accented if len(accented) == 1 else letter


_CAN_CHANGE: dict[Kind, Callable[[str], bool]] = {
    "typos": str.isalpha,
    "case": lambda character: character.swapcase() != character,
    "whitespace": " ".__eq__,
    "accents": lambda character: character.isalpha() and _other_accent(character) != character,
    "homoglyphs": _HOMOGLYPHS.__contains__,
}
_CHANGE: dict[Kind, Change] = {
    "typos": _typo,
    "case": _case,
    "whitespace": _whitespace,
    "accents": _accent,
    "homoglyphs": _homoglyph,
}
