"""BERT's rule: every token for itself (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unmask.batch import Rows


def token_places(rows: Rows) -> npt.NDArray[np.int32]:
    """Return (R, L) the place that decides over each token: its offset in its document."""
    return rows.offset
