"""The task block: all that a fine-tuned model must know of its task beside its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from unmask.errors import ModelError, did_you_mean

TaskName = Literal["classify", "tag", "answer", "embed"]
TASKS: tuple[TaskName, ...] = ("classify", "tag", "answer", "embed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBlock:
    """What stands under ``task`` in run.json and in unmask.json."""

    name: TaskName
    labels: tuple[str, ...] = ()
    """Names of the classes, or of the tags, in the order of the scores."""
    multi_label: bool = False
    """Whether a text may have several labels, or none."""
    scheme: str | None = None
    """How tags mark entities: BIO."""
    max_length: int = 128
    """Tokens in a window."""
    stride: int = 0
    """Tokens that neighbouring windows of one text share."""
    pooling: Literal["mean", "cls"] = "mean"
    """What stands for a text."""
    normalize: bool = False
    """Whether vectors of embed have length one."""
    temperature: float = 1.0
    """What scores are divided by before they become probabilities; fitted on development data."""
    threshold: float | None = None
    """Least probability of an answer (multi label: of each label); below it the model abstains."""
    null_margin: float | None = None
    """By how much an answer must beat no answer; None where every question has one."""

    @property
    def number(self) -> dict[str, int]:
        """The place of each label in the scores."""
        return {label: place for place, label in enumerate(self.labels)}

    def table(self, labels: Sequence[Sequence[str]]) -> npt.NDArray[np.bool_]:
        """Return (N, C) which of the block's labels each of N texts has."""
        number, found = self.number, np.zeros((len(labels), len(self.labels)), bool)
        for row, of_text in enumerate(labels):
            found[row, [number[label] for label in of_text]] = True
        return found

    def plain(self) -> dict[str, Any]:
        """Return the block as JSON writes it."""
        return {**asdict(self), "labels": list(self.labels)}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """Return the block that ``values`` describe. Raises ModelError for a name that no block has."""
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in values if name not in known]:
            raise ModelError(f"the task block has an unknown key {unknown[0]}{did_you_mean(unknown[0], known)}")
        if values.get("name") not in TASKS:
            raise ModelError(f"the task must be one of {', '.join(TASKS)}, got {values.get('name')!r}")
        return cls(**{**values, "labels": tuple(values.get("labels", ()))})
