"""The arm that has no network, fitted beside the fine-tunings: the same examples, the same seeds, kept the same way.

What bites: a floor is a claim too. It is measured on the same items, so that differences from it are paired.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from unmask.comparison.arms import FLOORS
from unmask.finetuning.cells import Cell, Cells
from unmask.finetuning.curve import Curve, Told, drawn
from unmask.tasks.floors import floors


def floor_cells(curve: Curve, cells: Cells, told: Told) -> dict[str, dict[int, list[Cell]]]:
    """Return the cells of the floor of the task, and of the answer that looks at nothing where it has one."""
    floor = FLOORS[curve.job.block.name]
    found: dict[str, dict[int, list[Cell]]] = {name: {count: [] for count in curve.counts} for name in floor.names}
    total, done = len(curve.counts) * curve.seeds, 0
    for count in curve.counts:
        for seed in range(curve.seeds):
            for name, cell in _made(curve, cells, floor.names, count, seed).items():
                found[name][count].append(cell)
            done += 1
            told("floor", done, total, f"{floor.arm.title}, {count:,} labels, seed {seed}")
    return found


def _made(curve: Curve, cells: Cells, names: Sequence[str], count: int, seed: int) -> dict[str, Cell]:
    kept = {name: cell for name in names if (cell := cells.get(f"{name}-{count}-{seed}")) is not None}
    if len(kept) == len(names):
        return kept
    began = time.perf_counter()
    made = floors(curve.job.block, drawn(curve.job, count, seed).train, curve.held_out)
    seconds = time.perf_counter() - began
    found = {name: Cell({metric.name: metric.per_item for metric in made[name]}, seconds) for name in names}
    for name, cell in found.items():
        cells.put(f"{name}-{count}-{seed}", cell)
    return found
