"""Leakage and duplicates: development examples that the model was trained on, or that are counted twice.

A copy has four fifths of its distinct 8-grams in common with another text, words without case, as the corpus counts
overlap. What bites: the model's figure on copies says how well it remembers, and a bag of words remembers too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmask.corpus.dedup import grams
from unmask.watch.diagnosis.case import Bools, Case, Finding, Ints, Shown, gain_of, in_points, judged, skipped

ALIKE = 0.8
"""Share of its 8-grams that makes a text a copy."""
LEAST_LEAKED, LEAST_REPEATED = 0.01, 0.05
"""Shares of the development examples above which copies stand in the way."""
FEWEST = 3
"""Copies that are more than an accident."""


def leakage(case: Case) -> Finding:
    """Return whether development examples stand among the training examples."""
    name = "leakage"
    if not case.learned:
        return skipped(name, "give --train FILE to look for development examples among the training examples")
    source = copied_from(case.dev.texts, case.learned)
    copied = source >= 0
    count, share = int(copied.sum()), float(copied.mean())
    is_found = count >= FEWEST and share >= LEAST_LEAKED
    says = f"{count:,} of {len(copied):,} development examples ({share:.1%}) stand among the training examples"
    if is_found and not copied.all():
        says += f"; {case.figure} without them differs by {in_points(gain_of(case.dev.per_item, case.combine, copied))}"
    rows = np.flatnonzero(copied)[:5]
    return judged(
        name,
        is_found,
        says=says,
        examples=[
            Shown(case.dev.where[row], case.dev.texts[row], f"also at {case.learned_where[source[row]]}")
            for row in rows.tolist()
        ],
        advice=f"take these rows out of {case.files.train}",
        command=case.finetune(),
        facts={"copies": count, "share": share},
    )


def duplicates(case: Case) -> Finding:
    """Return whether development examples repeat each other, which makes every interval too narrow."""
    first = first_copies(case.dev.texts)
    repeated = first != np.arange(len(first))
    count, share = int(repeated.sum()), float(repeated.mean())
    is_found = count >= FEWEST and share >= LEAST_REPEATED
    rows = np.flatnonzero(repeated)[:5]
    return judged(
        "duplicates",
        is_found,
        says=f"{count:,} of {len(first):,} development examples ({share:.1%}) repeat an earlier one",
        examples=[
            Shown(case.dev.where[row], case.dev.texts[row], f"as at {case.dev.where[first[row]]}")
            for row in rows.tolist()
        ],
        advice=f"keep one of each in {case.files.dev}",
        command=f"unmask diagnose {case.files.model} --dev {case.files.dev}",
        facts={"copies": count, "share": share},
    )


def copied_from(texts: Sequence[str], others: Sequence[str]) -> Ints:
    """Return (N,) for each of ``texts`` the number of one of ``others`` that it is a copy of, -1 where it is of none.

    The other is one that holds its first shared 8-gram.
    """
    hashes, starts = grams(texts)
    known, owner = _owners(*grams(others))
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    shared = known[at] == hashes
    share = np.add.reduceat(shared.astype(float), starts[:-1]) / np.diff(starts)
    return np.array(
        [
            int(owner[at[begin + int(np.argmax(shared[begin:end]))]]) if part >= ALIKE else -1
            for begin, end, part in zip(starts[:-1].tolist(), starts[1:].tolist(), share.tolist(), strict=True)
        ],
        np.int64,
    )


def first_copies(texts: Sequence[str]) -> Ints:
    """Return (N,) the number of the first of ``texts`` that each is a copy of: its own where it is the first."""
    hashes, starts = grams(texts)
    _, at = np.unique(hashes, return_inverse=True)
    first = np.full(int(at.max()) + 1, -1, np.int64)
    found = np.arange(len(texts))
    for number, (begin, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        of_text = at[begin:end]
        before = first[of_text]
        seen: Bools = before >= 0
        if seen.mean() >= ALIKE:
            found[number] = found[before[seen][0]]
        first[of_text[~seen]] = number
    return found


def _owners(
    hashes: np.ndarray[tuple[int], np.dtype[np.uint64]], starts: Ints
) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint64]], Ints]:
    """Return the distinct grams, sorted, and the text that each is first in."""
    known, first = np.unique(hashes, return_index=True)
    return known, np.searchsorted(starts, first, side="right") - 1
