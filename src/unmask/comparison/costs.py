"""What an arm costs: to train, and to serve on this machine.

What bites: energy is not measured. It is time times threads times a power that is assumed, and the page says which.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unmask.comparison.evidence import Found
from unmask.finetuning.data import prepare
from unmask.finetuning.fit import Job, planned, predictor_in
from unmask.finetuning.held_out import HeldOut
from unmask.model.config import EncoderConfig
from unmask.model.flops import flops_per_token
from unmask.model.tasks import TaskModel
from unmask.runs import RunDirectory
from unmask.tasks.block import TaskBlock
from unmask.tasks.floors import BagOfWords

WATTS_A_THREAD, WATTS_A_GPU = 10.0, 300.0
"""Power that is assumed: a server's processor with its memory and cooling, by thread; a GPU as a whole."""
ASSUMED = f"{WATTS_A_THREAD:g} W a thread of a processor, {WATTS_A_GPU:g} W a GPU"
ALONE, TOGETHER = 30, 200
"""Texts that are answered one by one for the latency, and at once for the speed."""


def pretraining_cost(run: RunDirectory, asked_share: float) -> dict[str, float]:
    """Return what the pre-training ``run`` has cost; ``asked_share`` of its tokens were asked for."""
    state, environment = run.state, run.read("environment.json") or {}
    row_length = run.settings["training"]["row_length"]
    each = flops_per_token(EncoderConfig(**state["model"]["config"]), row_length, asked_share).total
    seconds, tokens = state["seconds"], state["tokens"]
    return {"seconds": seconds, "tokens": tokens, "flops": each * tokens, "energy_wh": energy_wh(seconds, environment)}


def energy_wh(seconds: float, environment: Mapping[str, Any]) -> float:
    """Return watt-hours under the power that is assumed, on the machine that ``environment`` tells of."""
    on_gpu = str(environment.get("device")).startswith("cuda")
    return seconds * (WATTS_A_GPU if on_gpu else WATTS_A_THREAD * environment["threads"]) / 3600


def finetuning_seconds(found: Found, arm: str, count: int) -> float:
    """Return how long an arm learned from ``count`` labels, the median over seeds."""
    return statistics.median(cell.seconds for cell in found[arm][count])


def network_serving(job: Job, examples: Sequence[Any]) -> dict[str, float]:
    """Return the weights of the network of ``job``, and how fast it answers ``examples``, from text to answer."""
    plan = planned(job)
    assert isinstance(plan.model, TaskModel)
    predictor = predictor_in(plan.model.eval(), job, plan.machine)
    windows = prepare(job.block, examples[:TOGETHER], predictor.maker).windows
    speed = _speed(lambda some: HeldOut(some, predictor).outcome(predictor), examples)
    parameters = sum(parameter.numel() for parameter in plan.model.parameters())
    return {"parameters": parameters, **_rates(speed, sum(len(window.input_ids) for window in windows))}


def bag_serving(block: TaskBlock, train: Sequence[Any], examples: Sequence[Any], tokens: float) -> dict[str, float]:
    """Return the same of a bag of words; ``tokens`` are those that a network would read of the same texts."""
    bag = BagOfWords(block, train)
    speed = _speed(bag.labels, examples)
    return {"parameters": bag.num_parameters, **_rates(speed, tokens)}


def _speed(answer: Callable[[Sequence[Any]], object], examples: Sequence[Any]) -> tuple[float, float]:
    """Return the seconds of one text alone, the median of ALONE, and of TOGETHER texts at once, the best of two."""

    def seconds(some: Sequence[Any]) -> float:
        began = time.perf_counter()
        answer(some)
        return time.perf_counter() - began

    seconds(examples[:1])  # the first is cold
    alone = statistics.median(seconds([example]) for example in examples[:ALONE])
    return alone, min(seconds(examples[:TOGETHER]) for _ in range(2))


def _rates(speed: tuple[float, float], tokens: float) -> dict[str, float]:
    alone, together = speed
    return {"milliseconds": 1000 * alone, "tokens": tokens, "tokens_per_second": tokens / together}
