"""Which split a document belongs to: decided by the name of its cluster of near duplicates, by nothing else.

No state and no order, so a corpus that grows keeps its splits, and a document's near duplicates follow it. The chance
is BLAKE2b under a key of its own: it has nothing in common with the noise of the masks or the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

SPLITS: Final = ("train", "validation", "test")
"""Names of the splits, in the order of their numbers."""

TRAIN, VALIDATION, TEST = 0, 1, 2

_KEY = b"unmask-split-1"


def split_of(clusters: Iterable[bytes], validation: float, test: float) -> npt.NDArray[np.uint8]:
    """Return (N,) the number of the split of each document.

    ``clusters`` are the smallest ids (16 bytes) of the documents' clusters, ``validation`` and ``test`` shares of 1. A
    document moves between splits only with a share or when its cluster gets a smaller id.
    """
    digests = (blake2b(cluster, digest_size=8, key=_KEY).digest() for cluster in clusters)
    words = np.fromiter((int.from_bytes(digest, "little") for digest in digests), dtype=np.uint64)
    place = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.where(place < test, TEST, np.where(place < test + validation, VALIDATION, TRAIN)).astype(np.uint8)
