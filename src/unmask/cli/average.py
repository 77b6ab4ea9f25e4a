"""``unmask average``: the mean of the last checkpoints of a run, as a run of its own, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.corpus import training_corpus
from unmask.cli.figures import print_figures
from unmask.cli.measure import finish_run
from unmask.cli.planning import PretrainSettings
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal
from unmask.errors import RunError
from unmask.runs import RunDirectory
from unmask.training.branching import average as averaged


def average(
    run: Annotated[Path, typer.Argument(help="A run of pre-training.")],
    out: Annotated[Path, typer.Option(help="Where the run of the mean is written.")],
    last: Annotated[int, typer.Option(help="How many checkpoints; training.keep says how many a run has.")] = 2,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write the mean of the last checkpoints of a run, and measure it."""
    terminal = Terminal(json=json, quiet=quiet)
    source = RunDirectory(run)
    state = source.state
    if state["kind"] != "pretrain":
        raise RunError(f"{run}: is a run of {state['kind']}; averages are made of runs of pre-training")
    corpus = training_corpus(run, state["corpus"])
    made = averaged(source, last, out)
    with made.exclusive():
        ending = {"status": "finished"}
        documents = PretrainSettings.parse(made.settings).evaluation.documents
        evaluation = finish_run(made, corpus, documents, ending)
        made.update(**ending)
    steps = ", ".join(f"{step:,}" for step in made.state["averaged"])
    terminal.say(f"the mean of the checkpoints of step {steps}")
    terminal.emit({"run": str(made.path), "averaged": made.state["averaged"], **evaluation})
    print_figures(terminal, evaluation["mlm"])
    terminal.next_step(f"unmask runs compare {run} {out}")
