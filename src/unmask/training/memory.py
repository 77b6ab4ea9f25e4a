"""The rows that memory holds at once: found by failing, halved until they fit, and then left as they are.

What bites: the sums of a step do not change, only their rounding. A later attempt must therefore cut the same steps in
the same way, so what was found stands in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from unmask.batch import Batch
from unmask.errors import RunError
from unmask.host import give_freed_memory_back


class RowsAtOnce:
    """How many rows go through the network at once where memory does not hold a whole micro-batch; 0 takes it whole."""

    def __init__(self, *, may_halve: bool = False) -> None:
        """Take micro-batches as they come, and where they do not fit, halve them or say so."""
        self.rows, self._may_halve = 0, may_halve

    def cut(self, micro_batches: Sequence[Batch]) -> list[Batch]:
        """Return the micro-batches, cut to what memory holds."""
        if not self.rows:
            return list(micro_batches)
        return [part for batch in micro_batches for part in batch.split(self.rows)]

    def halve(self, micro_batches: Sequence[Batch]) -> None:
        """Take half as many rows from now on as the largest of ``micro_batches`` has.

        Raises RunError where that is one, or where it is not for a process alone to decide.
        """
        most = self.rows or max(len(batch.segment) for batch in micro_batches)
        if not self._may_halve:
            raise RunError(f"memory does not hold {most} rows at once: set a lower training.micro_batch_rows")
        if most == 1:
            raise RunError(
                "memory does not hold one row: set training.gradient_checkpointing=true, a shorter "
                "training.row_length or a smaller model.preset"
            )
        self.rows = (most + 1) // 2
        give_freed_memory_back()  # what has the wrong size would leave no room for what has the right one
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def state(self) -> dict[str, Any]:
        """Return what a later attempt goes on from."""
        return {"micro_batch_rows": self.rows} if self.rows else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        self.rows = state.get("micro_batch_rows", 0)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Say whether ``error`` is torch's way to say that memory ran out; on CPU it has no class of its own.

    The library under its matrix products says that it could not create a primitive, and goes on saying so however few
    rows are tried after: that is not counted.
    """
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
