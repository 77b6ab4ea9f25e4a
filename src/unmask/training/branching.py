"""Going on past the end that was planned: a longer run, a decay from the plateau, the average of checkpoints.

What bites: the rate is a function of the step and of the run's length. A longer run is therefore only the run that it
would have been if it goes on from its plateau, where no step knew yet how long the run would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from unmask import files
from unmask.errors import RunError
from unmask.runs import Checkpoint, RunDirectory, refuse_occupied
from unmask.training.optim import Course, ScheduleSettings, course_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """From which checkpoint of a run to go on, and how: with steps added to ``course``, falling at once or not."""

    run: RunDirectory
    checkpoint: Checkpoint
    course: Course
    schedule: ScheduleSettings
    falls: bool
    out: Path | None
    """Where the longer run is written; None makes the run itself longer."""

    @property
    def rewarms(self) -> bool:
        """Whether the rate rises anew: the rate of the checkpoint had begun to fall, or knew the end all along."""
        plateau = self.course.plateau
        return plateau is None or self.checkpoint.step > plateau[1]

    def longer(self, steps: int) -> Course:
        """Return the course with ``steps`` more of them."""
        at, end = self.checkpoint.step, self.course.end + steps
        if self.falls:
            return replace(self.course, end=at + steps, decay=float(steps))
        if self.rewarms:
            return course_of(self.schedule, end, begin=at)
        decay = self.schedule.decay * (end - self.course.begin)
        return replace(self.course, end=end, decay=min(decay, float(end - at)))

    def begin(self, steps: int) -> RunDirectory:
        """Write down that the run goes on for ``steps`` more, and return it: at ``out``, or in its own place."""
        course, at = self.longer(steps), self.checkpoint.step
        changes: dict[str, Any] = {
            "status": "running",
            "max_steps": course.end,
            "branched": {"step": at, "course": asdict(course)},
        }
        if self.out is not None:
            parent = {"path": str(self.run.path.resolve()), "kind": "run", "step": at, "weights": None}
            return self.run.branch(self.out, self.checkpoint, **changes, parent=parent)
        where = {key: value for key, value in self.checkpoint.state.items() if key != "checksums"}
        self.run.update(**where, **changes)
        drop_what_came_after(self.run)
        return self.run


def recorded_course(state: dict[str, Any]) -> Course | None:
    """Return the course of a run that goes on past its first end, by its run.json; None for all others."""
    branched = state.get("branched")
    return None if branched is None else Course(**branched["course"])


def drop_what_came_after(run: RunDirectory) -> None:
    """Remove what a run that was made longer has of the time past the step that it goes on from.

    A kill may have come before that was done: it is done again until the first checkpoint of the longer run.
    """
    state = run.state
    if (branched := state.get("branched")) and state["step"] == branched["step"]:
        run.drop_checkpoints_past(branched["step"])
        for name in ("evaluation.json", "fills.json", "report.html"):
            (run.path / name).unlink(missing_ok=True)


def branch_of(
    run: RunDirectory, step: int | None, schedule: ScheduleSettings, hangs: str | None, out: Path | None
) -> Branch:
    """Return the way on from ``run``, or from its checkpoint of ``step``. Raises RunError where there is none.

    ``hangs`` is what of the run hangs on its length, where something does.
    """
    if out is not None:
        refuse_occupied(out)
    state = run.state
    if hangs is not None:
        raise RunError(
            f"{run.path}: its {hangs} hangs on its length, so it can not be made longer; "
            f"start a new run from it with --init {run.path}"
        )
    if steps := state.get("averaged"):
        raise RunError(
            f"{run.path}: is the average of {len(steps)} checkpoints and holds no state of the optimiser; "
            "make the run longer that they are from"
        )
    course = recorded_course(state) or course_of(schedule, state["max_steps"])
    if step is None:
        checkpoint = _end_of(run, course)
    else:
        checkpoint = _on_plateau(run, step, course)
        if out is None:
            raise RunError(f"{run.path}: a decay from step {step:,} is a run of its own; give --out RUN")
    return Branch(run=run, checkpoint=checkpoint, course=course, schedule=schedule, falls=step is not None, out=out)


def _end_of(run: RunDirectory, course: Course) -> Checkpoint:
    """Return the last checkpoint on the plateau of a finished run, or where there is none, its last."""
    state = run.state
    if state["status"] != "finished":
        raise RunError(
            f"{run.path}: is not finished (step {state['step']:,} of {state['max_steps']:,}); go on with it first: "
            f"unmask pretrain --resume {run.path}"
        )
    on_plateau = run.last_good_checkpoint(course.plateau[1])[0] if course.plateau else None
    found = on_plateau or run.last_good_checkpoint()[0]
    if found is None:
        raise RunError(f"{run.path}: has no checkpoint that is whole, so there is nothing to go on from")
    return found


def _on_plateau(run: RunDirectory, step: int, course: Course) -> Checkpoint:
    """Return the checkpoint of ``step``, which must be on the plateau of a warm-up-stable-decay run."""
    if course.plateau is None:
        raise RunError(f"{run.path}: its schedule ({course.name}) has no plateau to decay from; make the run longer")
    first, last = course.plateau
    if not first <= step <= last:
        raise RunError(f"{run.path}: step {step:,} is not on its plateau, which goes from {first:,} to {last:,}")
    found, _ = run.last_good_checkpoint(step)
    if found is None or found.step != step:
        there = ", ".join(str(int(path.name.removeprefix("step-"))) for path in run.checkpoints())
        raise RunError(f"{run.path}: has no whole checkpoint of step {step:,}; there are those of {there or 'none'}")
    return found


def average(run: RunDirectory, last: int, out: Path) -> RunDirectory:
    """Write the run at ``out`` whose weights are the mean of the ``last`` checkpoints of ``run``, and return it.

    It is yet to be measured. Averages over a plateau come near to what a decay reaches (Kaddour 2022, Hägele et al.
    2024). Raises RunError where a checkpoint is missing or damaged.
    """
    refuse_occupied(out)
    paths = run.checkpoints()
    if last < 2 or len(paths) < last:
        raise RunError(
            f"{run.path}: has {len(paths)} checkpoints, --last {last} asks for {'2 at least' if last < 2 else last}; "
            "training.keep says how many stay"
        )
    found = []
    for path in paths[-last:]:
        step = int(path.name.removeprefix("step-"))
        checkpoint, damaged = run.last_good_checkpoint(step)
        if checkpoint is None or checkpoint.step != step:
            raise RunError(damaged[0].removesuffix("; passed over"))
        found.append(checkpoint)
    newest = found[-1]
    parent = {"path": str(run.path.resolve()), "kind": "run", "step": newest.step, "weights": None}
    steps = [checkpoint.step for checkpoint in found]
    made = run.branch(out, newest, status="running", averaged=steps, parent=parent)
    where = {key: value for key, value in newest.state.items() if key not in ("checksums", "step")}
    with made.new_checkpoint(newest.step, where) as folder:
        files.write_bytes(folder / newest.model.name, save(_mean([checkpoint.model for checkpoint in found])))
    return made


def _mean(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Return the mean of the tensors in ``paths``, added up in float64, one name at a time."""
    mean = {}
    with safe_open(paths[0], "pt") as first:
        names = list(first.keys())
    for name in names:
        sums = torch.zeros((), dtype=torch.float64)
        for path in paths:
            with safe_open(path, "pt") as stored:
                tensor = stored.get_tensor(name)
                sums = sums + tensor.double()
        mean[name] = (sums / len(paths)).to(tensor.dtype).contiguous()
    return mean
