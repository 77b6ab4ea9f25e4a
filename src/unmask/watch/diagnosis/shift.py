"""Shift: traffic that is unlike the development examples, so that their figure is not what users see.

A regression tells traffic and development examples apart, on texts where they are kept, else on signals and vectors;
what it can not tell apart is alike (Lopez-Paz and Oquab 2017). What bites: that traffic is other texts does not say
that the model is worse there; the loss is estimated from how sure it is, and labels of that traffic would tell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unmask.stats.figure import Figure, Floats
from unmask.watch.diagnosis.case import LEVEL, SHOWN, Case, Finding, Ints, Shown, judged, skipped
from unmask.watch.told_apart import area
from unmask.watch.window import NUMBERS, Window

FEWEST = 100
LEAST_AREA = 0.65
"""Chance that the regression ranks a text of the traffic above a development example, a half where all is alike."""
FOLDS = 5
MOST = 2000
"""Rows of each side that are told apart."""
_LEFT_OUT = ("latency_ms",)  # a property of the machine


def shift(case: Case) -> Finding:
    """Return whether traffic can be told from the development examples, and what is most unlike them."""
    name = "shift"
    if case.traffic is None:
        return skipped(name, "give --traffic to compare what the model is asked with the development examples")
    traffic, dev = case.traffic.window, case.dev.window
    rows, others = _drawn(len(traffic)), _drawn(len(dev))
    if min(len(rows), len(others)) < FEWEST:
        return skipped(name, f"takes at least {FEWEST} texts on each side, there are {len(traffic)} and {len(dev)}")
    odds, is_traffic = _told_apart(case, rows, others)
    alike = area(odds[~is_traffic], odds[is_traffic])
    is_found = alike.low > LEAST_AREA
    lost = _lost_confidence(dev, traffic)
    says = f"traffic is told from the development examples with an area of {alike.value:.2f} (alike: 0.5)"
    if lost is not None:
        says += f"; the model is {'less' if lost.value > 0 else 'not less'} sure of it ({100 * lost.value:+.1f} points)"
    order = np.argsort(-odds[is_traffic], kind="stable")
    return judged(
        name,
        is_found,
        says=says,
        gain=lost,
        examples=_examples(case, rows[order]),
        advice="label some of the traffic listed, and measure there",
        command=f"unmask diagnose {case.files.model} --dev NEW --train {case.files.train}",
        facts={"area": alike.plain(), "signals": _moved(dev, traffic)},
    )


def _drawn(count: int) -> Ints:
    """Return at most MOST numbers below ``count``, the same every time."""
    order = np.random.Generator(np.random.Philox(0)).permutation(count)
    return np.sort(order[:MOST])


def _told_apart(case: Case, rows: Ints, others: Ints) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return (N,) out-of-fold chances of being traffic, traffic first, and whether each is."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    assert case.traffic is not None
    is_traffic = np.arange(len(rows) + len(others)) < len(rows)
    data: Any
    if case.traffic.texts is not None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        data = [case.traffic.texts[row] for row in rows] + [case.dev.texts[row] for row in others]
        steps: list[Any] = [TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=20_000)]
    else:
        from sklearn.preprocessing import StandardScaler

        data = np.concatenate([_signals(case.traffic.window.rows(rows)), _signals(case.dev.window.rows(others))])
        steps = [StandardScaler()]
    model = make_pipeline(*steps, LogisticRegression(C=1.0, max_iter=300))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    odds = cross_val_predict(model, data, is_traffic, cv=folds, method="predict_proba")[:, 1]
    return np.asarray(odds, np.float64), is_traffic


def _signals(window: Window) -> Floats:
    """Return (N, K) the numbers of a window; what was not measured is at the middle of what was."""
    columns = [window.numbers[name] for name in NUMBERS if name not in _LEFT_OUT]
    table = np.stack(columns, 1)
    measured = np.isfinite(table)
    pairs = zip(table.T, measured.T, strict=True)
    middle = [np.median(column[known]) if known.any() else 0.0 for column, known in pairs]
    return np.where(measured, table, np.array(middle))


def _lost_confidence(dev: Window, traffic: Window) -> Figure | None:
    """Return how much less sure the model is of traffic than of the development examples."""
    one, other = (window.numbers["confidence"] for window in (dev, traffic))
    one, other = one[np.isfinite(one)], other[np.isfinite(other)]
    if len(one) < 2 or len(other) < 2:
        return None
    value = float(one.mean() - other.mean())
    reach = 2.58 * float(np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)))
    return Figure(value, value - reach, value + reach, len(other), LEVEL, "difference of mean confidence, normal")


def _moved(dev: Window, traffic: Window) -> dict[str, float]:
    """Return by how many standard deviations of the development examples each signal has moved, the most first."""
    found = {}
    for name in NUMBERS:
        one, other = (window.numbers[name][np.isfinite(window.numbers[name])] for window in (dev, traffic))
        if name not in _LEFT_OUT and len(one) > 1 and len(other) and one.std() > 0:
            found[name] = float((other.mean() - one.mean()) / one.std())
    return dict(sorted(found.items(), key=lambda pair: -abs(pair[1])))


def _examples(case: Case, rows: Ints) -> list[Shown]:
    """Return the traffic that is most unlike the development examples."""
    assert case.traffic is not None
    texts, window = case.traffic.texts, case.traffic.window
    found = []
    for row in rows[:SHOWN].tolist():
        text = texts[row] if texts is not None else f"(no text kept; {window.numbers['words'][row]:.0f} words)"
        found.append(Shown(f"traffic, text {row + 1}", text, "unlike the development examples"))
    return found
