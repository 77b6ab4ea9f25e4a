"""Classes: two that the model takes for each other, and classes that it has seen too rarely.

What bites: in a set of many classes some pair is always the worst. It is a finding where it stands out from the second
worst, and where one of its classes is lost for the other a quarter of the time.
"""

from __future__ import annotations

import numpy as np

from unmask.watch.diagnosis.case import Case, Finding, changed, gain_of, is_worth, judged, share_of, shown, skipped

LEAST_LOST = 0.25
"""Share of a class that is taken for another."""
STANDS_OUT = 2.0
"""How many times as many errors the worst pair must hold as the second."""
RARE = 0.25
"""Training examples of a rare class, as a share of the mean."""
FEWEST = 20


def confusion(case: Case) -> Finding:
    """Return the class that is most often taken for one other."""
    name, dev = "confusion", case.dev
    if dev.chance is None or dev.given is None or len(case.block.labels) < 3:
        return skipped(name, "takes a task of three classes or more, one for a text")
    labels, said = case.block.labels, dev.chance.argmax(1)
    counts = np.zeros((len(labels),) * 2, np.int64)
    np.add.at(counts, (dev.given, said), 1)
    of_class = counts.sum(1)
    errors = counts * ~np.eye(len(labels), dtype=bool)
    worst = int(errors.argmax())
    one, other = divmod(worst, len(labels))
    lost, second = int(errors.flat[worst]), int(np.sort(errors, axis=None)[-2])
    others = (errors.sum() - lost) / max(1, errors.size - len(labels) - 1)
    share = share_of(lost, max(1, int(of_class[one])))
    usual = float(others) / len(dev)
    gain = changed(share_of(lost, len(dev)), lambda end: max(0.0, end - usual), "exact binomial, less a usual pair")
    is_found = share.low > LEAST_LOST and lost >= STANDS_OUT * second and is_worth(gain)
    says = f"of {of_class[one]:,} examples of {labels[one]}, {lost:,} are taken for {labels[other]} ({share.value:.0%})"
    rows = np.flatnonzero((dev.given == one) & (said == other))
    return judged(
        name,
        is_found,
        says=f"{says}; the next pair has {second:,} errors",
        gain=gain,
        examples=shown(dev, rows, lambda _: f"{labels[one]}, said {labels[other]}"),
        advice=_relabel(case, labels[one], labels[other]),
        command=case.finetune(),
        facts={"labels": list(labels), "counts": counts.tolist()},
    )


def _relabel(case: Case, one: str, other: str) -> str:
    learned = list(case.learned_labels)
    seen = f" ({learned.count(one):,} and {learned.count(other):,} there)" if learned else ""
    return f"see how {one} and {other} are told apart in {case.files.train}{seen}, or make them one"


def imbalance(case: Case) -> Finding:
    """Return whether classes that are rare in training are worse than the others."""
    name, dev = "imbalance", case.dev
    if dev.given is None or not case.learned_labels:
        return skipped(name, "takes --train FILE of a task of one class for a text")
    labels, learned = case.block.labels, list(case.learned_labels)
    counts = np.array([learned.count(label) for label in labels])
    rare = counts < RARE * counts.mean()
    part = rare[dev.given]
    facts = {"training": dict(zip(labels, counts.tolist(), strict=True))}
    if part.sum() < FEWEST or part.all():
        says = f"the rarest class has {counts.min():,} training examples, the mean is {counts.mean():,.0f}"
        return judged(name, False, says=says, facts=facts)
    gain = gain_of(dev.per_item, case.combine, part)
    names = ", ".join(label for label, is_rare in zip(labels, rare, strict=True) if is_rare)
    return judged(
        name,
        is_worth(gain),
        says=f"{names}: {counts[rare].sum():,} training examples for {part.sum():,} development examples",
        gain=gain,
        examples=shown(dev, np.flatnonzero(part), lambda row: labels[int(dev.given[row])]),  # type: ignore[index]  # checked above
        advice="let rare classes weigh more",
        command=case.finetune("task.class_weights=balanced"),
        facts=facts,
    )
