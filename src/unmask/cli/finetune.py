"""``unmask finetune``: from a model and labelled examples to a run that answers a task, with floors and controls.

With ``--labels`` it makes a label curve instead: many fine-tunings, paired across arms, and no model to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask import files
from unmask.cli.figures import print_task
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, SeedOption, Terminal, duration, progress_for, rate
from unmask.errors import RunError, SettingError, Stopped
from unmask.finetuning.cells import Cells
from unmask.finetuning.curve import Base, Curve, fill_cells, parse_counts, seconds_of, summary
from unmask.finetuning.finish import figures, finished, floor_figures, predictor_of_run, trust
from unmask.finetuning.fit import Job, fit, fresh_model, new_block, refit
from unmask.finetuning.held_out import HeldOut
from unmask.finetuning.probe import PROBED, probe
from unmask.finetuning.settings import FinetuneSettings
from unmask.inference.resolve import Resolved, resolve
from unmask.inference.torch_engine import read_model
from unmask.report.task_page import render_curve, render_task
from unmask.runs import RunDirectory, refuse_occupied
from unmask.settings import Changes, read_settings
from unmask.stats import paired_difference
from unmask.tasks.block import TASKS, TaskName
from unmask.tasks.floors import shuffled_labels
from unmask.tasks.formats import check_trainable, read_examples
from unmask.tasks.metrics import COMBINES

Where = str | PathLike[str]

SEEDS = 6
"""Seeds of a label curve: the least that a sign test can tell apart at 0.05."""

PRETRAINED, SCRATCH, SHUFFLED = "pretrained", "scratch", "shuffled"


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
    model, recipe, changes = _sorted_words([*(words or []), *([] if seed is None else [f"training.seed={seed}"])])
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
        fields=dict(_pair(word) for word in field or ()),
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
            return _resumed(RunDirectory(resume), told)
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
        return _curve(Path(out), loaded, told) if labels else _single(Path(out), loaded, told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was asked for, as run.json keeps it."""

    model: str
    task: TaskName
    train: str
    development: str
    test: str | None
    labels: str | None
    seeds: int
    fields: Mapping[str, str]
    controls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The work with everything read."""

    work: Work
    found: Resolved
    job: Job
    held_out: list[Any]
    """The test examples, or the development ones where there are none."""


def load_work(work: Work, settings: FinetuneSettings) -> Loaded:
    """Read the model and the examples. Raises UserError for what can not be used."""
    found = resolve(Path(work.model))

    def examples(path: str) -> list[Any]:
        several = settings.task.multi_label
        return read_examples(work.task, Path(path), multi_label=several, fields=work.fields)

    train, development = examples(work.train), examples(work.development)
    test = None if work.test is None else examples(work.test)
    check_trainable(work.task, train, [*development, *(test or [])])
    found.config.check_row_length(settings.task.max_length)
    job = Job(
        base=read_model(found),
        tokenizer=found.tokenizer,
        vocabulary=found.vocabulary,
        origin=found.origin,
        block=new_block(work.task, train, settings),
        train=train,
        development=development,
        settings=settings,
    )
    return Loaded(work=work, found=found, job=job, held_out=test or development)


def _resumed(run: RunDirectory, told: Report) -> RunDirectory:
    state = run.state
    if state["kind"] not in ("finetune", "curve"):
        raise RunError(f"{run.path}: was not made by unmask finetune; go on with: unmask pretrain --resume {run.path}")
    if state["status"] == "finished":
        raise RunError(f"{run.path}: is finished; start a new run with --out")
    loaded = load_work(Work(**state["work"]), FinetuneSettings.parse(run.settings))
    if state["kind"] == "curve":
        return _grown(run, loaded, told)
    refit(run, loaded.job, _listener(told, run.path))
    return _finish(run, loaded, told)


def _single(out: Path, loaded: Loaded, told: Report) -> RunDirectory:
    run = fit(loaded.job, out, _listener(told, out), work=_plain(loaded.work))
    return _finish(run, loaded, told)


def _finish(run: RunDirectory, loaded: Loaded, told: Report) -> RunDirectory:
    """Measure a trained run beside floors and controls, and write evaluation and report."""
    job, held_out = loaded.job, loaded.held_out
    with run.exclusive(), _resumable(run):
        development = finished(run, job)
        predictor = predictor_of_run(run)
        block = predictor.block
        outcome = HeldOut(block, held_out, predictor).outcome(predictor)
        headline = outcome.metrics[0]
        task: dict[str, Any] = {
            "name": block.name,
            "headline": headline.name,
            "held_out": "development" if loaded.work.test is None else "test",
            "examples": {"train": len(job.train), "development": len(job.development), "held_out": len(held_out)},
            "figures": figures(outcome.metrics),
            "development": figures(development.metrics),
            "floors": floor_figures(block, job.train, held_out),
            "controls": {},
            "trust": trust(outcome, block),
        }
        if block.name in PROBED and not block.multi_label:
            task["probe"] = figures(probe(job, held_out))
        for name, made in _controls(run, loaded, told).items():
            difference = paired_difference([headline.per_item], [made[headline.name]], headline.combine)
            value = float(COMBINES[headline.name](made[headline.name].sum(0)))
            task["controls"][name] = {"value": value, "difference": difference.plain()}
        evaluation = {"format": "unmask-evaluation", "version": 1, "model": {**loaded.found.origin}, "task": task}
        files.write_json(run.path / "evaluation.json", evaluation)
        state = {**run.state, "status": "finished"}
        page = render_task(state, run.settings, run.metrics(), evaluation)
        files.write_bytes(run.path / "report.html", page.encode())
        run.update(status="finished")
    return run


def _controls(run: RunDirectory, loaded: Loaded, told: Report) -> dict[str, Mapping[str, Any]]:
    """Return what each control makes of the held-out examples."""
    if not loaded.work.controls:
        return {}
    cells, job = Cells(run.path / "controls"), loaded.job
    seed = job.settings.training.seed
    jobs: dict[str, Callable[[], Job]] = {SCRATCH: lambda: replace(job, base=fresh_model(loaded.found, seed))}
    if job.block.name != "answer":  # an answer to another question is not in the context
        jobs[SHUFFLED] = lambda: replace(job, train=shuffled_labels(job.train, seed))
    return {
        name: cells.make(name, make, loaded.held_out, _listener(told, cells.folder / f"{name}.run", name)).per_item
        for name, make in jobs.items()
    }


def _curve(out: Path, loaded: Loaded, told: Report) -> RunDirectory:
    work, job = loaded.work, loaded.job
    counts = parse_counts(work.labels or "all", len(job.train))
    run = RunDirectory.create(
        out,
        kind="curve",
        settings=job.settings.plain(),
        environment={},
        copies={},
        max_steps=len(counts) * work.seeds * 2,
        parent=dict(job.origin),
        corpus=job.origin.get("corpus"),
        task=None,
        work=_plain(work),
    )
    return _grown(run, loaded, told)


def _grown(run: RunDirectory, loaded: Loaded, told: Report) -> RunDirectory:
    """Fill the cells of a curve that are missing, and write its figures and report."""
    work, job = loaded.work, loaded.job
    arms: dict[str, Base] = {PRETRAINED: lambda _: job.base, SCRATCH: partial(fresh_model, loaded.found)}
    curve = Curve(
        job=job,
        held_out=loaded.held_out,
        arms=arms,
        counts=parse_counts(work.labels or "all", len(job.train)),
        seeds=work.seeds,
    )
    with run.exclusive(), _resumable(run):
        cells = len(arms) * len(curve.counts) * curve.seeds
        told("plan", cells, cells, f"{cells} fine-tunings, about {duration(seconds_of(curve))}")
        found = fill_cells(curve, Cells(run.path / "cells"), told)
        evaluation = {
            "format": "unmask-evaluation",
            "version": 1,
            "model": {**loaded.found.origin},
            "curve": {"task": work.task, **summary(curve, found)},
        }
        files.write_json(run.path / "evaluation.json", evaluation)
        page = render_curve({**run.state, "status": "finished"}, run.settings, evaluation)
        files.write_bytes(run.path / "report.html", page.encode())
        run.update(status="finished", step=cells)
    return run


@contextmanager
def _resumable(run: RunDirectory) -> Iterator[None]:
    """Answer a stop inside with how to go on with the whole."""
    try:
        yield
    except (Stopped, KeyboardInterrupt):
        run.update(status="stopped")
        raise Stopped(f"stopped; go on with: unmask finetune --resume {run.path}") from None


def _listener(told: Report, run: Path, stage: str = "fine-tuning") -> Callable[[dict[str, Any]], None]:
    """Return who is told of the lines of the fine-tuning in ``run``, which is there once the first of them comes."""

    @cache
    def max_steps() -> int:
        return int(RunDirectory(run).state["max_steps"])

    def listen(line: dict[str, Any]) -> None:
        if line["kind"] == "train":
            left = (max_steps() - line["step"]) * line["seconds"] / line["step"]
            words = f"loss {line['loss']:.3f}  {rate(line['tokens_per_second'], 'tok')}  {duration(left)} left"
        elif line["kind"] == "evaluation":
            words = f"development {line['score']:.3f}"
        else:
            return
        told(stage, line["step"], max_steps(), words)

    return listen


def _sorted_words(words: list[str]) -> tuple[str | None, str | None, list[str]]:
    """Return the model, the recipe and the settings in the words of a command line."""
    changes = [word for word in words if "=" in word]
    recipes = [word for word in words if "=" not in word and word.endswith((".yaml", ".yml"))]
    models = [word for word in words if word not in changes and word not in recipes]
    for what, found in (("model", models), ("recipe", recipes)):
        if len(found) > 1:
            raise SettingError(f"one {what} at most, got {', '.join(found)}; settings are written group.key=value")
    return models[0] if models else None, recipes[0] if recipes else None, changes


def _pair(word: str) -> tuple[str, str]:
    ours, equals, theirs = word.partition("=")
    if not equals or not ours or not theirs:
        raise SettingError(f"--field must be OURS=THEIRS, as in label=category, got {word!r}")
    return ours, theirs


def _plain(work: Work) -> dict[str, Any]:
    return {name: getattr(work, name) for name in work.__slots__}
