"""A unit of hiding: a function from rows to the place whose chance decides over each token.

Tokens of one document with the same place are hidden together or not at all. What bites: a place must follow from the
document alone (``offset``, ``word``, ``input_ids``), never from where in the row it stands; else masks change with packing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from unmask.batch import Rows
from unmask.errors import SettingError

Unit: TypeAlias = Callable[[Rows], npt.NDArray[np.integer]]


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
