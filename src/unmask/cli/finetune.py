"""``unmask finetune``: from a model and labelled examples to a run that answers a task, with floors and controls.

With ``--labels`` it makes a label curve instead: many fine-tunings, paired across arms, and no model to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.figures import print_task
from unmask.cli.labelled import fields_of
from unmask.cli.planning import seeded
from unmask.cli.task_runs import Work, curve, load_work, resumed, single
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, SeedOption, Terminal, progress_for
from unmask.errors import SettingError
from unmask.finetuning.settings import FinetuneSettings
from unmask.runs import RunDirectory, refuse_occupied
from unmask.settings import Changes, read_settings
from unmask.tasks.block import TASKS

Where = str | PathLike[str]

SEEDS = 6
"""Seeds of a label curve: the least that a sign test can tell apart at 0.05."""


def finetune_command(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL [RECIPE] [group.key=value]", help="A model, a YAML file, and settings over it."),
    ] = None,
    task: Annotated[str | None, typer.Option(help=f"One of {', '.join(TASKS)}.")] = None,
    train: Annotated[Path | None, typer.Option(help="Labelled examples to learn from.")] = None,
    dev: Annotated[Path | None, typer.Option(help="Labelled examples to choose by.")] = None,
    test: Annotated[Path | None, typer.Option(help="Labelled examples to measure on, once.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the run is written.")] = None,
    labels: Annotated[str | None, typer.Option(help="A label curve at these counts, as in 50,100,500,all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of a label curve.")] = SEEDS,
    field: Annotated[list[str] | None, typer.Option(help="OURS=THEIRS: what the files call a field of ours.")] = None,
    controls: Annotated[bool, typer.Option(help="Train from scratch and on shuffled labels too.")] = True,
    resume: Annotated[Path | None, typer.Option(help="A run to go on with, as it was started.")] = None,
    seed: SeedOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Fine-tune a model to a task, beside floors and controls."""
    terminal = Terminal(json=json, quiet=quiet)
    model, recipe, changes = _sorted_words([*(words or []), *seeded(seed)])
    run = finetune(
        model,
        task,
        train,
        dev,
        out,
        test=test,
        recipe=recipe,
        settings=changes,
        labels=labels,
        seeds=seeds,
        fields=fields_of(field),
        controls=controls,
        resume=resume,
        progress=not quiet,
    )
    terminal.emit({"run": str(run.path), **run.evaluation})
    print_task(terminal, run.evaluation)
    if run.state["kind"] == "finetune":
        terminal.next_step(f"open {run.path / 'report.html'}, or: unmask predict {run.path} FILE")
    else:
        terminal.next_step(f"open {run.path / 'report.html'}")


def finetune(
    model: Where | None = None,
    task: str | None = None,
    train: Where | None = None,
    dev: Where | None = None,
    out: Where | None = None,
    *,
    test: Where | None = None,
    recipe: Where | None = None,
    settings: Changes = (),
    labels: str | None = None,
    seeds: int = SEEDS,
    fields: Mapping[str, str] | None = None,
    controls: bool = True,
    resume: Where | None = None,
    progress: bool | Report = True,
) -> RunDirectory:
    """Fine-tune ``model`` to ``task`` (classify, tag, answer, embed) on the file ``train`` and return the finished run.

    ``dev`` chooses the best weights and fits what is fitted; ``test``, where it is given, is what is reported.
    ``labels`` ("50,100,all") makes a label curve of ``seeds`` instead, against the same network from scratch.
    ``fields`` says what the files call a field, as in {"label": "category"}. ``controls`` trains from scratch and on
    shuffled labels beside a single run. ``resume`` goes on with a stopped run, alone. Ctrl-C and SIGTERM save and raise
    Stopped; what can not be done raises a UserError.
    """
    with progress_for(progress) as told:
        if resume is not None:
            new = {"model": model, "task": task, "train": train, "dev": dev, "out": out, "labels": labels}
            if given := [name for name, value in new.items() if value]:
                raise SettingError(f"a run that is resumed has its own {', '.join(given)}; leave that out")
            return resumed(RunDirectory(resume), told)
        if model is None or task is None or train is None or dev is None or out is None:
            raise SettingError("give MODEL, --task, --train, --dev and --out for a new run, or --resume RUN")
        if task not in TASKS:
            raise SettingError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
        chosen = read_settings(FinetuneSettings, Path(recipe) if recipe else None, settings)
        refuse_occupied(Path(out))
        work = Work(
            model=fspath(model),
            task=task,
            train=fspath(train),
            development=fspath(dev),
            test=None if test is None else fspath(test),
            labels=labels,
            seeds=seeds,
            fields=dict(fields or {}),
            controls=controls,
        )
        loaded = load_work(work, chosen)
        return curve(Path(out), loaded, told) if labels else single(Path(out), loaded, told)


def _sorted_words(words: list[str]) -> tuple[str | None, str | None, list[str]]:
    """Return the model, the recipe and the settings in the words of a command line."""
    changes = [word for word in words if "=" in word]
    recipes = [word for word in words if "=" not in word and word.endswith((".yaml", ".yml"))]
    models = [word for word in words if word not in changes and word not in recipes]
    for what, found in (("model", models), ("recipe", recipes)):
        if len(found) > 1:
            raise SettingError(f"one {what} at most, got {', '.join(found)}; settings are written group.key=value")
    return models[0] if models else None, recipes[0] if recipes else None, changes
