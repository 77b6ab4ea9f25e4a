"""Many fine-tunings beside each other: the figures of each are kept once it has ended, so a stop loses one at most.

What bites: a cell is named by what went into it. Change the examples or the settings, and it needs another folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from unmask import files
from unmask.finetuning.finish import finished
from unmask.finetuning.fit import Job, fit, refit
from unmask.finetuning.held_out import HeldOut
from unmask.runs import RunDirectory
from unmask.tasks.metrics import COMBINES
from unmask.training.telemetry import Listener

_SECONDS = "seconds"
"""What the file of a cell calls how long it learned; figures have a number before their name."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The figures of one fine-tuning on the held-out examples: what each item brings, by figure."""

    per_item: dict[str, npt.NDArray[np.float64]]
    """The headline first; (N, K) each."""
    seconds: float
    """How long it learned."""

    @property
    def headline(self) -> str:
        """The name of the first figure."""
        return next(iter(self.per_item))

    def value(self, name: str) -> float:
        """Return a figure of all items."""
        return float(COMBINES[name](self.per_item[name].sum(0)))


class Cells:
    """The cells in a folder."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, which need not exist."""
        self.folder = folder

    def get(self, name: str) -> Cell | None:
        """Return the cell ``name`` where it was finished."""
        path = self._path(name)
        if not path.is_file():
            return None
        tensors = load_file(path)
        seconds = float(tensors.pop(_SECONDS)[0])
        return Cell({key.partition(" ")[2]: tensors[key] for key in sorted(tensors)}, seconds)

    def put(self, name: str, cell: Cell) -> None:
        """Keep a cell."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ordered = {f"{place} {key}": value for place, (key, value) in enumerate(cell.per_item.items())}
        files.write_tensors(self._path(name), {**ordered, _SECONDS: np.array([cell.seconds])})

    def make(self, name: str, job: Callable[[], Job], held_out: list[Any], listener: Listener) -> Cell:
        """Return the cell ``name``, fine-tuned now or on from where it was stopped, unless it is there already."""
        if (cell := self.get(name)) is not None:
            return cell
        made, aside = job(), self.folder / f"{name}.run"
        self.folder.mkdir(parents=True, exist_ok=True)
        if (aside / "run.json").is_file():
            run = refit(RunDirectory(aside), made, listener)
        else:
            run = fit(made, aside, listener)
        predictor, _ = finished(run, made)
        outcome = HeldOut(held_out, predictor).outcome(predictor)
        cell = Cell({metric.name: metric.per_item for metric in outcome.metrics}, run.state["seconds"])
        self.put(name, cell)
        shutil.rmtree(aside)
        return cell

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"
