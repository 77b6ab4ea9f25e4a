"""What a window looks like at a glance: a few figures of each signal, as JSON."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from unmask.watch.window import Floats, Strings, Window

MOST_CLASSES: Final = 12
"""Classes that are named; the rest are counted together."""

OTHERS: Final = "(others)"


def glance(window: Window) -> dict[str, Any]:
    """Return count and time of ``window``, and what it holds of each signal that was measured at all."""
    numbers = {name: _number(values) for name, values in window.numbers.items() if not np.isnan(values).all()}
    classes = {name: _class(values) for name, values in window.classes.items() if (values != "").any()}
    return {
        "count": len(window),
        "since": float(window.time.min()) if len(window) else None,
        "until": float(window.time.max()) if len(window) else None,
        "numbers": numbers,
        "classes": classes,
    }


def _number(values: Floats) -> dict[str, float]:
    """Return the mean of what was measured, its middle, and what 5 % are below and above."""
    measured = values[~np.isnan(values)]
    low, middle, high = np.quantile(measured, [0.05, 0.5, 0.95])
    return {
        "measured": len(measured),
        "mean": float(measured.mean()),
        "low": float(low),
        "middle": float(middle),
        "high": float(high),
    }


def _class(values: Strings) -> dict[str, float]:
    """Return the share of each class among those that have one, the largest first."""
    names, counts = np.unique(values[values != ""], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shares = {str(names[n]): float(counts[n] / counts.sum()) for n in order[:MOST_CLASSES]}
    rest = float(counts[order[MOST_CLASSES:]].sum() / counts.sum())
    return {**shares, OTHERS: rest} if rest else shares
