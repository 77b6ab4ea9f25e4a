"""What a corpus is made from: settings, sources, and who is told how the build gets on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Self

from pydantic import Field, model_validator

from unmask.settings import OpenShare, Settings


class CorpusSettings(Settings):
    """How sources become documents and splits."""

    document: Literal["file", "paragraph", "line"] = "paragraph"
    """What is one document of a text file; paragraphs end at a blank line."""
    field: str = "text"
    """The field of a jsonl, csv or parquet row that holds the text."""
    validation: OpenShare = 0.05
    """Share of the documents that goes to validation."""
    test: OpenShare = 0.05
    """Share of the documents that goes to test."""
    near_duplicates: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the smaller document's word 8-grams from which two go to the same split; 1 leaves it at exact copies."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation and test leave nothing to train on, {self.validation} + {self.test} of 1")
        return self


@dataclass(frozen=True, slots=True)
class Source:
    """A source of text and its part in the mixture."""

    name: str
    where: str
    """A file, folder, glob, ``-`` or ``docstrings``."""
    weight: float = 1.0


class Progress(Protocol):
    """Told how a build gets on."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Take that ``done`` documents of ``total`` (None: not known yet) went through ``stage``."""


def quiet(stage: str, done: int, total: int | None) -> None:
    """Say nothing of the progress."""
