"""Runs side by side: which of their figures may be compared, and in what the runs differ.

What bites: cross entropy in nats belongs to one frozen set. Where the runs were measured on different sets, all that is
handed out is in bits per character, and what can not be converted (accuracy, the gap) is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unmask.report.html import Figure, Json, at, leaves, number, read_figure
from unmask.report.learning import lines

NOT_COMPARED = frozenset({"environment.python", "environment.system"})  # they move no figure


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """The JSON of a run that has been evaluated, under the ``name`` that it is shown by."""

    name: str
    run: Json
    settings: Json
    environment: Json
    metrics: Sequence[Json]
    evaluation: Json

    @property
    def fingerprint(self) -> str:
        """The name of the frozen set that the run was measured on."""
        return str(at(self.evaluation, "frozen", "fingerprint"))

    @property
    def bits_per_character(self) -> Figure | None:
        """Cross entropy at [MASK] in bits per character of the held-out text."""
        return read_figure(at(self.evaluation, "mlm", "bits_per_character"))

    def nats(self, *path: str) -> Figure | None:
        """Return the figure under ``path`` of the evaluation."""
        return read_figure(at(self.evaluation, "mlm", *path))


@dataclass(frozen=True, slots=True)
class Standing:
    """What may be said of one run beside the others, None where it may not."""

    masked: Figure | None
    gap: Figure | None
    accuracy: Figure | None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two runs or more."""

    runs: Sequence[FinishedRun]

    @property
    def fingerprint(self) -> str | None:
        """The frozen set that all runs were measured on, None where there are several."""
        found = {run.fingerprint for run in self.runs}
        return found.pop() if len(found) == 1 else None

    @property
    def unit(self) -> str:
        """What cross entropy is given in."""
        return "bits per character" if self.fingerprint is None else "nats per token"

    @property
    def basis(self) -> str:
        """What the comparison stands on, in a sentence or two."""
        if self.fingerprint is not None:
            return f"All were measured on the same hidden tokens (frozen set {self.fingerprint})."
        sets = len({run.fingerprint for run in self.runs})
        return (
            f"These runs were measured on {sets} different frozen sets, so nats per token can not be compared: "
            "another tokenizer asks other questions. Bits per character can, as far as the held-out texts are alike."
        )

    def standing(self, run: FinishedRun) -> Standing:
        """Return the figures of ``run`` that may be compared."""
        if self.fingerprint is None:
            return Standing(run.bits_per_character, None, None)
        return Standing(run.nats("cross_entropy", "masked"), run.nats("gap"), run.nats("accuracy", "masked", "1"))

    def curve(self, run: FinishedRun, x: str) -> tuple[list[float], list[float | None]]:
        """Return the figure at [MASK] of the evaluations on the way, in ``unit``, over ``x`` (tokens or seconds)."""
        masked, bits = run.nats("cross_entropy", "masked"), run.bits_per_character
        if self.fingerprint is not None:
            scale = 1.0
        else:
            scale = bits.value / masked.value if bits and masked and masked.value else float("nan")
        found = [line for line in lines(run.metrics, "evaluation") if number(line.get(x)) is not None]
        values = (number(line.get("masked")) for line in found)
        return [float(line[x]) for line in found], [None if value is None else scale * value for value in values]

    def differences(self) -> dict[str, list[Any]]:
        """Return what differs between the runs: the value of each run, by its dotted name."""
        known = [_settings(run) for run in self.runs]
        names = dict.fromkeys(name for values in known for name in values)
        rows = {name: [values.get(name) for values in known] for name in names if name not in NOT_COMPARED}
        return {name: row for name, row in rows.items() if any(value != row[0] for value in row)}

    def verdict(self) -> str:
        """Say which run has the lowest figure, and how far that carries."""
        figures = {run.name: figure for run in self.runs if (figure := self.standing(run).masked)}
        if len(figures) < 2:
            return "There are not two figures to compare."
        best = min(figures, key=lambda name: figures[name].value)
        near = [name for name, figure in figures.items() if name != best and _overlap(figures[best], figure)]
        lowest = f"{best} is lowest at [MASK] with {figures[best].text()} {self.unit}"
        if self.fingerprint is None:
            return f"{lowest}; that makes it better only if all were measured on text of the same kind."
        if near:
            return f"{lowest}; its interval overlaps with that of {', '.join(near)}, so they are not told apart here."
        return f"{lowest}; its interval lies below all others. One seed each: training has its luck too."


def _overlap(one: Figure, other: Figure) -> bool:
    (low, high), (other_low, other_high) = ((f.interval or (f.value, f.value)) for f in (one, other))
    return low <= other_high and other_low <= high


def _settings(run: FinishedRun) -> dict[str, Any]:
    """Return all that decides how a run goes."""
    return {
        **leaves(run.settings),
        "corpus.fingerprint": at(run.run, "corpus", "fingerprint"),
        "max_steps": run.run.get("max_steps"),
        **leaves(run.environment, "environment."),
    }
