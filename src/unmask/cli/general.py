"""General text that a run does not learn from, looked at while it learns other text: what does it forget?

What bites: its documents must be cut by the tokenizer of the run, new words included, or before and after would not be
the same positions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from unmask.cli.corpus import open_or_build
from unmask.corpus.build import CorpusSettings, Progress
from unmask.corpus.directory import Corpus, open_corpus
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.errors import DataError, RunError
from unmask.evaluation.asking import Precision
from unmask.evaluation.forgetting import BEFORE, forgetting, losses_file
from unmask.evaluation.masked import freeze, means, score_frozen
from unmask.inference.resolved import Resolved
from unmask.inference.torch_engine import read_model
from unmask.model.config import EncoderConfig
from unmask.model.heads import MaskedLM
from unmask.runs import RunDirectory


def open_general(where: str, corpus: Corpus, settings: CorpusSettings, progress: Progress) -> Corpus:
    """Return the corpus directory ``where``, or that of the text ``where``, cut by the tokenizer of ``corpus``.

    Raises DataError where a directory was made with another one.
    """
    tokenizer = corpus.directory / "tokenizer.json"
    if not (Path(where) / "manifest.json").is_file():
        return open_or_build(where, settings, TokenizerSettings(path=tokenizer), progress)
    general = open_corpus(Path(where))
    if general.manifest.tokenizer_fingerprint != corpus.manifest.tokenizer_fingerprint:
        what = f"was made with another tokenizer than {corpus.directory}; build it with tokenizer.path={tokenizer}"
        raise DataError(where, f"{what}, or give its text")
    return general


def general_again(run: RunDirectory) -> Corpus | None:
    """Return the general text of ``run``, None where it has none. Raises UserError where it is another one now."""
    recorded = run.state.get("general")
    if recorded is None:
        return None
    general = open_corpus(Path(recorded["path"]))
    if general.fingerprint != recorded["fingerprint"]:
        raise RunError(f"{general.directory}: is not the general text that {run.path} was started with; bring it back")
    return general


def named(corpus: Corpus) -> dict[str, str]:
    """Return what run.json says of a corpus."""
    return {"path": str(corpus.directory.resolve()), "fingerprint": corpus.fingerprint}


def watching(
    corpus: Corpus, general: Corpus | None, documents: int, precision: Precision, config: EncoderConfig
) -> Callable[[nn.Module], dict[str, Any]]:
    """Return what a run looks at on its way: a model's averages on ``documents`` held-out documents of each."""
    watched = freeze(corpus, documents, config=config)
    beside = None if general is None else freeze(general, documents, config=config)

    def look(model: nn.Module) -> dict[str, Any]:
        line = means(score_frozen(model, watched, precision))
        return line if beside is None else {**line, "general": means(score_frozen(model, beside, precision))}

    return look


def losses_before(model: MaskedLM, general: Corpus | None, documents: int) -> dict[str, bytes]:
    """Return, by its name, the file of what ``model`` loses on ``general`` before the first step, or nothing."""
    if general is None:
        return {}
    return {BEFORE: losses_file(score_frozen(model, freeze(general, documents, config=model.config)))}


def forgotten(run: RunDirectory, found: Resolved, general: Corpus | None, documents: int) -> dict[str, Any]:
    """Return the part of an evaluation that says what ``run``, now ``found``, forgot, or nothing."""
    if general is None:
        return {}
    frozen = freeze(general, documents, config=found.config)
    after = score_frozen(read_model(found), frozen)
    return {"general": {**named(general), **forgetting(frozen, (run.path / BEFORE).read_bytes(), after)}}
