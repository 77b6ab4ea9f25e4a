"""The runs that ``unmask finetune`` makes: one fine-tuning with all that stands beside it, or a label curve.

What bites: a stop inside a control or a cell is a stop of the whole, and the whole is what one resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from unmask import files
from unmask.cli.terminal import Report, duration, rate
from unmask.errors import RunError, Stopped
from unmask.evaluation.masked import evaluation_object
from unmask.finetuning.cells import Cells
from unmask.finetuning.curve import Curve, Start, fill_cells, parse_counts, seconds_of, summary
from unmask.finetuning.finish import figures, finished, floor_figures, trust
from unmask.finetuning.fit import Job, described, fit, from_scratch, job_of, refit, refuse_other_examples
from unmask.finetuning.held_out import HeldOut
from unmask.finetuning.probe import PROBED, probe
from unmask.finetuning.settings import FinetuneSettings
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.report.curve_page import render_curve
from unmask.report.task_page import render_task
from unmask.runs import RunDirectory
from unmask.stats import paired_difference
from unmask.tasks.block import TaskName
from unmask.tasks.floors import shuffled_labels
from unmask.tasks.formats import check_trainable, read_examples
from unmask.tasks.metrics import COMBINES

PRETRAINED, SCRATCH, SHUFFLED = "pretrained", "scratch", "shuffled"
"""Arms of a curve, and controls of a single run."""


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
    job = job_of(found, work.task, train, development, settings)
    return Loaded(work=work, found=found, job=job, held_out=test or development)


def resumed(run: RunDirectory, told: Report) -> RunDirectory:
    """Go on with a stopped fine-tuning or label curve and return it finished. Raises RunError where it is neither."""
    state = run.state
    if state["kind"] not in ("finetune", "curve"):
        raise RunError(f"{run.path}: was not made by unmask finetune; go on with: unmask pretrain --resume {run.path}")
    if state["status"] == "finished":
        raise RunError(f"{run.path}: is finished; start a new run with --out")
    loaded = load_work(Work(**state["work"]), FinetuneSettings.parse(run.settings))
    if state["kind"] == "curve":
        refuse_other_examples(run, loaded.job)
        return _grown(run, loaded, told)
    refit(run, loaded.job, _listener(told, run.path))
    return _finish(run, loaded, told)


def single(out: Path, loaded: Loaded, told: Report) -> RunDirectory:
    """Fine-tune once and return the finished run at ``out``."""
    run = fit(loaded.job, out, _listener(told, out), work=asdict(loaded.work))
    return _finish(run, loaded, told)


def _finish(run: RunDirectory, loaded: Loaded, told: Report) -> RunDirectory:
    """Measure a trained run beside floors and controls, and write evaluation and report."""
    job, held_out = loaded.job, loaded.held_out
    with run.exclusive(), resumable(run):
        predictor, development = finished(run, job)
        block = predictor.block
        is_tested = loaded.work.test is not None
        outcome = HeldOut(held_out, predictor).outcome(predictor) if is_tested else development
        headline = outcome.metrics[0]
        task: dict[str, Any] = {
            "name": block.name,
            "headline": headline.name,
            "held_out": "test" if is_tested else "development",
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
        evaluation = evaluation_object(loaded.found.origin, task=task)
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
    jobs: dict[str, Callable[[], Job]] = {
        SCRATCH: lambda: from_scratch(job, seed),
        SHUFFLED: lambda: replace(job, train=shuffled_labels(job.train, seed)),
    }
    return {
        name: cells.make(name, make, loaded.held_out, _listener(told, cells.folder / f"{name}.run", name)).per_item
        for name, make in jobs.items()
    }


def curve(out: Path, loaded: Loaded, told: Report) -> RunDirectory:
    """Make a label curve and return the finished run at ``out``."""
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
        examples={"train": described(job.train), "development": described(job.development)},
        work=asdict(work),
    )
    return _grown(run, loaded, told)


def _grown(run: RunDirectory, loaded: Loaded, told: Report) -> RunDirectory:
    """Fill the cells of a curve that are missing, and write its figures and report."""
    work, job = loaded.work, loaded.job
    arms: dict[str, Start] = {PRETRAINED: lambda job, _: job, SCRATCH: from_scratch}
    asked = Curve(
        job=job,
        held_out=loaded.held_out,
        arms=arms,
        counts=parse_counts(work.labels or "all", len(job.train)),
        seeds=work.seeds,
    )
    with run.exclusive(), resumable(run):
        cells = len(arms) * len(asked.counts) * asked.seeds
        told("plan", cells, cells, f"{cells} fine-tunings, about {duration(seconds_of(asked))}")
        found = fill_cells(asked, Cells(run.path / "cells"), told)
        evaluation = evaluation_object(loaded.found.origin, curve={"task": work.task, **summary(asked, found)})
        files.write_json(run.path / "evaluation.json", evaluation)
        page = render_curve({**run.state, "status": "finished"}, run.settings, evaluation)
        files.write_bytes(run.path / "report.html", page.encode())
        run.update(status="finished", step=cells)
    return run


@contextmanager
def resumable(run: RunDirectory, command: str = "finetune") -> Iterator[None]:
    """Answer a stop inside with how to go on with the whole, which ``command`` has begun."""
    try:
        yield
    except (Stopped, KeyboardInterrupt):
        run.update(status="stopped")
        raise Stopped(f"stopped; go on with: unmask {command} --resume {run.path}") from None


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
