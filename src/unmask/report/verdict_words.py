"""A decision in words for a person who has to decide: a title, and sentences with the numbers that led to it.

What bites: the words say no more than the rule found. An arm that is "not worth more" is not said to be worse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from unmask.comparison.verdict import OWN_TEXT, Decision, Evidence, Gap
from unmask.report.task_words import capital


@dataclass(frozen=True, slots=True)
class Voice:
    """How the words name things."""

    evidence: Evidence
    figure: str
    """The headline, as in "accuracy"."""
    names: Mapping[str, str]
    """The arms, as in "a bag of words"."""

    @property
    def labels(self) -> str:
        """How a sentence about the arms begins."""
        return f"At {self.evidence.labels:,} labels"

    @property
    def margin(self) -> str:
        """The margin, as in "the margin of 2 points"."""
        points = 100 * self.evidence.margin
        return f"the margin of {points:g} {'point' if points == 1 else 'points'}"

    def above(self, arm: str, name: str) -> str:
        """Say how much ``arm`` is above ``name``, or below it."""
        gap = self.evidence.gaps[arm][name]
        way = "above" if gap.value >= 0 else "below"
        return f"{points(gap if gap.value >= 0 else turned(gap))} of {self.figure} {way} {self.names[name]}"

    def finding(self, arm: str, *names: str) -> str:
        """Say how much ``arm`` is above each of ``names``."""
        return f"{self.labels} {self.names[arm]} is {' and '.join(self.above(arm, name) for name in names)}"


def points(gap: Gap) -> str:
    """Return a difference as ``12.0 points [9.1, 14.9]``."""
    return f"{100 * gap.value:.1f} points [{100 * gap.low:.1f}, {100 * gap.high:.1f}]"


def turned(gap: Gap) -> Gap:
    """Return the same difference, seen from the other arm."""
    return replace(gap, value=-gap.value, low=-gap.high, high=-gap.low)


def in_words(decision: Decision, voice: Voice) -> tuple[str, list[str]]:
    """Return the title of ``decision`` and the sentences below it."""
    return _WORDS[decision.kind](decision, voice)


def _nothing(_: Decision, voice: Voice) -> tuple[str, list[str]]:
    most = 100 * max(gap.high for gap in voice.evidence.above_blind.values())
    found = (
        f"{voice.labels} no arm is more than {most:.1f} points of {voice.figure} above always giving the same answer."
    )
    why = "Either the labels do not follow from the text, or these are far too few of them."
    then = (
        "Look at the labels before any model: let a second person label fifty examples, and count how often both agree."
    )
    return "Nothing here learns these labels", [found, why, then]


def _simple(decision: Decision, voice: Voice) -> tuple[str, list[str]]:
    evidence, arm, (name,) = voice.evidence, decision.arm, decision.over
    found = f"{voice.finding(arm, name)}, and even at its best that is less than {voice.margin}."
    cheaper = evidence.untaught[: evidence.untaught.index(name)]
    open_ = [
        f"Whether {voice.names[other]} would do as well is open: {voice.names[arm]} is {voice.above(arm, other)}."
        for other in cheaper
    ]
    return f"{capital(voice.names[name])} is enough", [found, *open_]


def _label(decision: Decision, voice: Voice) -> tuple[str, list[str]]:
    (name,), more = decision.over, f"{decision.more_labels:,}"
    growth = points(voice.evidence.growth[name])
    return f"Label about {more} more examples instead", [
        f"{voice.finding(decision.arm, name)}.",
        f"Twice the labels are worth {growth} to {voice.names[name]}.",
        f"If that goes on, {more} more labelled examples do as much as pre-training, without other text to keep.",
        "That goes along the logarithm of the number of labels; it is an estimate and was not measured.",
    ]


def _use(decision: Decision, voice: Voice) -> tuple[str, list[str]]:
    evidence, arm = voice.evidence, decision.arm
    title, sentences = f"Use {voice.names[arm]}", [f"{voice.finding(arm, *evidence.untaught)}."]
    if decision.is_own_text_enough:
        title = f"{title}, on the task's own text alone"
        sentences.append(
            f"Other text is not worth having: {voice.names[arm]} is {voice.above(arm, OWN_TEXT)}, and even the upper "
            f"end of that interval is under {voice.margin}."
        )
    if arm != evidence.first:
        lead = turned(evidence.gaps[evidence.first][arm])
        sentences.append(f"It is ahead of {voice.names[evidence.first]} by {points(lead)}.")
    if not evidence.growth:
        sentences.append("With one number of labels nobody can say whether more labels would do as much.")
    return title, sentences


def _undecided(decision: Decision, voice: Voice) -> tuple[str, list[str]]:
    sentences = [
        f"{voice.finding(decision.arm, name)}: whether that is worth {voice.margin} is open." for name in decision.over
    ]
    counts = ((decision.more_held_out, "held-out examples"), (decision.more_seeds, "seeds"))
    needs = [f"about {more:,} more {what}" for more, what in counts if more]
    if not needs:
        sentences.append("The difference is about as large as the margin itself. Take what is simpler.")
        return "The evidence does not decide, and more of it hardly would", sentences
    if decision.more_held_out:
        sentences.append("More seeds alone would not tell: the held-out examples are too few.")
    return f"The evidence does not decide: {' and '.join(needs)} would", sentences


_WORDS: dict[str, Callable[[Decision, Voice], tuple[str, list[str]]]] = {
    "nothing": _nothing,
    "simple": _simple,
    "label": _label,
    "use": _use,
    "undecided": _undecided,
}
