"""The run of a comparison: pre-trainings of equal cost, the fine-tunings of every arm, the verdict and its page.

What bites: all lies in one folder and is made once, so that a stop costs a checkpoint's worth at most; but the corpus
and the files of examples have to be the same when one goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from unmask import files
from unmask.cli.comparing import CompareSettings, Comparison, Work, read_work
from unmask.cli.corpus import same_corpus
from unmask.cli.equal_cost import EqualCost
from unmask.cli.general import named
from unmask.cli.labelled import asked_of
from unmask.cli.task_runs import resumable
from unmask.cli.terminal import Report, duration
from unmask.comparison.arms import FLOORS, MLM
from unmask.comparison.costs import (
    ASSUMED,
    bag_serving,
    energy_wh,
    finetuning_seconds,
    network_serving,
    pretraining_cost,
)
from unmask.comparison.evidence import Trial, evidence_of, tables_of
from unmask.comparison.floor import floor_cells
from unmask.comparison.verdict import decide
from unmask.evaluation.masked import evaluation_object
from unmask.finetuning.cells import Cells
from unmask.finetuning.curve import Curve, drawn, fill_cells, seconds_of
from unmask.finetuning.fit import described, from_scratch, refuse_other_examples
from unmask.inference.resolve import resolve
from unmask.report.task_words import FIGURES
from unmask.report.verdict_page import render_verdict
from unmask.report.verdict_words import Voice, in_words
from unmask.runs import RunDirectory
from unmask.training.budget import parse_budget


def begun(out: Path, asked: Comparison) -> RunDirectory:
    """Write down a comparison at ``out`` and return it. Raises RunError where something stands there."""
    return RunDirectory.create(
        out,
        kind="compare",
        settings=asked.settings.plain(),
        environment={},
        copies={},
        max_steps=len(asked.arms) * len(asked.counts) * asked.work.seeds,
        parent=None,
        corpus=named(asked.corpus),
        task=None,
        examples={"train": described(asked.job.train), "development": described(asked.job.development)},
        work=asdict(asked.work),
    )


def work_of(run: RunDirectory) -> Comparison:
    """Read again what ``run`` was begun with. Raises RunError where corpus or examples are others now."""
    opened = partial(same_corpus, run.path, run.state["corpus"])
    asked = read_work(Work(**run.state["work"]), CompareSettings.parse(run.settings), opened)
    refuse_other_examples(run, asked.job)
    return asked


def compared(run: RunDirectory, asked: Comparison, told: Report, say: Callable[[str], None]) -> RunDirectory:
    """Make what is missing of ``run``, and write its figures, verdict and page."""
    pretrainings = EqualCost(
        folder=run.path / "pretrained",
        corpus=asked.corpus,
        task_texts=[text for example in asked.job.train for text in asked_of(example) if text is not None],
        settings=asked.settings.pretrain,
        budget=parse_budget(asked.work.budget),
        told=told,
        say=say,
    )
    with run.exclusive(), resumable(run, "compare"):
        say(plan_of(asked))
        runs = pretrainings.runs(asked.arms)
        curve, cells = asked.curve(asked.starts(runs)), Cells(run.path / "cells")
        trial = Trial(
            found={**fill_cells(curve, cells, told), **floor_cells(curve, cells, told)},
            floor=FLOORS[asked.work.task],
            counts=asked.counts,
            held_out=len(asked.held_out),
            margin=asked.work.margin,
        )
        found = {"task": asked.work.task, **tables_of(trial), **_verdict(asked, trial)}
        found |= {"arms": _arms(asked, trial, runs, pretrainings, curve), "power": ASSUMED}
        found["held_out_is"] = "test" if asked.work.test else "half of development"
        evaluation = evaluation_object(resolve(runs[MLM].path).origin, comparison=found)
        files.write_json(run.path / "evaluation.json", evaluation)
        page = render_verdict({**run.state, "status": "finished"}, run.settings, evaluation)
        files.write_bytes(run.path / "report.html", page.encode())
        run.update(status="finished", step=run.state["max_steps"])
    return run


def plan_of(asked: Comparison) -> str:
    """Return what will be done and about how long it takes, from a few steps."""
    own = {name: from_scratch for name, arm in asked.arms.items() if arm.model is None}
    seconds = seconds_of(asked.curve(own))
    seconds += sum(seconds_of(asked.curve({name: start})) for name, start in asked.named_starts.items())
    several = len({arm.pretraining for arm in asked.arms.values() if arm.pretraining})
    budget, cells = parse_budget(asked.work.budget), len(asked.arms) * len(asked.counts) * asked.work.seeds
    counts = ", ".join(f"{count:,}" for count in asked.counts)
    fine = f"{cells} fine-tunings ({len(asked.arms)} arms, {asked.work.seeds} seeds, {counts} labels)"
    whole = "" if budget.seconds is None else f"; in all about {duration(several * budget.seconds + seconds)}"
    return f"Plan: {several} pre-trainings of {asked.work.budget} each, {fine}, about {duration(seconds)}{whole}."


def _verdict(asked: Comparison, trial: Trial) -> dict[str, Any]:
    evidence = evidence_of(trial)
    decision = decide(evidence)
    names = {**{name: arm.title for name, arm in asked.arms.items()}, trial.floor.name: trial.floor.arm.title}
    title, sentences = in_words(decision, Voice(evidence, FIGURES.get(trial.figure, trial.figure), names))
    verdict = {**asdict(decision), "title": title, "sentences": sentences}
    return {"verdict": verdict, "evidence": asdict(evidence)}


def _arms(
    asked: Comparison, trial: Trial, runs: Mapping[str, RunDirectory], pretrainings: EqualCost, curve: Curve
) -> dict[str, Any]:
    """Return what each arm is and costs. Arms of our own have one network, so that it is timed once."""
    job, last = drawn(asked.job, asked.counts[-1], 0), asked.counts[-1]
    floor, block = trial.floor, asked.job.block
    ours = network_serving(curve.arms[MLM](job, 0), asked.held_out)
    environment = runs[MLM].read("environment.json") or {}
    bag = bag_serving(block, job.train, asked.held_out, ours["tokens"]) if block.name == "classify" else None
    serving = {floor.name: bag} | {
        name: network_serving(start(job, 0), asked.held_out) if asked.arms[name].model else ours
        for name, start in curve.arms.items()
    }
    found = {}
    for name, arm in {floor.name: floor.arm, **asked.arms}.items():
        run = runs.get(arm.pretraining or "")
        before = pretraining_cost(run, pretrainings.asked_share(arm)) if run else None
        seconds = finetuning_seconds(trial.found, name, last)
        found[name] = {
            "title": arm.title,
            "short": arm.short,
            "can_not": arm.can_not,
            "is_named": arm.model is not None,
            "pretraining": before,
            "finetuning": {"seconds": seconds, "energy_wh": energy_wh(seconds, environment), "labels": last},
            "serving": serving[name],
        }
    return found
