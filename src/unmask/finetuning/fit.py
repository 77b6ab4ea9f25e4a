"""One fine-tuning: from a base, a task and examples to a run directory, through the loop that pre-training takes.

What bites: examples are not copied into the run. It remembers their digest, and goes on only with the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import nn

from unmask.corpus.tokenizer import Vocabulary
from unmask.errors import RunError, SettingError, Stopped
from unmask.finetuning.batches import TaskBatches
from unmask.finetuning.data import TaskData, prepare
from unmask.finetuning.held_out import HeldOut
from unmask.finetuning.objectives import OBJECTIVES
from unmask.finetuning.settings import FinetuneSettings, rate_for, scales_of, steps_for
from unmask.inference.resolved import Resolved, read_as
from unmask.inference.task_predictor import TaskPredictor
from unmask.inference.torch_engine import read_model
from unmask.inference.torch_tasks import TorchTaskEngine
from unmask.model.config import Family
from unmask.model.heads import MaskedLM, new_masked_lm
from unmask.model.tasks import START_AND_END, TaskModel, new_task_model, usual_pooling
from unmask.runs import RunDirectory
from unmask.tasks.block import TaskBlock, TaskName
from unmask.tasks.tags import bio_labels
from unmask.training.kept import BestWeights
from unmask.training.loop import Plan, train
from unmask.training.machine import Machine, environment, peak_memory
from unmask.training.machine import prepare as prepare_machine
from unmask.training.telemetry import Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is fine-tuned to what, on which examples."""

    base: MaskedLM
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    origin: Mapping[str, Any]
    """Where the base is from; recorded."""
    block: TaskBlock
    train: Sequence[Any]
    development: Sequence[Any]
    settings: FinetuneSettings


def job_of(
    found: Resolved, name: TaskName, train: Sequence[Any], development: Sequence[Any], settings: FinetuneSettings
) -> Job:
    """Return the fine-tuning of the pre-trained ``found`` to a task. Raises ModelError where it was fine-tuned."""
    return Job(
        base=read_model(read_as(found, settings.task.attention)),
        tokenizer=found.tokenizer,
        vocabulary=found.vocabulary,
        origin=found.origin,
        block=new_block(name, train, settings, found.config.family),
        train=train,
        development=development,
        settings=settings,
    )


def new_block(name: TaskName, train: Sequence[Any], settings: FinetuneSettings, family: Family) -> TaskBlock:
    """Return the block of a task whose labels are those of ``train``, for an encoder of ``family``."""
    task = settings.task
    labels: tuple[str, ...] = ()
    if name == "classify":
        labels = tuple(sorted({label for example in train for label in example.labels}))
    elif name == "tag":
        labels = bio_labels(example.tags for example in train)
    may_be_nothing = name == "answer" and any(not example.answers for example in train)
    return TaskBlock(
        name=name,
        labels=labels,
        multi_label=task.multi_label,
        scheme="BIO" if name == "tag" else None,
        max_length=task.max_length,
        stride=task.stride,
        pooling=task.pooling or usual_pooling(name, family),
        normalize=name == "embed",
        null_margin=0.0 if may_be_nothing else None,
    )


def from_scratch(job: Job, seed: int) -> Job:
    """Return ``job`` with first weights of ``seed`` in its network: what it would be without pre-training."""
    return replace(job, base=new_masked_lm(job.base.config, torch.Generator().manual_seed(seed)))


def digest_of(examples: Sequence[Any]) -> str:
    """Return a digest of what ``examples`` say, wherever they are from."""
    said = [{key: value for key, value in asdict(example).items() if key != "where"} for example in examples]
    return blake2b(json.dumps(said, ensure_ascii=True).encode(), digest_size=16).hexdigest()


def fit(job: Job, out: Path, listener: Listener, **more: Any) -> RunDirectory:
    """Fine-tune and return the run at ``out``, trained; ``more`` stands in its run.json. Raises Stopped, RunError."""
    machine = _machine(job)
    plan = _plan(job, machine)
    run = RunDirectory.create(
        out,
        kind="finetune",
        settings=job.settings.plain(),
        environment=environment(machine),
        copies={"tokenizer.json": job.tokenizer.to_str().encode()},
        max_steps=plan.max_steps,
        rows_consumed=0,
        parent=dict(job.origin),
        corpus=job.origin.get("corpus"),
        task=job.block.plain(),
        examples={"train": described(job.train), "development": described(job.development)},
        model={
            "parameters": sum(parameter.numel() for parameter in plan.model.parameters()),
            "config": asdict(replace(job.base.config, predicts_next=False)),  # a task is told at its own places
        },
        **more,
    )
    return _trained(run, plan, listener)


