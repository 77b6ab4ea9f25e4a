"""The rule that turns evidence into a decision: numbers in, a decision out. docs/compare.md tells it in prose.

An arm is *ahead* of another where the difference is at least the margin and its p-value, corrected for all differences
of the same question (Holm), is under LEVEL; it is *not worth more* where even the upper end of the interval is under
the margin. What bites: what is neither is open, and an open question is never answered by the middle of an interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from unmask.stats import holm, seeds_needed

LEVEL = 0.05
"""Below which a corrected p-value says that a difference is there."""
LEARNED = 0.05
"""An arm that is surely less than this above the blind floor has learned nothing."""
WORTH_LABELS = 2.0
"""Where this many times the labels do as much as pre-training, or fewer, labels are the better thing to buy."""
FAR = 100
"""Evidence that would have to grow to more than this many times what it is will not be had."""
OWN_TEXT = "self"
"""The arm that is pre-trained on the text of the task alone."""

Kind = Literal["use", "label", "simple", "nothing", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How much one arm is above another, in the headline figure (1 is perfect), over the same seeds and examples."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided, of this difference alone."""
    spread: float
    """Standard deviation of the difference between seeds."""
    by_items: float
    """Half of the width that the interval would keep under any number of seeds, since held-out examples are few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the rule looks at: the arms at the labels that there are."""

    labels: int
    seeds: int
    held_out: int
    margin: float
    """The least difference that would change what is done."""
    first: str
    """The arm that is asked about."""
    simple: Sequence[str]
    """Arms that do without other text than the task's, the cheapest first: the floor, scratch, OWN_TEXT."""
    gaps: Mapping[str, Mapping[str, Gap]]
    """How much ``first`` is above every other arm, and each of its alternatives above the simple ones."""
    above_blind: Mapping[str, Gap]
    """How much each arm is above always saying the same; nothing where a task has no such floor."""
    growth: Mapping[str, Gap]
    """What twice the labels are worth to each simple arm; nothing where there is one count of labels."""

    @property
    def untaught(self) -> list[str]:
        """The simple arms that need no pre-training at all."""
        return [name for name in self.simple if name != OWN_TEXT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do."""

    kind: Kind
    arm: str
    """The pre-training that was weighed: the one asked about, or an alternative that is ahead of it."""
    over: Sequence[str] = ()
    """simple: the arm that is enough; label: the arm that the labels go to; undecided: the arms that are open."""
    is_own_text_enough: bool = False
    more_labels: int | None = None
    more_seeds: int | None = None
    more_held_out: int | None = None


def decide(evidence: Evidence) -> Decision:
    """Return what ``evidence`` says."""
    if evidence.above_blind and all(gap.high < LEARNED for gap in evidence.above_blind.values()):
        return Decision(kind="nothing", arm=evidence.first)
    arm = best_of_its_kind(evidence)
    gaps, margin = evidence.gaps[arm], evidence.margin
    adjusted = holm({name: gaps[name].p for name in evidence.simple})
    ahead = {name for name in evidence.simple if gaps[name].value >= margin and adjusted[name] < LEVEL}
    enough = [name for name in evidence.simple if gaps[name].high < margin]
    if simplest := next((name for name in evidence.untaught if name in enough), None):
        return Decision(kind="simple", arm=arm, over=[simplest])
    if unsure := [name for name in evidence.untaught if name not in ahead]:
        seeds, held_out = zip(*(missing(gaps[name], evidence) for name in unsure), strict=True)
        more_seeds, more_held_out = (max(filter(None, more), default=None) for more in (seeds, held_out))
        return Decision(kind="undecided", arm=arm, over=unsure, more_seeds=more_seeds, more_held_out=more_held_out)
    rival = min(evidence.untaught, key=lambda name: gaps[name].value)
    if (labels := labels_instead(gaps[rival], evidence.growth.get(rival), evidence.labels)) is not None:
        return Decision(kind="label", arm=arm, over=[rival], more_labels=labels)
    return Decision(kind="use", arm=arm, is_own_text_enough=OWN_TEXT in enough)


def best_of_its_kind(evidence: Evidence) -> str:
    """Return the arm that is asked about, or the alternative that is furthest ahead of it."""
    above = {name: gap for name, gap in evidence.gaps[evidence.first].items() if name not in evidence.simple}
    adjusted = holm({name: gap.p for name, gap in above.items()})
    ahead = [name for name, gap in above.items() if -gap.value >= evidence.margin and adjusted[name] < LEVEL]
    return min(ahead, key=lambda name: above[name].value, default=evidence.first)


def labels_instead(gap: Gap, growth: Gap | None, labels: int) -> int | None:
    """Return how many more labels bring a simple arm across ``gap``, None where those are many, or nobody can say.

    Its ``growth`` is taken to go on by as much with every doubling; one that may be none says nothing.
    """
    if growth is None or growth.low <= 0:
        return None
    doublings = gap.value / growth.value
    return math.ceil((2**doublings - 1) * labels) if doublings <= math.log2(WORTH_LABELS) else None


def missing(gap: Gap, evidence: Evidence) -> tuple[int | None, int | None]:
    """Return how many more seeds, or else how many more held-out examples, would close the question of ``gap``.

    The interval has to leave either 0 or the margin behind, as its middle says. What seeds bring to it shrinks with the
    root of their number, what examples bring with that of theirs. Both are None where that would take FAR times more.
    """
    distance = gap.value if gap.value >= evidence.margin else evidence.margin - gap.value
    if gap.by_items < distance:
        needed = seeds_needed(gap.spread, math.sqrt(distance**2 - gap.by_items**2))
        return (max(1, needed - evidence.seeds) if needed <= FAR * evidence.seeds else None), None
    times = 2 * (gap.by_items / distance) ** 2 if distance else math.inf  # half of what is left is for the seeds
    return None, (math.ceil((times - 1) * evidence.held_out) if times <= FAR else None)
