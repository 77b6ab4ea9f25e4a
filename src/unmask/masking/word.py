"""Whole words: all pieces of a word are hidden together or not at all (BERT's whole-word masking, 2019).

Words are those that the tokenizer's own pre-tokenizer found when the corpus was built, so nothing is guessed from the
form of the tokens. What bites: what shows in a word's place is drawn for each of its tokens apart, as in BERT.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unmask.batch import Rows


def word_places(rows: Rows) -> npt.NDArray[np.int32]:
    """Return (R, L) the place that decides over each token: its word's index in its document."""
    return rows.word
