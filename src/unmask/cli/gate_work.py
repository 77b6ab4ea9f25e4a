"""What a gate measures: both models on the same examples, criterion by criterion of the policy.

What bites: a criterion that is asked for and can not be measured is the user's mistake, never a criterion that passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.cli.labelled import figure_named, labelled, open_task, values_in
from unmask.errors import ModelError, SettingError
from unmask.evaluation.robustness import noisy_examples
from unmask.finetuning.held_out import HeldOut, Outcome
from unmask.inference.loading import task_predictor
from unmask.inference.resolved import Resolved
from unmask.inference.task_predictor import TaskPredictor
from unmask.stats.calibration import confidences, probabilities
from unmask.stats.figure import Floats
from unmask.tasks.metrics import Metric
from unmask.watch.gate import (
    Criterion,
    Judgement,
    Verdict,
    calibration_error_of,
    calibration_table,
    judged,
    of_latency,
    of_parity,
    of_part,
    of_size,
)
from unmask.watch.policy import GatePolicy

Told = Callable[..., None]
_WARM_UP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was asked for."""

    candidate: Path
    against: Path
    dev: Path
    policy: GatePolicy
    fields: Mapping[str, str]
    seed: int


class Side:
    """One of the two models, and what it makes of the examples."""

    def __init__(self, where: Path, dev: Path, fields: Mapping[str, str], figure: str | None) -> None:
        """Open the model and ask it. Raises UserError for what does not fit."""
        self.where = where
        self.found, self.predictor = open_task(where)
        self.examples = labelled(self.predictor.block, dev, fields)
        self.outcome = self.asked(self.examples)
        self.metric = figure_named(self.outcome.metrics, figure)

    def asked(self, examples: list[Any], predictor: TaskPredictor | None = None) -> Outcome:
        """Return what this model, or another form of it, makes of ``examples``."""
        chosen = predictor or self.predictor
        return HeldOut(examples, chosen).outcome(chosen)

    def with_errors(self, rate: float) -> Metric:
        """Return the figure with typing errors in the examples."""
        noisy = noisy_examples(self.predictor.block.name, self.examples, "typos", rate)
        return figure_named(self.asked(noisy).metrics, self.metric.name)

    def calibration(self) -> Floats:
        """Return (N, K) what adds up to the calibration error. Raises SettingError where there are no probabilities."""
        block, outcome = self.predictor.block, self.outcome
        if outcome.scores is None or outcome.truth is None or block.name != "classify" or block.multi_label:
            raise SettingError("calibration.margin is for tasks of one class a text; leave it out of the policy")
        return calibration_table(*confidences(probabilities(outcome.scores, block.temperature), outcome.truth))


def judgement_of(work: Work, told: Told) -> tuple[Judgement, int]:
    """Return the verdicts on every criterion of the policy, and how many examples there were. Raises UserError."""
    policy, sides = work.policy, []
    for place, where in enumerate((work.candidate, work.against)):
        told("models", place, 2, str(where))
        sides.append(Side(where, work.dev, work.fields, policy.headline.figure))
    ours, theirs = sides
    if ours.predictor.block.name != theirs.predictor.block.name:
        tasks = " and ".join(f"{side.where} ({side.predictor.block.name})" for side in sides)
        raise ModelError(f"a gate compares models of one task, got {tasks}")
    criteria = [_pair("headline", ours.metric, theirs.metric, policy.headline.margin)]
    criteria += _slices(work, ours.metric, theirs.metric)
    if policy.calibration.margin is not None:
        one, other = ours.calibration(), theirs.calibration()
        criteria.append(
            Criterion(
                name="calibration", candidate=one, baseline=other, combine=calibration_error_of,
                margin=policy.calibration.margin, items=len(one), is_loss=True,
            )
        )  # fmt: skip
    if policy.robustness.margin is not None:
        told("typing errors", 0, 1)
        noisy = [side.with_errors(policy.robustness.rate) for side in sides]
        criteria.append(_pair("robustness", noisy[0], noisy[1], policy.robustness.margin))
    told("cost", 0, 1)
    beside = _beside(policy, ours, theirs)
    found = judged(criteria, policy.evidence, others=len(beside), seed=work.seed)
    return Judgement([*found.verdicts, *beside], found.pass_rate), len(ours.examples)


