"""The one resolver: whatever names a model is turned into its parts here and nowhere else.

Reads no weights and needs no torch: an engine does that with what is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from unmask.corpus.tokenizer import Vocabulary, load_tokenizer, vocabulary_of
from unmask.errors import ModelError
from unmask.model.config import EncoderConfig
from unmask.runs import RunDirectory
from unmask.tasks.block import TaskBlock


@dataclass(frozen=True, slots=True)
class Resolved:
    """All that is needed to use a model."""

    config: EncoderConfig
    weights: Path
    """A safetensors file whose checksum holds."""
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    origin: dict[str, Any]
    """Where it comes from: path, kind, step, corpus."""
    task: TaskBlock | None = None
    """What it was fine-tuned to; None where it is a language model."""


def resolve(where: Path) -> Resolved:
    """Return the model that ``where`` names: a run directory. Raises ModelError where it is none."""
    if not where.exists():
        raise ModelError(f"{where}: there is no such model; give a run directory")
    if not (where / "run.json").is_file():
        raise ModelError(f"{where}: is not a run directory (there is no run.json in it)")
    return _from_run(RunDirectory(where))


def _from_run(run: RunDirectory) -> Resolved:
    checkpoint, damaged = run.last_good_checkpoint()
    if checkpoint is None:
        why = damaged[0] if damaged else "it has no checkpoint yet"
        raise ModelError(f"{run.path}: has no model that can be used: {why}")
    state = run.state
    tokenizer = load_tokenizer(run.path / "tokenizer.json")
    return Resolved(
        config=EncoderConfig(**state["model"]["config"]),
        weights=checkpoint.model,
        tokenizer=tokenizer,
        vocabulary=vocabulary_of(tokenizer),
        origin={"path": str(run.path), "kind": "run", "step": checkpoint.step, "corpus": state["corpus"]},
        task=TaskBlock.from_plain(state["task"]) if state["task"] else None,
    )
