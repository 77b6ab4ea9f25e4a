"""``unmask evaluate``: a model on held-out text, under masks that never change."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.corpus import training_corpus
from unmask.cli.figures import print_figures
from unmask.cli.measure import evaluate_model
from unmask.cli.starting import MODEL
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal
from unmask.corpus.directory import open_corpus
from unmask.errors import SettingError
from unmask.evaluation.masked import HeldOut
from unmask.inference.resolve import resolve


def evaluate_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    corpus: Annotated[Path | None, typer.Option(help="Another corpus than the one it was trained on.")] = None,
    split: Annotated[HeldOut, typer.Option(help="validation, or test: read the test split once.")] = "validation",
    documents: Annotated[int, typer.Option(min=1, help="How many held-out documents, at most.")] = 1000,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Measure a model on masks that never change."""
    terminal = Terminal(json=json, quiet=quiet)
    evaluation = evaluate(model, corpus, split=split, documents=documents)
    terminal.emit(evaluation)
    frozen = evaluation["frozen"]
    terminal.result(f"{frozen['documents']:,} held-out documents, frozen set {frozen['fingerprint']}")
    print_figures(terminal, evaluation["mlm"])
    terminal.next_step(f'unmask fill {model} "The [MASK] of the array."')


def evaluate(
    model: str | PathLike[str],
    corpus: str | PathLike[str] | None = None,
    *,
    split: HeldOut = "validation",
    documents: int = 1000,
) -> dict[str, Any]:
    """Return the unmask-evaluation of ``model`` on at most ``documents`` held-out documents.

    ``corpus`` is a corpus directory, by default the one the model was trained on. Losses are in nats. Raises ModelError
    where there is no such model or the corpus has another tokenizer, DataError where there is no such corpus.
    """
    found = resolve(Path(model))
    trained_on = found.origin.get("corpus")
    if corpus is not None:
        text = open_corpus(Path(corpus))
    elif trained_on is not None:
        text = training_corpus(Path(model), trained_on)
    else:
        raise SettingError(
            f"{model}: say on which text by --corpus DIR, built with its tokenizer: "
            f"unmask corpus build SOURCE --out DIR tokenizer.path={found.tokenizer_file}"
        )
    return evaluate_model(found, text, documents, split)
