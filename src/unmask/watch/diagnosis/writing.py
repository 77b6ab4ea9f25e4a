"""Skew: texts that were written in one way for training and come in another way in use.

Casing, accents, quotes, mark-up, punctuation: what a step of cleaning does on one side only. What bites: a habit of a
few texts is no skew; a side has to differ by a fifth of its texts.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unmask.stats import paired_difference
from unmask.watch.diagnosis.case import SHOWN, Case, Finding, Shown, Style, in_points, judged, skipped

LEAST_SKEW = 0.2
"""Difference of the shares of texts that have a habit."""
_HTML = re.compile(r"&(?:amp|lt|gt|quot|nbsp|#\d+);|</?[a-z][^<>]*>")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Habit:
    """A way of writing that a text has or has not."""

    name: str
    has: Callable[[str], bool]
    style: Style | None = None
    """Gives a text the habit, where that can be done."""


def _cased(text: str) -> bool:
    return text.lower() != text.upper()


HABITS = (
    Habit("in lower case throughout", lambda text: _cased(text) and text == text.lower(), str.lower),
    Habit("in upper case throughout", lambda text: _cased(text) and text == text.upper(), str.upper),
    Habit("without any punctuation", lambda text: text.translate(_PUNCTUATION) == text,
          lambda text: text.translate(_PUNCTUATION) if text.translate(_PUNCTUATION).strip() else text),
    Habit("with accents apart from their letters", lambda text: unicodedata.normalize("NFC", text) != text,
          lambda text: unicodedata.normalize("NFD", text)),
    Habit("with typographic quotes", lambda text: re.search("[\u2018\u2019\u201c\u201d]", text) is not None),
    Habit("with unusual spaces", lambda text: re.search("[\u00a0\u200b-\u200d\u2060\ufeff]", text) is not None),
    Habit("with HTML in it", lambda text: _HTML.search(text) is not None),
    Habit("with space doubled or at its ends", lambda text: text != text.strip() or "  " in text),
)  # fmt: skip


def skew(case: Case) -> Finding:
    """Return whether the texts of one file are written in another way than those the model was trained on."""
    name = "writing"
    if not case.learned:
        return skipped(name, "give --train FILE to compare how texts are written in training and in use")
    sides = {"the development examples": case.dev.texts}
    if case.traffic is not None and case.traffic.texts is not None:
        sides["the traffic"] = case.traffic.texts
    known = {habit.name: _share(habit, case.learned) for habit in HABITS}
    differing = [
        (abs(share - known[habit.name]), habit, side, share)
        for side, texts in sides.items()
        for habit in HABITS
        if abs((share := _share(habit, texts)) - known[habit.name]) >= LEAST_SKEW
    ]
    facts = {side: {habit.name: _share(habit, texts) for habit in HABITS} for side, texts in sides.items()}
    if not differing:
        return judged(
            name,
            False,
            says=f"training examples and {' and '.join(sides)} are written in the same way",
            facts={"training": known, **facts},
        )
    _, habit, side, share = max(differing, key=lambda one: one[0])
    says = f"{share:.0%} of {side} are {habit.name}, of the training examples {known[habit.name]:.0%}"
    return judged(
        name,
        True,
        says=f"{says}{_cost(case, habit)}",
        examples=_examples(case, habit, sides[side], more=share > known[habit.name]),
        advice=f"write {case.files.train} and what the model is asked in one way",
        command=case.finetune(),
        facts={"training": known, **facts},
    )


def _share(habit: Habit, texts: Sequence[str]) -> float:
    return float(np.mean([habit.has(text) for text in texts]))


def _cost(case: Case, habit: Habit) -> str:
    """Say what the figure becomes where all development examples get the habit."""
    other = None if habit.style is None else case.again(habit.style, None)
    if other is None:
        return ""
    change = paired_difference([other], [case.dev.per_item], case.combine)
    return f"; with all development examples so, {case.figure} changes by {in_points(change)}"


def _examples(case: Case, habit: Habit, texts: Sequence[str], *, more: bool) -> list[Shown]:
    """Return texts that are unlike most of the training examples."""
    odd = [number for number, text in enumerate(texts) if habit.has(text) == more][:SHOWN]
    where = (
        case.dev.where if texts is case.dev.texts else [f"traffic, text {number + 1}" for number in range(len(texts))]
    )
    return [Shown(where[number], texts[number], habit.name if more else f"not {habit.name}") for number in odd]
