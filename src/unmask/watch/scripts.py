"""In which script a text is written, by the blocks of Unicode that its letters are in.

What bites: this tells scripts and not languages, and French from English not at all. Digits, signs and spaces belong to
no script and are not counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

_BLOCKS: Final = (
    (0x0041, 0x005A, "latin"),
    (0x0061, 0x007A, "latin"),
    (0x00AA, 0x00AA, "latin"),
    (0x00BA, 0x00BA, "latin"),
    (0x00C0, 0x00D6, "latin"),
    (0x00D8, 0x00F6, "latin"),
    (0x00F8, 0x02AF, "latin"),
    (0x0370, 0x03FF, "greek"),
    (0x0400, 0x052F, "cyrillic"),
    (0x0530, 0x058F, "armenian"),
    (0x0590, 0x05FF, "hebrew"),
    (0x0600, 0x06FF, "arabic"),
    (0x0750, 0x077F, "arabic"),
    (0x0870, 0x08FF, "arabic"),
    (0x0900, 0x097F, "devanagari"),
    (0x0980, 0x09FF, "bengali"),
    (0x0A00, 0x0A7F, "gurmukhi"),
    (0x0A80, 0x0AFF, "gujarati"),
    (0x0B00, 0x0B7F, "oriya"),
    (0x0B80, 0x0BFF, "tamil"),
    (0x0C00, 0x0C7F, "telugu"),
    (0x0C80, 0x0CFF, "kannada"),
    (0x0D00, 0x0D7F, "malayalam"),
    (0x0D80, 0x0DFF, "sinhala"),
    (0x0E00, 0x0E7F, "thai"),
    (0x0E80, 0x0EFF, "lao"),
    (0x0F00, 0x0FFF, "tibetan"),
    (0x1000, 0x109F, "burmese"),
    (0x10A0, 0x10FF, "georgian"),
    (0x1100, 0x11FF, "hangul"),
    (0x1200, 0x139F, "ethiopic"),
    (0x1780, 0x17FF, "khmer"),
    (0x1800, 0x18AF, "mongolian"),
    (0x1C80, 0x1C8F, "cyrillic"),
    (0x1C90, 0x1CBF, "georgian"),
    (0x1E00, 0x1EFF, "latin"),
    (0x1F00, 0x1FFF, "greek"),
    (0x2C60, 0x2C7F, "latin"),
    (0x2DE0, 0x2DFF, "cyrillic"),
    (0x3040, 0x30FF, "kana"),
    (0x3130, 0x318F, "hangul"),
    (0x31F0, 0x31FF, "kana"),
    (0x3400, 0x4DBF, "han"),
    (0x4E00, 0x9FFF, "han"),
    (0xA640, 0xA69F, "cyrillic"),
    (0xA720, 0xA7FF, "latin"),
    (0xAC00, 0xD7FF, "hangul"),
    (0xF900, 0xFAFF, "han"),
    (0xFB1D, 0xFB4F, "hebrew"),
    (0xFB50, 0xFDFF, "arabic"),
    (0xFE70, 0xFEFE, "arabic"),
    (0xFF21, 0xFF3A, "latin"),
    (0xFF41, 0xFF5A, "latin"),
    (0xFF66, 0xFF9D, "kana"),
    (0x20000, 0x3FFFF, "han"),
)
NAMES: Final = tuple(dict.fromkeys(name for _, _, name in _BLOCKS))
_FIRST: Final = np.array([first for first, _, _ in _BLOCKS])
_LAST: Final = np.array([last for _, last, _ in _BLOCKS])
_NUMBER: Final = np.array([NAMES.index(name) for _, _, name in _BLOCKS])
_LATIN_LETTER: Final = re.compile("[A-Za-z]")


def scripts_of(texts: Sequence[str]) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64]]:
    """Return (N,) the script that most letters of each text are of, and (N,) the share of letters that are of others.

    "" and NaN where a text has no letter of a script that is known here.
    """
    names = np.array(["latin" if _LATIN_LETTER.search(text) else "" for text in texts], dtype=np.str_)
    names = names.astype(f"U{max(map(len, NAMES))}")
    others = np.where(names == "", np.nan, 0.0)
    mixed = [n for n, text in enumerate(texts) if not text.isascii()]  # most texts are plain, and done by now
    if mixed:
        counts = _letters([texts[n] for n in mixed])
        total, most = counts.sum(1), counts.max(1)
        names[mixed] = np.where(total > 0, np.array(NAMES)[counts.argmax(1)], "")
        others[mixed] = np.where(total > 0, 1 - most / np.maximum(total, 1), np.nan)
    return names, others


def _letters(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return (N, S) how many letters of each script every text has."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
    text = np.repeat(np.arange(len(texts)), [len(one) for one in texts])
    block = np.searchsorted(_FIRST, points, side="right") - 1
    known = (block >= 0) & (points <= _LAST[block])
    cells = text[known] * len(NAMES) + _NUMBER[block[known]]
    return np.bincount(cells, minlength=len(texts) * len(NAMES)).reshape(len(texts), len(NAMES))