def refit(run: RunDirectory, job: Job, listener: Listener) -> RunDirectory:
    """Go on with ``run``, which was stopped, and return it trained. Raises RunError where the examples are others."""
    refuse_other_examples(run, job)
    plan = replace(planned(job), max_steps=run.state["max_steps"])
    run.update(attempt=run.state["attempt"] + 1, status="running")
    return _trained(run, plan, listener)


def predictor_in(model: TaskModel, job: Job, machine: Machine) -> TaskPredictor:
    """Return a predictor over ``model`` as it stands, wherever it stands."""
    engine = TorchTaskEngine(model, job.vocabulary.pad_id, machine.precision)
    return TaskPredictor(engine, job.tokenizer, job.vocabulary, job.block, {})


def _trained(run: RunDirectory, plan: Plan, listener: Listener) -> RunDirectory:
    with run.exclusive():
        try:
            if train(run, plan, listener):
                run.update(peak_memory=peak_memory())
                return run
        except RunError:
            run.update(status="failed")
            raise
        run.update(status="stopped", peak_memory=peak_memory())
    raise Stopped(f"stopped at step {run.state['step']:,}; go on with: unmask finetune --resume {run.path}")


def refuse_other_examples(run: RunDirectory, job: Job) -> None:
    """Raise RunError where ``run`` was started on other examples than those of ``job``."""
    recorded = run.state["examples"]
    for name, examples in (("train", job.train), ("development", job.development)):
        if described(examples) != recorded[name]:
            raise RunError(f"{run.path}: was started on other {name} examples; bring those back or start a new run")


def described(examples: Sequence[Any]) -> dict[str, Any]:
    """Return how many examples there are and their digest, as run.json keeps it."""
    return {"count": len(examples), "digest": digest_of(examples)}


def _machine(job: Job) -> Machine:
    training = job.settings.training
    return prepare_machine(
        dtype=training.dtype,
        threads=training.threads,
        deterministic=training.deterministic,
        compiling=training.compile,
        budget_seconds=0.0,  # minutes: auto never compiles
    )


def planned(job: Job) -> Plan:
    """Return the plan of ``job`` on this machine."""
    return _plan(job, _machine(job))


def _plan(job: Job, machine: Machine) -> Plan:
    settings, training, block = job.settings, job.settings.training, job.block
    outputs = START_AND_END if block.name == "answer" else len(block.labels)
    chance = torch.Generator().manual_seed(training.seed)
    model = new_task_model(job.base, block.name, outputs, block.pooling, chance).to(machine.device)
    if machine.compile:
        model.compile()
    predictor = predictor_in(model, job, machine)
    data = prepare(block, job.train, predictor.maker)
    watched = HeldOut(job.development, predictor)

    def evaluate(_: nn.Module) -> Mapping[str, Any]:
        metrics = watched.outcome(predictor).metrics
        return {"score": metrics[0].value, **{metric.name: metric.value for metric in metrics}}

    is_contrasted = block.name == "embed" and data.truth is None
    if is_contrasted and training.micro_batch_rows:
        raise SettingError(
            "training.micro_batch_rows must be 0 where pairs have no scores: each learns from all that are beside it, "
            f"got {training.micro_batch_rows}; lower training.batch_rows instead"
        )
    optimizer = settings.optimizer
    if optimizer.learning_rate is None:
        optimizer = optimizer.model_copy(update={"learning_rate": rate_for(job.base.config.hidden_size)})
    return Plan(
        model=model,
        objective=OBJECTIVES["contrast" if is_contrasted else block.name],
        make_batches=TaskBatches(
            data=data,
            pad_id=job.vocabulary.pad_id,
            seed=training.seed,
            batch_rows=training.batch_rows,
            micro_batch_rows=training.micro_batch_rows,
            class_weights=_class_weights(data, len(block.labels), settings),
        ),
        evaluate=evaluate,
        kept=BestWeights(model, training.patience),
        machine=machine,
        optimizer=optimizer,
        schedule=settings.schedule,
        training=training,
        max_steps=steps_for(data.num_rows, training),
        scales=scales_of(model, job.base.config.num_hidden_layers, optimizer.layer_decay),
    )


def _class_weights(data: TaskData, num_labels: int, settings: FinetuneSettings) -> npt.NDArray[np.float32] | None:
    """Return (C,) weights in inverse proportion to how often a label occurs, one on average over what is asked."""
    if settings.task.class_weights == "equal" or data.labels is None:
        return None
    counts = np.bincount(np.concatenate([np.array(labels, np.int64) for labels in data.labels]), minlength=num_labels)
    return np.asarray(counts.sum() / (num_labels * np.maximum(counts, 1)), np.float32)
