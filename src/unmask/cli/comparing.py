"""What a comparison is made of, read and checked before anything is spent: arms, corpus, examples, named models.

What bites: without test examples every second development example measures and the others choose. Weights are chosen by
examples, so a figure on the same ones would flatter a network beside a bag of words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from unmask.cli.general import named
from unmask.cli.planning import PretrainSettings
from unmask.cli.starting import shape_for
from unmask.comparison.arms import SCRATCH, Arm, chosen_arms
from unmask.corpus.directory import Corpus
from unmask.errors import DataError, SettingError
from unmask.finetuning.curve import Curve, Start, parse_counts
from unmask.finetuning.fit import Job, from_scratch, new_block
from unmask.finetuning.settings import FinetuneSettings, TaskSettings
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved, read_as
from unmask.inference.torch_engine import read_model
from unmask.model.heads import new_masked_lm
from unmask.model.tasks import Pooling, usual_pooling
from unmask.runs import RunDirectory
from unmask.settings import Settings
from unmask.tasks.block import TaskName
from unmask.tasks.formats import check_trainable, read_examples


class CompareSettings(Settings):
    """The recipes of a comparison."""

    pretrain: PretrainSettings = PretrainSettings()
    finetune: FinetuneSettings = FinetuneSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was asked for, as run.json keeps it."""

    corpus: str
    task: TaskName
    train: str
    development: str
    test: str | None
    arms: str
    models: list[str]
    budget: str
    labels: str | None
    seeds: int
    margin: float
    fields: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The work with everything read."""

    work: Work
    settings: CompareSettings
    corpus: Corpus
    arms: Mapping[str, Arm]
    job: Job
    """From scratch, on all training examples."""
    held_out: list[Any]
    named_starts: Mapping[str, Start]
    """How the arms begin that the user has named."""

    @cached_property
    def counts(self) -> list[int]:
        """Counts of labels, ascending: as asked, or a quarter, a half and all of what there is."""
        available = len(self.job.train)
        if self.work.labels is None:
            return sorted({max(2, available // part) for part in (4, 2, 1)})
        return parse_counts(self.work.labels, available)

    def curve(self, arms: Mapping[str, Start]) -> Curve:
        """Return the fine-tunings of ``arms``."""
        return Curve(job=self.job, held_out=self.held_out, arms=arms, counts=self.counts, seeds=self.work.seeds)

    def starts(self, runs: Mapping[str, RunDirectory]) -> dict[str, Start]:
        """Return how every arm begins; ``runs`` are the pre-trainings."""
        ours = {
            name: self._ours(runs[arm.pretraining], arm) if arm.pretraining else from_scratch
            for name, arm in self.arms.items()
            if arm.model is None
        }
        return {**ours, **self.named_starts}

    def _ours(self, run: RunDirectory, arm: Arm) -> Start:
        return start_from(read_as(resolve(run.path), arm.attention), self.job.block.pooling)


def start_from(found: Resolved, pooling: Pooling) -> Start:
    """Return how an arm begins with the weights of ``found``. Raises ModelError where it was fine-tuned."""
    base = read_model(found)

    def start(job: Job, _: int) -> Job:
        return replace(
            job,
            base=base,
            tokenizer=found.tokenizer,
            vocabulary=found.vocabulary,
            origin=found.origin,
            block=replace(job.block, pooling=pooling),
        )

    return start


def named_start(model: str, task: TaskName, settings: TaskSettings) -> Start:
    """Return how the arm begins that the user has named. Raises ModelError where it does not serve."""
    found = resolve(Path(model))
    found.config.check_row_length(settings.max_length)
    return start_from(found, settings.pooling or usual_pooling(task, found.config.family))


def read_work(work: Work, settings: CompareSettings, open_corpus: Callable[[], Corpus]) -> Comparison:
    """Read the examples, and then the corpus, which may have to be built. Raises UserError for what does not serve."""
    arms = chosen_arms(work.arms, work.models)
    for key, value, usual in (
        ("pretrain.objective.name", settings.pretrain.objective.name, "mlm"),
        ("finetune.task.attention", settings.finetune.task.attention, "trained"),
    ):
        if value != usual:
            raise SettingError(f"{key} is what the arms differ in, got {value!r}; leave it out and choose with --arms")
    several = settings.finetune.task.multi_label

    def examples(path: str) -> list[Any]:
        return read_examples(work.task, Path(path), multi_label=several, fields=work.fields)

    train, development = examples(work.train), examples(work.development)
    held_out = examples(work.test) if work.test else []
    check_trainable(work.task, train, [*development, *held_out])
    if not held_out:
        development, held_out = development[::2], development[1::2]
    if not held_out:
        raise DataError(work.development, "holds one example; give more, since half of them measure")
    corpus = open_corpus()
    config = shape_for(
        corpus, settings.pretrain.model, settings.pretrain.training.row_length, None, settings.pretrain.objective
    )
    config.check_row_length(settings.finetune.task.max_length)
    block = new_block(work.task, train, settings.finetune, config.family)
    job = Job(
        base=new_masked_lm(config, torch.Generator().manual_seed(0)),
        tokenizer=corpus.tokenizer,
        vocabulary=corpus.vocabulary,
        origin={"path": SCRATCH, "kind": SCRATCH, "corpus": named(corpus)},
        block=replace(block, pooling=settings.finetune.task.pooling or "mean"),
        train=train,
        development=development,
        settings=settings.finetune,
    )
    return Comparison(
        work=work,
        settings=settings,
        corpus=corpus,
        arms=arms,
        job=job,
        held_out=held_out,
        named_starts={
            name: named_start(arm.model, work.task, settings.finetune.task) for name, arm in arms.items() if arm.model
        },
    )
