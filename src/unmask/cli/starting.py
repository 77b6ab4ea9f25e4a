"""What a pre-training starts from: weights drawn at random, or a model that is there already.

What bites: a published model that is read with a wrong tokenizer, in the wrong case or by a wrong table still runs, and
learns its way out of it at the cost of all it knew. So it has to beat the unigram line before the first step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from unmask import files
from unmask.corpus.directory import Corpus
from unmask.corpus.growth import pieces_of_new
from unmask.corpus.tokenizer import TokenizerSettings, tokenizer_fingerprint
from unmask.errors import ModelError, RunError, SettingError
from unmask.evaluation.masked import FROZEN_WINDOW
from unmask.inference.resolve import resolve
from unmask.inference.resolved import CARRIED, Resolved
from unmask.inference.torch_engine import convert, read_model
from unmask.model.config import EncoderConfig, ModelSettings
from unmask.model.config import resolve as resolve_shape
from unmask.model.growth import grown_config, grown_masked_lm
from unmask.model.heads import MaskedLM, new_masked_lm
from unmask.objectives import ObjectiveSettings

MODEL = "A run, a Hugging Face folder, or ORG/NAME on its hub."
"""What a command says of the model that it wants."""

SHOWN = 5
"""New words that are shown of all that a vocabulary is grown by."""

LEAST_AHEAD = 0.5
"""Nats by which a model must beat the unigram line on the corpus before it may go on from there."""


def tokenizer_settings(asked: TokenizerSettings, corpus: str, base: Resolved | None) -> TokenizerSettings:
    """Return the settings for a corpus that may have to be built: ``base`` brings the tokenizer if none is named."""
    if base is None or asked.model_fields_set - {"grow"} or (Path(corpus) / "manifest.json").is_file():
        return asked
    return TokenizerSettings(path=base.tokenizer_file, **asked.model_dump(include={"grow"}, exclude_unset=True))


def require_same_tokenizer(found: Resolved, corpus: Corpus) -> None:
    """Raise ModelError where ``corpus`` was cut into tokens by another tokenizer than that of ``found``."""
    if tokenizer_fingerprint(found.tokenizer) != corpus.manifest.tokenizer_fingerprint:
        raise _another_tokenizer(found, corpus)


def _another_tokenizer(found: Resolved, corpus: Corpus) -> ModelError:
    return ModelError(
        f"{corpus.directory}: was made with another tokenizer than the model; build it with the model's: "
        f"unmask corpus build SOURCE --out DIR tokenizer.path={found.tokenizer_file}"
    )


def new_words(base: Resolved, corpus: Corpus) -> list[list[int]]:
    """Return the pieces of each word that ``corpus`` has as one token and ``base`` has not, in the order of ids.

    Raises ModelError where the tokenizer of ``corpus`` is not that of ``base``, with or without new words.
    """
    pieces = pieces_of_new(base.tokenizer, corpus.tokenizer)
    if pieces is None:
        raise _another_tokenizer(base, corpus)
    return pieces


def shape_for(
    corpus: Corpus,
    model: ModelSettings,
    row_length: int,
    base: Resolved | None,
    objective: ObjectiveSettings,
) -> EncoderConfig:
    """Return the encoder to train, that of ``base`` where there is one, read as ``objective`` has it.

    It must take the rows. Raises SettingError for settings that say otherwise than ``base`` or ``objective``,
    ModelError where the tokenizer of ``base`` is another one.
    """
    if base is None:
        config = resolve_shape(model, corpus.vocabulary.size, corpus.vocabulary.pad_id)
    else:
        new_words(base, corpus)
        config = grown_config(base.config, corpus.vocabulary.size)
        for name in sorted(model.model_fields_set):
            if getattr(config, name, None) != getattr(model, name):
                raise SettingError(
                    f"model.{name} is {getattr(model, name)!r}, and {base.origin['path']} brings a shape of its own; "
                    "leave it out"
                )
    config.check_row_length(max(row_length, FROZEN_WINDOW))
    return read_by(config, objective, is_asked="is_causal" in model.model_fields_set)


def read_by(config: EncoderConfig, objective: ObjectiveSettings, *, is_asked: bool) -> EncoderConfig:
    """Return ``config`` with the direction that it is read in, and where it answers, by ``objective``.

    Only mlm leaves the direction to ``model.is_causal``: raises SettingError where another ``is_asked`` for it.
    """
    if is_asked and objective.name != "mlm":
        raise SettingError(
            f"objective.name={objective.name} says by itself which tokens see which; leave out model.is_causal"
        )
    is_causal = config.is_causal and not config.predicts_next if objective.name == "mlm" else objective.name == "clm"
    return replace(config, is_causal=is_causal, predicts_next=objective.predicts_next)


def first_model(config: EncoderConfig, corpus: Corpus, seed: int, base: Resolved | None) -> MaskedLM:
    """Return the model as it is before the first step: that of ``base`` grown by the new words of ``corpus``."""
    if base is None:
        return new_masked_lm(config, torch.Generator().manual_seed(seed))
    as_trained = replace(base.config, is_causal=config.is_causal, predicts_next=config.predicts_next)
    model = read_model(replace(base, config=as_trained))
    pieces = new_words(base, corpus)
    return grown_masked_lm(model, base.vocabulary.size, pieces) if pieces else model


def require_sense(model: MaskedLM, base: Resolved, corpus: Corpus, measured: Mapping[str, Any]) -> str:
    """Return in words where ``model``, read from ``base``, starts, as ``measured`` on watched documents of ``corpus``.

    Raises ModelError where it is not LEAST_AHEAD better than the unigram line.
    """
    grown = _grown_in_words(base, corpus)
    if (model.config.is_causal, model.config.predicts_next) != (base.config.is_causal, base.config.predicts_next):
        return f"{base.origin['path']} was trained to another objective, so how well it does this one is not checked"
    if model.has_new_head:
        return f"{base.origin['path']} came without a head: a new one starts from chance, so nothing is checked"
    masked, unigram = measured["masked"], measured["unigram"]["masked"]
    if not masked <= unigram - LEAST_AHEAD:
        raise ModelError(
            f"{base.origin['path']}: loses {masked:.2f} nats at [MASK] on this corpus before training, and guessing by "
            f"frequency {unigram:.2f}: it was made for other text or another tokenizer or case, or was hardly trained"
            f"{', or is grown by too much at once' if grown else ''}"
        )
    return f"from {base.origin['path']}{grown}: {masked:.2f} nats at [MASK], unigram {unigram:.2f}"


def _grown_in_words(base: Resolved, corpus: Corpus) -> str:
    """Return how much larger the vocabulary of ``corpus`` is than that of ``base``, and what was worth most in it."""
    new = range(base.vocabulary.size, corpus.vocabulary.size)
    if not new:
        return ""
    shown = ", ".join(corpus.tokenizer.decode([number]).strip() for number in new[:SHOWN])
    return f", vocabulary grown by {len(new):,} ({shown}{', ...' if len(new) > SHOWN else ''})"


def parent_of(base: Resolved | None) -> dict[str, Any] | None:
    """Return what run.json says of the model that a run starts from."""
    if base is None:
        return None
    path = Path(base.origin["path"])
    return {**base.origin, "path": str(path.resolve()) if path.exists() else str(path), "weights": _digest(base)}


def parent_again(parent: Mapping[str, Any]) -> Resolved:
    """Return the model that a run was started from. Raises RunError where it is not the same any more."""
    base = resolve(Path(parent["path"]))
    if _digest(base) != parent["weights"]:
        raise RunError(f"{parent['path']}: is not as it was when the run started from it; start a new run with --out")
    return base


def carried_file(base: Resolved | None) -> dict[str, bytes]:
    """Return, by its name, the file of what ``base`` carries along without using it, or nothing."""
    if base is None:
        return {}
    if base.model_type is None:
        from_run = Path(base.origin["path"]) / CARRIED
        return {CARRIED: from_run.read_bytes()} if from_run.is_file() else {}
    carried = convert(base).carried
    return {CARRIED: save({name: value.contiguous() for name, value in carried.items()})} if carried else {}


def _digest(base: Resolved) -> str:
    return blake2b("".join(map(files.digest, base.weights)).encode(), digest_size=16).hexdigest()
