"""``unmask evaluate``: a model on held-out text, under masks that never change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.measure import evaluate_model
from unmask.cli.pretrain import print_figures
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal
from unmask.corpus.directory import open_corpus
from unmask.evaluation.masked import HeldOut
from unmask.inference.resolve import resolve


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run directory.")],
    corpus: Annotated[Path | None, typer.Option(help="Another corpus than the one it was trained on.")] = None,
    split: Annotated[HeldOut, typer.Option(help="validation, or test: read the test split once.")] = "validation",
    documents: Annotated[int, typer.Option(min=1, help="How many held-out documents, at most.")] = 1000,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Measure a model on masks that never change."""
    terminal = Terminal(json=json, quiet=quiet)
    found = resolve(model)
    text = open_corpus(corpus or Path(found.origin["corpus"]["path"]))
    evaluation = evaluate_model(found, text, documents, split)
    terminal.emit(evaluation)
    frozen = evaluation["frozen"]
    terminal.result(f"{frozen['documents']:,} held-out documents, frozen set {frozen['fingerprint']}")
    print_figures(terminal, evaluation["mlm"])
