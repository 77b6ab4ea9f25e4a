"""``unmask pretrain --resume RUN --budget +10m``: a run that goes on past the end that was planned for it.

What bites: RUN@STEP is a name of a place in a run, unless a run of that very name is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from unmask.cli.planning import PretrainSettings
from unmask.errors import SettingError
from unmask.runs import RunDirectory
from unmask.training.branching import Branch, branch_of
from unmask.training.budget import Budget, parse_budget
from unmask.training.distributed import Ranks


@dataclass(frozen=True, slots=True)
class Longer:
    """What was asked for: ``budget`` more, from ``step`` or from the end, in place or as the run at ``out``."""

    budget: Budget
    step: int | None
    out: Path | None

    def of(self, run: RunDirectory, settings: PretrainSettings) -> Branch:
        """Return from which checkpoint of ``run`` to go on. Raises RunError where there is none."""
        hangs = None
        if settings.masking.schedule != "constant":
            hangs = f"rate of masking ({settings.masking.schedule})"
        elif settings.objective.hangs_on_length:
            hangs = f"objective ({settings.objective.name})"
        return branch_of(run, self.step, settings.schedule, hangs, self.out)

    def begun(self, branch: Branch, steps: int, ranks: Ranks, say: Callable[[str], None]) -> RunDirectory:
        """Write down the longer run, by the first of ``ranks``, and return it."""
        at, course = branch.checkpoint.step, branch.longer(steps)
        how = "its rate rises anew" if course.begin == at else "its rate falls from there" if branch.falls else ""
        ranks.any(False)  # all have read the run before the first changes it
        with ranks.first_before_others():
            if ranks.is_first:
                with branch.run.exclusive():
                    branch.begin(steps)
        say(f"goes on from step {at:,} to step {course.end:,}{f'; {how}' if how else ''}")
        path = self.out or branch.run.path
        return ranks.run_at(path) or RunDirectory(path)


def longer_run(resume: str, budget: str | None, out: str | PathLike[str] | None) -> tuple[Path, Longer | None]:
    """Return the run that ``resume`` names and how to go on with it; None goes on to the end that it has.

    Raises SettingError where the words do not fit each other.
    """
    path, at, digits = resume.rpartition("@")
    is_place = bool(at) and digits.isdecimal() and not (Path(resume) / "run.json").is_file()
    step = int(digits) if is_place else None
    if budget is None and (is_place or out):
        what = f"a decay from step {digits}" if is_place else "a longer run at --out"
        raise SettingError(f"{what} needs --budget +NUMBER(s|m|h|d|tok|steps); without it leave that out")
    if budget is not None and not budget.strip().startswith("+"):
        raise SettingError(f"a run that is resumed has its own budget; --budget +{budget} makes it longer by so much")
    where = Path(path if is_place else resume)
    if budget is None:
        return where, None
    return where, Longer(parse_budget(budget.strip()[1:]), step, None if out is None else Path(out))
