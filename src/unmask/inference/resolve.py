"""The one resolver: whatever names a model is turned into its parts here and nowhere else.

Reads no weights and needs no torch: an engine does that with what is found.
"""

from __future__ import annotations

from pathlib import Path

from unmask.corpus.tokenizer import load_tokenizer, vocabulary_of
from unmask.errors import ModelError
from unmask.inference.published import CONFIGURATION, from_folder, from_hub, is_hub_name
from unmask.inference.resolved import Resolved
from unmask.model.config import EncoderConfig
from unmask.runs import RunDirectory
from unmask.tasks.block import TaskBlock


def resolve(where: Path) -> Resolved:
    """Return the model that ``where`` names: a run directory, a folder in Hugging Face's form, ORG/NAME on its hub.

    Raises ModelError where it is none, or is not whole.
    """
    if (where / "run.json").is_file():
        return _from_run(RunDirectory(where))
    if (where / CONFIGURATION).is_file():
        return from_folder(where)
    if where.exists():
        raise ModelError(f"{where}: is not a model (there is no run.json in it, and no {CONFIGURATION})")
    if is_hub_name(where):
        return from_hub(str(where))
    raise ModelError(f"{where}: there is no such model; give a run, a Hugging Face folder, or ORG/NAME on its hub")


def _from_run(run: RunDirectory) -> Resolved:
    checkpoint, damaged = run.last_good_checkpoint()
    if checkpoint is None:
        why = damaged[0] if damaged else "it has no checkpoint yet"
        raise ModelError(f"{run.path}: has no model that can be used: {why}")
    state = run.state
    file = run.path / "tokenizer.json"
    tokenizer = load_tokenizer(file)
    origin = {"path": str(run.path), "kind": "run", "step": checkpoint.step, "corpus": state["corpus"]}
    if state["kind"] == "pretrain":
        origin["objective"] = run.settings["objective"]["name"]
    if (parent := state["parent"]) and "model_type" in parent:
        origin["model_type"] = parent["model_type"]
    return Resolved(
        config=EncoderConfig(**state["model"]["config"]),
        weights=(checkpoint.model,),
        tokenizer=tokenizer,
        tokenizer_file=file,
        vocabulary=vocabulary_of(tokenizer),
        origin=origin,
        task=TaskBlock.from_plain(state["task"]) if state["task"] else None,
    )
