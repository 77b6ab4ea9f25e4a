"""Where an encoder stands beside its reference levels, and the sentence that says it to somebody who has to decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unmask.report.html import Figure, Json, at, read_figure
from unmask.report.learning import lines


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the encoder stands at [MASK] positions of held-out text, in nats per token, beside its reference levels."""

    masked: Figure
    unigram: Figure | None
    limit: Figure | None
    gap: Figure | None  # nats by which the encoder is better than the unigram line; paired where it has an interval

    @property
    def is_clear(self) -> bool:
        """Whether the gap is told apart from none: by its own interval, or else by the two intervals lying apart."""
        if self.gap is None or self.unigram is None:
            return False
        if self.gap.interval is not None:
            return self.gap.interval[0] > 0 or self.gap.interval[1] < 0
        ours = self.masked.interval or (self.masked.value, self.masked.value)
        theirs = self.unigram.interval or (self.unigram.value, self.unigram.value)
        return ours[1] < theirs[0] or theirs[1] < ours[0]


def standing_of(evaluation: Json | None, metrics: Sequence[Json] = ()) -> Standing | None:
    """Return the final evaluation's figures, or those of the last evaluation on the way, which have no intervals."""
    mlm = at(evaluation, "mlm")
    masked, unigram = read_figure(at(mlm, "cross_entropy", "masked")), read_figure(at(mlm, "unigram", "masked"))
    if masked is None:
        last = next(reversed(lines(metrics, "evaluation")), None)
        masked, unigram = read_figure(at(last, "masked")), read_figure(at(last, "unigram", "masked"))
    if masked is None:
        return None
    gap = read_figure(at(mlm, "gap"))
    if gap is None and unigram is not None:
        gap = Figure(unigram.value - masked.value)
    return Standing(masked, unigram, read_figure(at(mlm, "limit", "cross_entropy", "masked")), gap)


def verdict(standing: Standing | None) -> tuple[str, str]:
    """Return the title and the sentence below it: what the figures say to somebody who has to decide."""
    if standing is None:
        return (
            "Not evaluated yet",
            "This run holds no evaluation, so nothing can be said about how good its encoder is.",
        )
    ours = f"{standing.masked.text()} nats per token"
    if standing.unigram is None or standing.gap is None:
        return f"Cross entropy {standing.masked.text()}", f"At hidden tokens of held-out text the encoder needs {ours}."
    there = "At hidden tokens of held-out text the encoder"
    guesser = "a guesser who knows only how often each token occurs"
    figures = f"Its cross entropy there is {ours}; guessing by frequency has {standing.unigram.text()}."
    size = abs(standing.gap.value)
    nats = f"{size:.1f}" if size >= 1 else f"{size:.2f}"
    times = math.exp(min(size, 50.0))
    ratio = f"{times:.0f} times" if times >= 9.5 else f"{times:.1f} times"
    if not standing.is_clear:
        title = "Not shown to be better than guessing by frequency"
        finding = f"{there} and {guesser} differ by {nats} nats, too little for this evaluation to tell them apart."
    elif standing.gap.value < 0:
        title = f"{nats} nats worse than guessing by frequency"
        finding = f"{there} finds the right token {ratio} less probable, on average, than {guesser}."
    else:
        title = f"{nats} nats better than guessing by frequency"
        finding = f"{there} finds the right token {ratio} as probable, on average, as {guesser}."
    return title, f"{finding} {figures}"
