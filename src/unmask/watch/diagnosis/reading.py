"""What the model reads of a text: what is cut off, and how well the tokenizer fits.

What bites: a text that is split into many tokens may be in another language; such texts are a slice of their own, and
are left out here.
"""

from __future__ import annotations

import numpy as np

from unmask.stats import paired_difference
from unmask.stats.figure import Figure
from unmask.watch.diagnosis.case import (
    LEVEL,
    Case,
    Finding,
    gain_of,
    in_points,
    is_worth,
    judged,
    share_of,
    shown,
    skipped,
)
from unmask.watch.diagnosis.languages import languages_of, main_language

LEAST_CUT = 0.01
"""Share of cut texts below which nobody looks."""
ROOM = 0.99
"""Share of the texts that the proposed window holds whole."""
SPECIAL = 3
"""Tokens of a window that are none of its text."""
SPLIT = "tokens_per_word"
USUAL = 0.99
"""Quantile of tokens a word in training, above which a text is split more than usual."""
LEAST_ODD = 0.05
"""Share of such texts that is a finding; one in a hundred would be usual."""


def truncation(case: Case) -> Finding:
    """Return what is lost by cutting long texts: measured by reading on where the model can, else by the cut ones."""
    name, dev = "truncation", case.dev
    cut = dev.number("truncated") > 0
    share, tokens = float(cut.mean()), dev.number("tokens")
    says = f"{share:.1%} of the development examples are cut at {case.block.max_length} tokens"
    if share < LEAST_CUT:
        return judged(name, False, says=says, facts={"cut": share})
    wanted = min(case.longest, int(np.quantile(tokens, ROOM)) + SPECIAL)
    gains: list[tuple[Figure, bool]] = []
    again = case.again(None, wanted) if wanted > case.block.max_length else None
    if again is not None:
        change = paired_difference([again], [dev.per_item], case.combine, level=LEVEL)
        gains.append((change, True))
        says += f"; read in windows of {wanted}, by the same weights, {case.figure} changes by {in_points(change)}"
    if not cut.all():
        gains.append((gain_of(dev.per_item, case.combine, cut), False))
    worth = [one for one in gains if is_worth(one[0])]
    gain, is_measured = max(worth, key=lambda one: one[0].value, default=(None, False))
    is_found = gain is not None
    return judged(
        name,
        is_found,
        says=says,
        gain=gain,
        basis="measured" if is_measured else "estimated",
        examples=shown(dev, np.flatnonzero(cut), lambda row: f"{tokens[row]:,.0f} tokens"),
        advice="read longer windows",
        command=case.finetune(f"task.max_length={wanted}"),
        facts={"cut": share, "longest": int(tokens.max()), "wanted": wanted},
    )


def tokenizer_fit(case: Case) -> Finding:
    """Return whether texts are split into more tokens than those of training, and are worse for it."""
    name = "tokenizer fit"
    if case.train is None:
        return skipped(name, "give --train FILE to compare how texts are split in training and in use")
    dev = case.dev
    languages = languages_of(dev.texts)
    split, learned = dev.number(SPLIT), case.train.number(SPLIT)
    usual = float(np.quantile(learned, USUAL))
    of_main = languages == main_language(case.train.texts)
    odd = (split > usual) & of_main
    mean = {"training": float(learned.mean()), "development": float(split.mean())}
    facts = {"tokens_per_word": mean, "usual": usual}
    share = share_of(int(odd.sum()), max(1, int(of_main.sum())))
    says = f"{share.value:.1%} of the texts are split into more than {usual:.2f} tokens a word, in training 1 %"
    if share.low < LEAST_ODD or odd.all():
        return judged(name, False, says=says, facts=facts)
    gain = gain_of(dev.per_item, case.combine, odd)
    is_found = is_worth(gain)
    odd_ones = np.flatnonzero(odd)[np.argsort(-split[odd], kind="stable")]
    return judged(
        name,
        is_found,
        says=f"{says}; they are worse than the others",
        gain=gain,
        examples=shown(dev, odd_ones, lambda row: f"{split[row]:.1f} tokens a word"),
        advice="give the words of such texts tokens of their own, then fine-tune again",
        command=f"unmask pretrain --init {case.files.base} --corpus SUCH_TEXT --out GROWN tokenizer.grow=500",
        facts=facts,
    )
