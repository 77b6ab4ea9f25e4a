"""A unit of hiding: most are a function from rows to the place whose chance decides over each token.

Tokens of one document with the same place are hidden together or not at all. What bites: a place must follow from the
document alone (``offset``, ``word``, ``input_ids``), never from where in the row it stands: masks would then change
with the packing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from unmask.batch import Rows, runs_of
from unmask.errors import SettingError
from unmask.masking import noise

Unit: TypeAlias = Callable[[Rows], npt.NDArray[np.integer]]

Choice: TypeAlias = tuple[npt.NDArray[np.bool_], npt.NDArray[np.integer]]
"""(R, L) which tokens are hidden, and the place whose chance decides what they show instead."""

Choose: TypeAlias = Callable[[Rows, int, npt.NDArray[np.integer], npt.NDArray[np.float64]], Choice]
"""From rows, seed, epoch (R,) and rate (R,) to what is hidden; by place, the rate may be (R, L) as well."""


def by_place(unit: Unit) -> Choose:
    """Return the choice that hides what has the same place in a document together, each place at the rate."""

    def choose(rows: Rows, seed: int, epoch: npt.NDArray[np.integer], rate: npt.NDArray[np.float64]) -> Choice:
        start, size = runs_of(rows.document)
        row = start // rows.document.shape[1]
        keys = np.repeat(noise.document_keys(seed, epoch[row], rows.document.ravel()[start]), size)
        chance = noise.uniform(noise.words(keys, unit(rows).ravel(), noise.HIDDEN))
        hidden = chance.reshape(rows.document.shape) < rate.reshape(len(rate), -1)
        hidden &= ~rows.special
        return hidden, rows.offset

    return choose


def name_of(unit: Unit) -> str:
    """Return the name that a run remembers a user's unit by."""
    return str(getattr(unit, "__qualname__", type(unit).__qualname__))


def checked(unit: Unit) -> Unit:
    """Return a user's ``unit`` that raises SettingError where its answer is not (R, L) whole numbers."""

    def places(rows: Rows) -> npt.NDArray[np.integer]:
        found = np.asarray(unit(rows))
        if found.shape != rows.offset.shape or not np.issubdtype(found.dtype, np.integer):
            raise SettingError(
                f"masking_unit {name_of(unit)} must return whole numbers of the shape {rows.offset.shape} of its rows, "
                f"got {found.dtype} of the shape {found.shape}"
            )
        return found

    return places
