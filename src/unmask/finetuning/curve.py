"""Score against the number of labels, for several arms: the picture that says whether pre-training paid.

Arms are paired: under one seed all of them see the same examples, drawn nested (those of 50 are among those of 100),
and all are measured on the same held-out ones. What bites: fewer than six seeds can not reach 0.05 by a sign test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from unmask.errors import DataError, SettingError
from unmask.finetuning.cells import Cell, Cells
from unmask.finetuning.fit import Job, planned
from unmask.finetuning.settings import steps_for
from unmask.stats import Figure, hierarchical, holm, paired_difference, permutation_p
from unmask.tasks.floors import floors
from unmask.tasks.metrics import COMBINES
from unmask.training.loop import trial_steps

Start = Callable[[Job, int], Job]
"""From a job and a seed to the same job, begun with the network of an arm: the same for all seeds, or a fresh one."""

Told = Callable[[str, int, int, str], None]
"""Progress: stage, cells done, cells in all, words."""

ALL = "all"

FEWEST_SEEDS = 3
"""Seeds from which a figure has an interval over them: that of two would span all that is possible."""
_EVALUATIONS = 15  # on development examples, of each fine-tuning


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What is compared."""

    job: Job
    """With all training examples; what its network is, each arm says."""
    held_out: list[Any]
    arms: Mapping[str, Start]
    """The first is the one that the others are compared with."""
    counts: Sequence[int]
    seeds: int


def parse_counts(text: str, available: int) -> list[int]:
    """Return the label counts in ``text``, as in 50,100,all, ascending. Raises SettingError."""
    counts = set()
    for word in text.split(","):
        if word.strip() == ALL:
            counts.add(available)
        elif word.strip().isdigit() and 2 <= int(word) <= available:
            counts.add(int(word))
        else:
            raise SettingError(f"labels must be counts from 2 to {available:,}, or all, got {word.strip()!r}")
    return sorted(counts)


def drawn(job: Job, count: int, seed: int) -> Job:
    """Return ``job`` with ``count`` of its training examples, a nested draw of ``seed``, and their labels alone.

    Raises DataError where they hold a single class.
    """
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(job.train))
    train = [job.train[place] for place in sorted(order[:count])]
    if job.block.name == "classify" and len({label for example in train for label in example.labels}) < 2:
        raise DataError(train[0].where, f"{count} examples drawn under seed {seed} have one label; ask for more")
    training = job.settings.training.model_copy(update={"seed": seed})
    return replace(job, train=train, settings=job.settings.model_copy(update={"training": training}))


def seconds_of(curve: Curve) -> float:
    """Return about how long the fine-tunings of ``curve`` will take, from a few steps and one evaluation.

    Texts that take several windows take longer.
    """
    start = next(iter(curve.arms.values()))
    job = start(drawn(curve.job, max(curve.counts), 0), 0)
    plan = planned(job)
    run_step = trial_steps(plan)
    run_step(0)
    began = time.perf_counter()
    for number in range(1, 4):
        run_step(number)
    step = (time.perf_counter() - began) / 3
    began = time.perf_counter()
    plan.evaluate(plan.model)
    evaluation = time.perf_counter() - began
    evaluations = _EVALUATIONS + len(curve.held_out) / len(curve.job.development)
    steps = sum(steps_for(count, curve.job.settings.training) for count in curve.counts)
    cells = len(curve.arms) * curve.seeds
    return cells * (steps * step + len(curve.counts) * evaluations * evaluation)


def fill_cells(curve: Curve, cells: Cells, told: Told) -> dict[str, dict[int, list[Cell]]]:
    """Return the cells by arm and count, a cell a seed; those that are there already are not made again."""
    found: dict[str, dict[int, list[Cell]]] = {arm: {count: [] for count in curve.counts} for arm in curve.arms}
    total = len(curve.arms) * len(curve.counts) * curve.seeds
    done = 0
    for seed in range(curve.seeds):
        for count in curve.counts:
            job = drawn(curve.job, count, seed)
            for arm, start in curve.arms.items():
                made = cells.make(f"{arm}-{count}-{seed}", partial(start, job, seed), curve.held_out, lambda _: None)
                found[arm][count].append(made)
                done += 1
                words = f"{arm}, {count:,} labels, seed {seed}: {made.headline} {made.value(made.headline):.3f}"
                told("fine-tuning", done, total, words)
    return found


def summary(curve: Curve, found: Mapping[str, Mapping[int, Sequence[Cell]]]) -> dict[str, Any]:
    """Return the curve as JSON: figures by arm and count, differences from the first arm, floors by count."""
    first, *others = curve.arms
    name = found[first][curve.counts[0]][0].headline
    combine = COMBINES[name]

    def tables(arm: str, count: int) -> list[Any]:
        return [cell.per_item[name] for cell in found[arm][count]]

    differences, p_values = {}, {}
    for arm in others:
        for count in curve.counts:
            key = f"{first} - {arm} at {count}"
            pairs = zip(found[first][count], found[arm][count], strict=True)
            apart = [one.value(name) - other.value(name) for one, other in pairs]
            whole = paired_difference(tables(first, count), tables(arm, count), combine)
            differences[key] = _ranged(whole, apart).plain()
            p_values[key] = permutation_p(apart)
    adjusted = holm(p_values)
    return {
        "figure": name,
        "counts": list(curve.counts),
        "seeds": curve.seeds,
        "held_out": len(curve.held_out),
        "arms": {
            arm: {
                str(count): {
                    **_ranged(hierarchical(tables(arm, count), combine), values).plain(),
                    "seeds": values,
                }
                for count in curve.counts
                for values in [[cell.value(name) for cell in found[arm][count]]]
            }
            for arm in curve.arms
        },
        "differences": {
            key: {**figure, "p": p_values[key], "p_holm": adjusted[key]} for key, figure in differences.items()
        },
        "floors": _floors(curve, name),
    }


def _ranged(figure: Figure, values: Sequence[float]) -> Figure:
    """Return ``figure`` with the range of its seeds in place of an interval, where two seeds can not carry one."""
    if not 1 < len(values) < FEWEST_SEEDS:
        return figure
    return replace(figure, low=min(values), high=max(values), method=f"range of {len(values)} seeds, no interval")


def _floors(curve: Curve, name: str) -> dict[str, dict[str, float]]:
    """Return the mean over seeds of each floor, by name and count."""
    found: dict[str, dict[str, float]] = {}
    for count in curve.counts:
        seeds = curve.seeds if count < len(curve.job.train) else 1  # all examples are the same under every seed
        by_seed = [
            floors(curve.job.block, drawn(curve.job, count, seed).train, curve.held_out) for seed in range(seeds)
        ]
        for floor in by_seed[0]:
            values = [next(metric.value for metric in one[floor] if metric.name == name) for one in by_seed]
            found.setdefault(floor, {})[str(count)] = float(np.mean(values))
    return found
