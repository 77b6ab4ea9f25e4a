"""The training loop: from the first step to the last, or to the signal that ends it early.

What bites: everything that decides the weights is a function of the step, the seed and the corpus. A run that was
killed and resumed is therefore equal to the bit to one that was not; never let the clock or a counter decide in here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unmask.batch import Batch
from unmask.corpus.loader import Prefetch
from unmask.objectives import Objective
from unmask.runs import RunDirectory
from unmask.settings import Count, Settings, ShareBelowOne
from unmask.training.checkpoint import load_checkpoint, save_checkpoint
from unmask.training.distributed import ALONE, Ranks, is_sharded, whole
from unmask.training.kept import KeptWeights
from unmask.training.machine import Gauge, Machine
from unmask.training.memory import RowsAtOnce, is_out_of_memory
from unmask.training.optim import (
    Course,
    OptimizerSettings,
    ScheduleSettings,
    clip_gradient,
    course_of,
    make_optimizer,
    set_rate,
)
from unmask.training.signals import StopRequest
from unmask.training.telemetry import Listener, Telemetry

Whole = Annotated[int, Field(ge=0)]


class LoopSettings(Settings):
    """How any training goes: rows, steps between things, precision, seed."""

    batch_rows: Count = 16
    """Rows in a step of the optimiser."""
    micro_batch_rows: Whole = 0
    """Rows that go through the network at once; 0 is all rows of the step."""
    save_every: Whole = 0
    """Steps between checkpoints; 0 is a tenth of the run, at most 1,000."""
    keep: Count = 2
    """How many checkpoints stay, beside the one of the end of the plateau (wsd)."""
    eval_every: Whole = 0
    """Steps between evaluations; 0 is a twelfth of the run, at most 1,000."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of matrix products; auto is bfloat16 where the processor has it."""
    compile: Literal["auto", "always", "never"] = "auto"
    """Whether torch.compile is used; auto where a compiler is found and the budget is half an hour or more."""
    deterministic: bool = True
    """Equal to the bit on the same machine, torch build, ranks and threads."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Threads of the network; 0 is as many as this process is given processors (or its quota of their time)."""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    """Decides the first weights, the order and the masks."""


class TrainingSettings(LoopSettings):
    """How pre-training goes."""

    row_length: Annotated[int, Field(ge=8)] = 128
    """Tokens in a row, [CLS] and [SEP] of each window included."""
    ema: ShareBelowOne = 0.0
    """Decay of the average of the weights that is used in place of the weights; 0 keeps none."""
    gradient_checkpointing: bool = False
    """Whether layers are computed a second time on the way back: less memory, a third more time, equal to the bit."""
    shard: Literal["none", "full"] = "none"
    """Whether each process of torchrun holds all weights, or full: a part of each (FSDP2), for what does not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that the loop is handed beside the run itself."""

    model: nn.Module
    objective: Objective
    make_batches: Callable[[int], list[Batch]]
    """The micro-batches of a step, counted from 0."""
    evaluate: Callable[[nn.Module], Mapping[str, Any]]
    """Figures of the model as it stands, a line of telemetry; it is left in the mode that it was in."""
    kept: KeptWeights
    machine: Machine
    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    training: LoopSettings
    max_steps: int
    branched: Course | None = None
    """The way of the rate where it is not that of ``schedule`` over ``max_steps``: the run goes on past its end."""
    ranks: Ranks = ALONE
    """The processes that take the steps together."""
    rows_at_once: RowsAtOnce = field(default_factory=RowsAtOnce)
    """What memory holds, where that is less than a micro-batch."""
    gauge: Gauge | None = None
    """What the lines of steps tell the utilisation by, where they do."""
    sources: Sequence[str] = ("",)
    """Names of the sources that the text is from."""
    in_force: Callable[[int], Mapping[str, float]] = lambda _: {}
    """What else the line of a step tells, by the step counted from 0."""
    scales: Mapping[str, float] = field(default_factory=dict)
    """Which share of the rate a parameter learns at, by name, where that is not 1."""

    @property
    def course(self) -> Course:
        """The way of the rate."""
        return self.branched or course_of(self.schedule, self.max_steps)


