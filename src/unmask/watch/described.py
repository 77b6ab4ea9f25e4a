"""What is told of a window: every signal beside the reference, and which requests to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unmask.watch.alarms import Judged
from unmask.watch.baseline import Baseline
from unmask.watch.features import GROUP_OF
from unmask.watch.told_apart import told_apart
from unmask.watch.waves import sampled
from unmask.watch.window import CLASSES, Window

MOST_EXAMPLES = 20
LABELS_SHOWN = 5


def described(baseline: Baseline, window: Window, judged: Judged) -> dict[str, Any]:
    """Return what ``window``, measured against ``baseline``, showed, as JSON writes it; signals in reading order."""
    level, least = max(baseline.levels.at_once, baseline.levels.repeated), baseline.settings.least_effect
    departed = judged.departed(level, least)
    signals = [
        {
            "name": name,
            "group": GROUP_OF[name],
            "p": judged.p[name],
            "effect": judged.effect[name],
            "departed": name in departed,
            **_beside(baseline.rows, window, name),
        }
        for name in GROUP_OF
        if name in judged.p
    ]
    end = judged.start + baseline.seconds
    return {"start": judged.start, "end": end, "rows": judged.rows, "signals": signals, **_embedding(baseline, window)}


def _beside(reference: Window, window: Window, name: str) -> dict[str, Any]:
    if name == "embedding":
        return {
            "kind": "vector",
            "reference": {"measured": int(sampled(reference.embedding, len(reference)).sum())},
            "window": {"measured": int(sampled(window.embedding, len(window)).sum())},
        }
    if name in CLASSES:
        before, now = (_shares(one, name) for one in (reference, window))
        change = {label: now.get(label, 0.0) - before.get(label, 0.0) for label in {**before, **now}}
        shown = sorted(change, key=lambda label: -abs(change[label]))[:LABELS_SHOWN]
        return {
            "kind": "class",
            "reference": {label: before.get(label, 0.0) for label in shown},
            "window": {label: now.get(label, 0.0) for label in shown},
        }
    return {"kind": "number", "reference": _spread(reference, name), "window": _spread(window, name)}


def _shares(window: Window, name: str) -> Mapping[str, float]:
    values = window.classes[name][window.classes[name] != ""]
    labels, counts = np.unique(values, return_counts=True)
    return dict(zip(map(str, labels), (counts / max(1, len(values))).tolist(), strict=True))


def _spread(window: Window, name: str) -> dict[str, float | None]:
    """Return mean, a tenth, half and nine tenths of a number, None where it was not measured."""
    values = window.numbers[name][np.isfinite(window.numbers[name])]
    if not len(values):
        return dict.fromkeys(("mean", "low", "middle", "high")) | {"measured": 0}
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9)).tolist()
    return {"mean": float(values.mean()), "low": low, "middle": middle, "high": high, "measured": len(values)}


def _embedding(baseline: Baseline, window: Window) -> dict[str, Any]:
    """Return how well the vectors are told apart, and the requests that are least like the reference."""
    reference = baseline.rows.embedding
    if reference is None or window.embedding is None:
        return {"told_apart": None, "least_alike": []}
    places = np.flatnonzero(sampled(window.embedding, len(window)))
    there = sampled(reference, len(reference))
    found = told_apart(reference[there], window.embedding[places])
    if found is None:
        return {"told_apart": None, "least_alike": []}
    rows = places[found.order[:MOST_EXAMPLES]]
    keys = [None] * len(rows) if window.key is None else window.key[rows].tolist()
    alike = [{"time": time, "key": key} for time, key in zip(window.time[rows].tolist(), keys, strict=True)]
    return {"told_apart": found.auc.plain(), "least_alike": alike}
