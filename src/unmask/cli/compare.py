"""``unmask compare``: does masked language modelling help here, at how many labels, at what cost: a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.compare_run import begun, compared, work_of
from unmask.cli.comparing import CompareSettings, Work, read_work
from unmask.cli.corpus import open_or_build
from unmask.cli.figures import print_comparison
from unmask.cli.labelled import fields_of
from unmask.cli.planning import recipe_and_words
from unmask.cli.pretrain import BUDGET
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, SeedOption, Terminal, progress_for
from unmask.comparison.arms import ARMS
from unmask.errors import RunError, SettingError
from unmask.finetuning.curve import FEWEST_SEEDS
from unmask.runs import RunDirectory, refuse_occupied
from unmask.settings import Changes, read_settings
from unmask.tasks.block import TASKS
from unmask.training.budget import parse_budget

Where = str | PathLike[str]

SEEDS, MARGIN = 6, 0.02
"""Seeds of every arm, and the least difference in the figure that would change what one does."""


def compare_command(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="RECIPE|pretrain.group.key=value|finetune.group.key=value", help="Settings."),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Unlabelled text: a corpus directory, or text to build it of.")
    ] = None,
    task: Annotated[str | None, typer.Option(help=f"One of {', '.join(TASKS)}.")] = None,
    train: Annotated[Path | None, typer.Option(help="Labelled examples to learn from.")] = None,
    dev: Annotated[
        Path | None, typer.Option(help="Labelled examples to choose by; half measure without --test.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Labelled examples to measure on.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where all is written.")] = None,
    budget: Annotated[str | None, typer.Option(help=f"Of each pre-training, {BUDGET} by default.")] = None,
    arms: Annotated[str | None, typer.Option(help=f"Of {','.join(ARMS)}; all by default.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Another model to set beside; may be repeated.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Counts, as in 50,100,all; by default a quarter, a half, all.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=FEWEST_SEEDS, help="Seeds of every arm.")] = SEEDS,
    margin: Annotated[
        float, typer.Option(help="Least difference that would change what you do; 0.02 is 2 points.")
    ] = MARGIN,
    field: Annotated[list[str] | None, typer.Option(help="OURS=THEIRS: what the files call a field of ours.")] = None,
    resume: Annotated[Path | None, typer.Option(help="A comparison to go on with, as it was begun.")] = None,
    seed: SeedOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Set pre-training beside its alternatives on your own task, and say what to do."""
    terminal = Terminal(json=json, quiet=quiet)
    recipe, changes = recipe_and_words([*(words or []), *([] if seed is None else [f"pretrain.training.seed={seed}"])])
    run = compare(
        corpus,
        task,
        train,
        dev,
        out,
        test=test,
        budget=budget,
        arms=arms,
        models=model or (),
        labels=labels,
        seeds=seeds,
        margin=margin,
        recipe=recipe,
        settings=changes,
        fields=fields_of(field),
        resume=resume,
        progress=not quiet,
    )
    terminal.emit({"run": str(run.path), **run.evaluation})
    print_comparison(terminal, run.evaluation["comparison"])
    terminal.next_step(f"open {run.path / 'report.html'}")


def compare(
    corpus: Where | None = None,
    task: str | None = None,
    train: Where | None = None,
    dev: Where | None = None,
    out: Where | None = None,
    *,
    test: Where | None = None,
    budget: str | None = None,
    arms: str | None = None,
    models: Sequence[Where] = (),
    labels: str | None = None,
    seeds: int = SEEDS,
    margin: float = MARGIN,
    recipe: Where | None = None,
    settings: Changes = (),
    fields: Mapping[str, str] | None = None,
    resume: Where | None = None,
    progress: bool | Report = True,
) -> RunDirectory:
    """Compare pre-training on ``corpus`` with its alternatives at ``task`` and return the finished run at ``out``.

    ``train``, ``dev`` and ``test`` are files of labelled examples; without ``test`` every second example of ``dev``
    measures and the others choose. ``budget`` is that of each pre-training, NUMBER(s|m|h|d|tok|steps). ``arms`` are
    names separated by commas, all by default, and ``models`` any others to set beside. ``labels`` ("50,100,all") are
    the counts, ``seeds`` how often each is drawn and learned, ``margin`` the least difference that would change what
    one does. ``settings`` change those of ``recipe``, in the groups pretrain and finetune. ``resume`` goes on with a
    stopped comparison, alone. Ctrl-C and SIGTERM save and raise Stopped; what can not be done raises a UserError.
    """
    say = Terminal(quiet=progress is not True).say
    with progress_for(progress) as told:
        if resume is not None:
            new = {"corpus": corpus, "task": task, "train": train, "dev": dev, "out": out, "labels": labels}
            if given := [name for name, value in new.items() if value]:
                raise SettingError(f"a comparison that is resumed has its own {', '.join(given)}; leave that out")
            run = _stopped(RunDirectory(resume))
            return compared(run, work_of(run), told, say)
        if corpus is None or task is None or train is None or dev is None or out is None:
            raise SettingError("give --corpus, --task, --train, --dev and --out for a new comparison, or --resume RUN")
        if task not in TASKS:
            raise SettingError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
        if not 0 < margin < 1:
            raise SettingError(f"margin must be in (0, 1), got {margin:g}")
        parse_budget(budget or BUDGET)
        chosen = read_settings(CompareSettings, Path(recipe) if recipe else None, settings)
        refuse_occupied(Path(out))
        work = Work(
            corpus=fspath(corpus),
            task=task,
            train=fspath(train),
            development=fspath(dev),
            test=None if test is None else fspath(test),
            arms=arms or ",".join(ARMS),
            models=[fspath(model) for model in models],
            budget=budget or BUDGET,
            labels=labels,
            seeds=seeds,
            margin=margin,
            fields=dict(fields or {}),
        )
        groups = chosen.pretrain
        asked = read_work(work, chosen, lambda: open_or_build(work.corpus, groups.corpus, groups.tokenizer, told))
        return compared(begun(Path(out), asked), asked, told, say)


def _stopped(run: RunDirectory) -> RunDirectory:
    """Return ``run`` where it is a comparison that was not finished. Raises RunError."""
    state = run.state
    if state["kind"] != "compare":
        raise RunError(f"{run.path}: was not made by unmask compare, but by unmask {state['kind']}")
    if state["status"] == "finished":
        raise RunError(f"{run.path}: is finished; start a new comparison with --out")
    return run