def train(run: RunDirectory, plan: Plan, listener: Listener) -> bool:
    """Train from the last good checkpoint of ``run``, or from the start, and return whether the end was reached.

    False means that a signal ended it and a checkpoint was written. Raises RunError once the loss is no longer finite.
    """
    training, max_steps, model, kept = plan.training, plan.max_steps, plan.model.train(), plan.kept
    ranks, course = plan.ranks, plan.course
    optimizer = make_optimizer(model, plan.optimizer, plan.scales)
    first, telemetry = _start(run, plan, optimizer, listener)
    if kept.is_settled:
        return True
    plateau_end = course.plateau[1] if course.plateau else None
    eval_every = training.eval_every or max(1, min(1000, max_steps // 12))
    save_every = training.save_every or max(1, min(1000, max_steps // 10))
    line_every = max(1, min(50, max_steps // 100))

    def save(step: int) -> None:
        lasting = {**kept.state(), **plan.rows_at_once.state()}
        where = {"rows_consumed": step * training.batch_rows, **telemetry.consumed(), **lasting}
        save_checkpoint(run, step, model, optimizer, kept, where, training.keep, ranks, spared=plateau_end)

    def evaluate(step: int) -> None:
        kept.exchange(model)
        line = plan.evaluate(model)
        kept.exchange(model)
        telemetry.write(step, {"kind": "evaluation", **line})
        kept.judge(model, step, line)

    with (
        StopRequest(patient=ranks.launch is not None) as stop,
        Prefetch(plan.make_batches, range(first, max_steps)) as batches,
    ):
        if first == 0:
            with telemetry.off_the_clock():
                evaluate(0)
        for step, micro_batches in enumerate(batches, start=first + 1):
            rate = plan.optimizer.learning_rate * course.factor(step - 1)
            set_rate(optimizer, rate)
            by_kind, norm = train_step(plan, optimizer, micro_batches, step - 1)
            kept.update(model, step)
            telemetry.gather(by_kind, torch.stack([batch.source_tokens() for batch in micro_batches]).sum(0))

            if step % line_every == 0 or step % save_every == 0 or step in (plateau_end, max_steps):
                in_force = {"learning_rate": rate, **plan.in_force(step - 1), **plan.rows_at_once.state()}
                telemetry.write_steps(step, in_force, gradient_norm=norm, waited=batches.take_waited())
            with telemetry.off_the_clock():
                if step % eval_every == 0 or step == max_steps:
                    evaluate(step)
                ending = step == max_steps or kept.is_settled
                stopping = ranks.any(stop.requested)  # read once: a signal may come at any moment
                if step % save_every == 0 or step == plateau_end or ending or stopping:
                    save(step)
            if ending or stopping:
                return ending
    return True


def train_step(
    plan: Plan, optimizer: torch.optim.Optimizer, micro_batches: list[Batch], step: int
) -> tuple[Tensor, Tensor]:
    """Take one optimiser step and return sums (2, S, K) of loss and counts by source and kind, and the gradient's norm.

    Every term is divided once, by its weight in the whole step over all ranks. The sums are those of this rank.
    """
    by_kind = None
    while by_kind is None:
        optimizer.zero_grad(set_to_none=True)
        by_kind = _gradients(plan, micro_batches, step)
    norm = whole(clip_gradient(plan.model.parameters(), plan.optimizer.clip))
    optimizer.step()
    return by_kind, norm


def _gradients(plan: Plan, micro_batches: list[Batch], step: int) -> Tensor | None:
    """Add the gradients of a step to the model's and return its sums, or None where memory did not hold its rows.

    From then on fewer go through at once. Raises RunError where that can not be.
    """
    try:
        return _summed(plan, plan.rows_at_once.cut(micro_batches), step)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    plan.rows_at_once.halve(micro_batches)  # out here, where what the error held is free again
    return None


def _summed(plan: Plan, micro_batches: list[Batch], step: int) -> Tensor:
    ranks, model = plan.ranks, plan.model
    weights = plan.objective.step_weights(micro_batches, ranks.add)
    by_kind = torch.zeros(2, len(plan.sources), len(plan.objective.kinds), device=plan.machine.device)
    for number, batch in enumerate(micro_batches):
        # Dropout: the same at every resume point, and another on every rank.
        torch.manual_seed(hash((plan.training.seed, step, ranks.rank << 32 | number)))
        with plan.machine.precision():
            terms = plan.objective.terms(model, batch.to(plan.machine.device))
        loss = torch.stack([term.coefficient / weights[term.name] * term.loss_sum for term in terms]).sum()
        is_summed = ranks.count > 1 and number == len(micro_batches) - 1 and not is_sharded(model)
        with ranks.summed_gradients(model, overlap=loss.is_cuda) if is_summed else nullcontext():
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        by_kind += terms[0].by_kind  # the first term is the one that people watch
    return by_kind


def trial_steps(plan: Plan) -> Callable[[int], None]:
    """Return a function that takes the n-th step at rate zero, to see how long a step takes; it moves no weight."""
    optimizer = make_optimizer(plan.model, plan.optimizer, plan.scales)
    set_rate(optimizer, 0.0)

    def run_step(number: int) -> None:
        train_step(plan, optimizer, plan.make_batches(number), number)

    return run_step


def _start(
    run: RunDirectory, plan: Plan, optimizer: torch.optim.Optimizer, listener: Listener
) -> tuple[int, Telemetry]:
    """Load the last good checkpoint, if any, and return how many steps it holds and the telemetry that goes on."""
    checkpoint, damaged = run.last_good_checkpoint()
    nothing = {"step": 0, "source_tokens": [0] * len(plan.sources), "seconds": 0.0}
    state: dict[str, Any] = checkpoint.state if checkpoint else nothing
    if checkpoint:
        load_checkpoint(checkpoint, plan.model, optimizer, plan.kept)
        plan.kept.restore(state)
        plan.rows_at_once.restore(state)
    attempt = run.state["attempt"]
    telemetry = Telemetry(
        run,
        attempt,
        listener,
        plan.sources,
        plan.objective.kinds,
        source_tokens=state["source_tokens"],
        seconds=state["seconds"],
        ranks=plan.ranks,
        gauge=plan.gauge,
    )
    if attempt > 1:
        telemetry.write(state["step"], {"kind": "resumed", "damaged": damaged})
    return state["step"], telemetry
