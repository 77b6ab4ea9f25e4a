"""What a fine-tuning gets once its weights are there: a temperature, a margin, figures with intervals, floors.

What bites: temperature and margin are fitted on the development examples alone; test examples are looked at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unmask.finetuning.fit import Job
from unmask.finetuning.held_out import HeldOut, Outcome
from unmask.inference.loading import task_predictor
from unmask.inference.resolve import resolve
from unmask.inference.task_predictor import TaskPredictor, answer_text
from unmask.runs import RunDirectory
from unmask.stats import bootstrap
from unmask.stats.calibration import (
    calibration,
    confidences,
    coverage_at,
    fit_temperature,
    probabilities,
    risk_coverage,
)
from unmask.tasks.block import TaskBlock
from unmask.tasks.floors import floors
from unmask.tasks.metrics import Metric, answers

RISKS = (0.01, 0.05, 0.1)
"""Shares of wrong answers at which a report says how many texts can be answered."""
_CURVE_POINTS = 60
_MARGINS = 200


def finished(run: RunDirectory, job: Job) -> tuple[TaskPredictor, Outcome]:
    """Fit what is fitted on the development examples and write it into the block of ``run``.

    Returns a predictor over the run's best weights with that block, and what it makes of those examples.
    """
    predictor = task_predictor(resolve(run.path))
    held_out = HeldOut(job.development, predictor)
    outcome = held_out.outcome(predictor)
    before, block = predictor.block, fitted_block(predictor.block, outcome, job.development)
    if (risk := job.settings.task.risk) and block.name == "classify" and not block.multi_label:
        assert outcome.scores is not None
        assert outcome.truth is not None
        chance = probabilities(outcome.scores, block.temperature)
        least = coverage_at(*confidences(chance, outcome.truth), risk).confidence
        block = replace(block, threshold=1.0 if least is None else least)
    run.update(task=block.plain())
    predictor.block = block
    moved = block.null_margin != before.null_margin  # nothing else that is fitted changes what is answered
    return predictor, held_out.outcome(predictor) if moved else outcome


def fitted_block(block: TaskBlock, outcome: Outcome, development: Sequence[Any]) -> TaskBlock:
    """Return ``block`` with the temperature and the margin that suit the development examples best.

    Raises DataError where a score is not finite.
    """
    if outcome.scores is not None and outcome.truth is not None:
        return replace(block, temperature=fit_temperature(outcome.scores, outcome.truth))
    if block.null_margin is None or outcome.answered is None:
        return block
    edges = np.array([one.spans[0].score - one.nothing for one in outcome.answered if one.spans])
    candidates = np.unique(np.quantile(edges, np.linspace(0, 1, _MARGINS))) if len(edges) else np.zeros(1)

    def f1(margin: float) -> float:
        assert outcome.answered is not None
        pairs = zip(development, outcome.answered, strict=True)
        found = [answer_text(example.context, one, margin) for example, one in pairs]
        return answers(found, [[text for _, text in example.answers] for example in development])[0].value

    best = max(candidates, key=lambda margin: (f1(float(margin)), -abs(float(margin))))
    return replace(block, null_margin=float(best))


def figures(metrics: Sequence[Metric]) -> dict[str, Any]:
    """Return figures with intervals over items, as JSON writes them."""
    return {metric.name: bootstrap(metric.per_item, metric.combine).plain() for metric in metrics}


def floor_figures(block: TaskBlock, train: Sequence[Any], held_out: Sequence[Any]) -> dict[str, Any]:
    """Return the figures of each floor."""
    return {name: figures(metrics) for name, metrics in floors(block, train, held_out).items()}


def trust(outcome: Outcome, block: TaskBlock) -> dict[str, Any] | None:
    """Return whether probabilities can be believed and what abstaining would bring; None where there are none."""
    if outcome.scores is None or outcome.truth is None:
        return None
    chance = probabilities(outcome.scores, block.temperature, multi_label=block.multi_label)
    confidence, right = confidences(chance, outcome.truth)
    covered, risk = risk_coverage(confidence, right)
    kept = np.unique(np.linspace(0, len(covered) - 1, _CURVE_POINTS).astype(int))
    return {
        "raw": calibration(outcome.scores, outcome.truth, 1.0),
        "fitted": calibration(outcome.scores, outcome.truth, block.temperature),
        "risk_coverage": {"coverage": covered[kept].tolist(), "risk": risk[kept].tolist()},
        "coverage_at_risk": {f"{limit:g}": coverage_at(confidence, right, limit).plain() for limit in RISKS},
    }
