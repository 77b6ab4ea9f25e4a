"""What a diagnosis looks at, and what it finds.

Checks know no model: all that one would ask it is here as arrays, or is asked through ``Case.again``. What bites: a
check that lacks what it needs (training examples, traffic) says so; it never passes in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from unmask.stats.figure import Combine, Figure, Floats, bootstrap
from unmask.tasks.block import TaskBlock
from unmask.watch.window import Window

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

LEVEL: Final = 0.99
"""Of the intervals by which a check decides: a dozen checks of a sound model then make one false finding in twenty."""

LEAST: Final = 0.01
"""What a finding must be worth in the figure."""

SHOWN: Final = 5
"""Examples of a finding."""

Style = Callable[[str], str]
"""Another way of writing a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """M decisions with classes: of a text, of each of its labels, or of each of its words."""

    confidence: Floats
    """(M,)"""
    right: Bools
    """(M,)"""
    item: Ints
    """(M,) the example that each belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """N labelled examples of a file, and what the model makes of them."""

    texts: Sequence[str]
    where: Sequence[str]
    window: Window
    """The signals of these texts, as they are captured of traffic."""
    per_item: Floats
    """(N, K) what adds up to the figure."""
    given: Ints | None = None
    """(N,) the class in the file, where a text has one."""
    chance: Floats | None = None
    """(N, C) the model's probabilities, where a text has one class."""
    decisions: Decisions | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def number(self, name: str) -> Floats:
        """Return (N,) a signal, 0 where it was not measured."""
        return np.nan_to_num(self.window.numbers[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What the model answers in use."""

    window: Window
    texts: Sequence[str] | None = None
    """None where the store keeps no text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What the user named, for the commands that are proposed."""

    model: str
    dev: str
    train: str = "TRAIN"
    base: str = "BASE"
    """The pre-trained model that was fine-tuned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How the fine-tuning went, of its run directory."""

    curve: Sequence[tuple[float, float]]
    """(step, figure on the development examples), as it was measured on the way."""
    epochs: float
    """How often each window was seen."""
    forgotten: Figure | None = None
    """Nats at [MASK] that general text lost in the pre-training before it, where that was watched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that the checks are handed."""

    files: Files
    block: TaskBlock
    figure: str
    """The name of the figure that counts; more of it is better."""
    combine: Combine
    dev: Examined
    again: Callable[[Style | None, int | None], Floats | None]
    """Asks the model once more about the development examples, written in another style or read in windows of so many
    tokens: (N, K), or None where that can not be asked."""
    longest: int
    """Tokens that the model can read at most."""
    learned: Sequence[str] = ()
    """All training texts."""
    learned_where: Sequence[str] = ()
    learned_labels: Sequence[str] = ()
    """The class of each, where a text has one."""
    fields: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    """(N,) what the development examples say in fields of their file, by which they are looked at in slices."""
    train: Examined | None = None
    """Training examples, or a sample of them."""
    floors: Mapping[str, Floats] = field(default_factory=dict)
    """(N, K) of the development examples by each floor that was built on the training examples."""
    features: tuple[Floats, Floats] | None = None
    """(N, D) of ``train`` and of ``dev`` from the encoder before it was fine-tuned."""
    traffic: Traffic | None = None
    training: Training | None = None

    @property
    def value(self) -> float:
        """The figure on the development examples."""
        return float(self.combine(self.dev.per_item.sum(0)))

    def finetune(self, *settings: str, train: str = "", dev: str = "") -> str:
        """Return the command that fine-tunes anew with other ``settings`` or files."""
        words = [
            "unmask finetune",
            self.files.base,
            f"--task {self.block.name}",
            f"--train {train or self.files.train}",
        ]
        return " ".join([*words, f"--dev {dev or self.files.dev}", "--out NEXT", *settings])


@dataclass(frozen=True, slots=True)
class Shown:
    """An example of what was found."""

    where: str
    text: str
    why: str


State = Literal["found", "clear", "skipped"]
Basis = Literal["estimated", "measured"]
BASES: Final[tuple[Basis, Basis]] = ("estimated", "measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check says."""

    check: str
    state: State
    """found: it stands in the way; skipped: it could not be looked at."""
    says: str
    """A sentence with the figures that decided."""
    gain: Figure | None = None
    """By how much the figure would rise."""
    basis: Basis = "estimated"
    examples: Sequence[Shown] = ()
    advice: str = ""
    """What to do first, in words."""
    command: str = ""
    """The next experiment, to be copied."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON writes it."""
        return {
            "check": self.check,
            "state": self.state,
            "says": self.says,
            "gain": None if self.gain is None else self.gain.plain(),
            "basis": self.basis,
            "examples": [{"where": one.where, "text": one.text, "why": one.why} for one in self.examples],
            "next": {"advice": self.advice, "command": self.command},
            "facts": dict(self.facts),
        }


def judged(
    check: str,
    is_found: bool,
    *,
    says: str,
    gain: Figure | None = None,
    basis: Basis = "estimated",
    examples: Sequence[Shown] = (),
    advice: str = "",
    command: str = "",
    facts: Mapping[str, Any] | None = None,
) -> Finding:
    """Return what ``check`` says; of what is clear neither gain nor examples nor a next experiment are kept."""
    if not is_found:
        return Finding(check=check, state="clear", says=says, facts=facts or {})
    return Finding(
        check=check,
        state="found",
        says=says,
        gain=gain,
        basis=basis,
        examples=examples,
        advice=advice,
        command=command,
        facts=facts or {},
    )


def skipped(check: str, why: str) -> Finding:
    """Return that ``check`` could not be made, and what it lacks."""
    return Finding(check=check, state="skipped", says=why)


def gain_of(per_item: Floats, combine: Combine, part: Bools, level: float = LEVEL) -> Figure:
    """Return by how much the figure of ``per_item`` (N, K) would rise if ``part`` (N,) were as good as the rest."""
    columns = per_item.shape[1]
    beside = np.concatenate([per_item, per_item * ~part[:, None]], 1)
    return bootstrap(beside, lambda sums: combine(sums[..., columns:]) - combine(sums[..., :columns]), level=level)


def changed(figure: Figure, by: Callable[[float], float], method: str) -> Figure:
    """Return a figure with its value and both ends changed ``by`` a function that rises."""
    return Figure(by(figure.value), by(figure.low), by(figure.high), figure.n, figure.level, method)


def is_worth(gain: Figure) -> bool:
    """Say whether a gain is there beyond chance, and large enough to go after."""
    return gain.low > 0 and gain.value >= LEAST


def share_of(count: int, of: int, level: float = LEVEL) -> Figure:
    """Return a share with its exact interval (Clopper and Pearson 1934)."""
    from scipy.stats import binomtest

    found = binomtest(count, of).proportion_ci(level, method="exact")
    return Figure(count / of, float(found.low), float(found.high), of, level, "exact binomial")


def shown(seen: Examined, rows: Sequence[int] | Ints, why: Callable[[int], str]) -> list[Shown]:
    """Return the first SHOWN of ``rows`` as examples."""
    return [Shown(seen.where[row], seen.texts[row], why(row)) for row in map(int, rows[:SHOWN])]


def in_points(figure: Figure) -> str:
    """Return a difference of figures as people say it: ``+4.1 points [2.0, 6.3]``."""
    return f"{100 * figure.value:+.1f} points [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"
