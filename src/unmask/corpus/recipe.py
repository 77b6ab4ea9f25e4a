"""What a corpus is made from: settings, sources, and who is told how the build gets on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Literal, Protocol, Self

from pydantic import Field, model_validator

from unmask.corpus.order import LONGEST_PATTERN, pattern_counts
from unmask.errors import SettingError
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
    words: Literal["pretokenizer", "segmenter"] = "pretokenizer"
    """Who says where words begin: the tokenizer's pre-tokenizer, or for Chinese, Japanese and Thai BudouX."""

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
    weight: float | None = None
    """Its share of the rows beside the other weights; None in all sources leaves each at its natural share."""


def check_sources(sources: Sequence[Source]) -> None:
    """Raise SettingError where sources share a name, or their weights make no mixture."""
    names = [source.name for source in sources]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SettingError(f"there are two sources of the name {twice}; leave one out, or name them apart")
    weights = [source.weight for source in sources if source.weight is not None]
    for source in sources:
        if source.weight is None and weights:
            raise SettingError(f"{source.name} has no weight and others have; write {source.name}=WEIGHT, or no weight")
        if source.weight is not None and not (source.weight > 0 and isfinite(source.weight)):
            raise SettingError(f"the weight of {source.where} must be a number above 0, got {source.weight:g}")
    if weights and not (counts := pattern_counts(weights)).all():
        name = names[int(counts.argmin())]
        raise SettingError(f"the weight of {name} is below 1 in {LONGEST_PATTERN:,} of all; raise it or leave it out")


class Progress(Protocol):
    """Told how a build gets on."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Take that ``done`` documents of ``total`` (None: not known yet) went through ``stage``."""


def quiet(stage: str, done: int, total: int | None) -> None:
    """Say nothing of the progress."""
