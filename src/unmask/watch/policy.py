"""The policy of a gate: what a candidate may cost, criterion by criterion.

What bites: a criterion without a margin is not asked. Every margin is what may be lost at most, shown with confidence,
so a margin below what the examples can show stops equal models too; the gate says how many examples it takes.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unmask.settings import Count, NonNegative, OpenShare, Positive, Settings


class HeadlineSettings(Settings):
    """The figure that counts."""

    figure: str | None = None
    """Its name; where it is not given, the task's headline."""
    margin: OpenShare = 0.02
    """By how much the candidate may be worse."""


class SliceSettings(Settings):
    """The same figure in parts of the development examples."""

    field: str | None = None
    """The field of the development file whose values make the parts, such as language, channel or label."""
    margin: OpenShare = 0.05
    """By how much the candidate may be worse in any part."""
    fewest: Count = 100
    """Examples below which a part is not looked at."""


class CalibrationSettings(Settings):
    """How far probabilities are from what they say."""

    margin: OpenShare | None = None
    """By how much the calibration error may be larger."""


class RobustnessSettings(Settings):
    """The figure on the same examples with typing errors."""

    margin: OpenShare | None = None
    """By how much the candidate may be worse there."""
    rate: OpenShare = 0.05
    """Share of the letters that are wrong."""


class LatencySettings(Settings):
    """The time for one text, both models in turn on this machine."""

    margin: Positive | None = None
    """By which share the candidate may be slower: 0.1 is a tenth."""
    texts: Annotated[int, Field(ge=20)] = 100
    """Texts that are timed."""


class SizeSettings(Settings):
    """Bytes of the weights."""

    margin: NonNegative | None = None
    """By which share the candidate may be larger: 0.1 is a tenth."""


class ParitySettings(Settings):
    """Whether the candidate's exported forms answer as its weights do."""

    margin: OpenShare | None = None
    """Share of the examples that a form may answer otherwise."""


class EvidenceSettings(Settings):
    """How sure the gate has to be."""

    level: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Confidence of each one-sided bound: a candidate that is worse by a margin is stopped that often."""
    pass_rate: Annotated[float, Field(ge=0.5, lt=1)] = 0.975
    """How often a candidate that is equal passes all criteria, with as many examples as the gate asks for."""


class GatePolicy(Settings):
    """What a candidate is held to beside the model it would replace."""

    headline: HeadlineSettings = HeadlineSettings()
    slices: SliceSettings = SliceSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    robustness: RobustnessSettings = RobustnessSettings()
    latency: LatencySettings = LatencySettings()
    size: SizeSettings = SizeSettings()
    parity: ParitySettings = ParitySettings()
    evidence: EvidenceSettings = EvidenceSettings()
