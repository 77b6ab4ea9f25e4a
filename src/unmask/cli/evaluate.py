"""``unmask evaluate``: a model on held-out text under masks that never change, and the suites beside that."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask import files
from unmask.cli.figures import print_figures
from unmask.cli.pages import write_page
from unmask.cli.starting import MODEL
from unmask.cli.suite_tables import print_suites
from unmask.cli.suites import SUITES, Work, measured
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, Terminal, progress_for
from unmask.evaluation.limit import require_possible
from unmask.evaluation.masked import HeldOut, evaluation_object
from unmask.inference.resolve import resolve
from unmask.report.suites import render_suites


def evaluate_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    suite: Annotated[
        list[str] | None,
        typer.Option(help=f"What to measure: {', '.join(SUITES)}. The first by default; may be given several times."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="What a suite reads: texts, pairs, examples or canaries; see docs/suites.md.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="Another corpus than the one it was trained on.")] = None,
    split: Annotated[HeldOut, typer.Option(help="validation, or test: read the test split once.")] = "validation",
    documents: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Documents, examples, or pairs of each kind, at most: 1000, or 100 where every token is asked for.",
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="An HTML page to write, with a section a suite.")] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Measure a model on masks that never change, or by another suite."""
    terminal = Terminal(json=json, quiet=quiet)
    if report is not None:
        files.refuse_unwritable(report)
    evaluation = evaluate(
        model, corpus, split=split, documents=documents, suites=suite or ["mlm"], file=file, progress=not quiet
    )
    terminal.emit(evaluation)
    if "mlm" in evaluation:
        frozen = evaluation["frozen"]
        terminal.result(f"{frozen['documents']:,} held-out documents, frozen set {frozen['fingerprint']}")
        print_figures(terminal, evaluation["mlm"])
    print_suites(terminal, evaluation)
    if report is not None:
        write_page(terminal, report, render_suites(evaluation))
    elif "mlm" in evaluation:
        terminal.next_step(f'unmask fill {model} "The [MASK] of the array."')
    if "mlm" in evaluation and (limit := evaluation["mlm"]["limit"]) is not None:
        require_possible(limit)


def evaluate(
    model: str | PathLike[str],
    corpus: str | PathLike[str] | None = None,
    *,
    split: HeldOut = "validation",
    documents: int | None = None,
    suites: Sequence[str] = ("mlm",),
    file: str | PathLike[str] | None = None,
    progress: bool | Report = False,
) -> dict[str, Any]:
    """Return the unmask-evaluation of ``model`` by ``suites``, on at most ``documents`` documents, examples or pairs.

    ``corpus`` is a corpus directory, by default the one the model was trained on; ``file`` is what a suite reads
    instead, or besides. Losses are in nats. Raises ModelError where there is no such model or the corpus has another
    tokenizer, DataError where there is no such corpus or the file is not of its form, SettingError for what is missing.
    """
    found = resolve(Path(model))
    with progress_for(progress) as told:
        work = Work(
            found=found,
            given_corpus=None if corpus is None else Path(corpus),
            split=split,
            file=None if file is None else Path(file),
            documents=documents,
            told=told,
        )
        return {**evaluation_object(found.origin), **measured(suites, work)}