def _pair(name: str, one: Metric, other: Metric, margin: float, part: npt.NDArray[np.bool_] | None = None) -> Criterion:
    counted = np.ones(len(one.per_item), bool) if part is None else part
    return Criterion(
        name=f"{name}: {one.name}",
        candidate=of_part(one.per_item, counted),
        baseline=of_part(other.per_item, counted),
        combine=one.combine,
        margin=margin,
        items=int(counted.sum()),
    )


def _slices(work: Work, one: Metric, other: Metric) -> list[Criterion]:
    """Return a criterion for every part of the file that is large enough. Raises SettingError where it has no parts."""
    chosen = work.policy.slices
    if chosen.field is None:
        return []
    values = values_in(work.dev, chosen.field)
    names, counts = np.unique(values, return_counts=True)
    large = [str(name) for name, count in zip(names, counts.tolist(), strict=True) if count >= chosen.fewest]
    if not large:
        raise SettingError(
            f"slices.field: no value of {chosen.field} has {chosen.fewest} examples in {work.dev}; lower slices.fewest"
        )
    return [_pair(f"{chosen.field} {name}", one, other, chosen.margin, values == name) for name in large]


def _beside(policy: GatePolicy, ours: Side, theirs: Side) -> list[Verdict]:
    """Return the verdicts on what is not a figure of examples: time, size, and other forms of the candidate."""
    found = []
    if (margin := policy.latency.margin) is not None:
        times = _timed(ours, theirs, policy.latency.texts)
        found.append(of_latency(times[0], times[1], margin, policy.evidence.level))
    if (margin := policy.size.margin) is not None:
        found.append(of_size(_bytes(ours.found), _bytes(theirs.found), margin))
    if (margin := policy.parity.margin) is not None:
        found += [
            of_parity(form, otherwise, len(ours.examples), margin, policy.evidence.level)
            for form, otherwise in _otherwise(ours).items()
        ]
    return found


def _timed(ours: Side, theirs: Side, texts: int) -> tuple[Floats, Floats]:
    """Return (N,) seconds that each side takes for one text, the two in turn."""
    chosen = [HeldOut([example], ours.predictor).windows for example in ours.examples[:texts]]
    others = [HeldOut([example], theirs.predictor).windows for example in theirs.examples[:texts]]
    found = np.zeros((2, len(chosen)))
    for place in (*range(_WARM_UP), *range(len(chosen))):
        for side, windows in ((0, chosen[place]), (1, others[place])):
            began = time.perf_counter()
            (ours, theirs)[side].predictor.engine.scores(windows)
            found[side, place] = time.perf_counter() - began
    return found[0], found[1]


def _bytes(found: Resolved) -> int:
    """Return the size of the weights, or of the graph where there are none."""
    paths = found.weights or tuple(found.graphs.values())[:1]
    return sum(path.stat().st_size for path in paths)


def _otherwise(side: Side) -> dict[str, int]:
    """Return for each exported form how many examples it answers otherwise. Raises ModelError where there is none."""
    if not side.found.graphs or not side.found.weights:
        raise ModelError(
            f"{side.where}: has no second form that parity.margin could compare; make one: unmask export "
            f"{side.where} --to onnx --out DIR, and give DIR"
        )
    own = side.metric.per_item
    forms = {form: task_predictor(side.found, form) for form in side.found.graphs}
    tables = {form: side.asked(side.examples, one).metrics for form, one in forms.items()}
    return {
        form: int((figure_named(metrics, side.metric.name).per_item != own).any(1).sum())
        for form, metrics in tables.items()
    }
