"""How often the gate lets an equal model pass, and stops a worse one, at the size that it asks for.

Run: .venv/bin/python benchmarks/gate.py. Two models are right or wrong on N items and disagree on a share of them; the
candidate is truly worse by so many points. Each cell is --repeats data sets, each judged by the gate's own rule. The
size is the one that the gate asks for after it has seen 1,000 items, as a user would learn it. Writes results/gate.json
and .md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from unmask.stats.figure import Floats, mean_of
from unmask.watch.gate import Criterion, Verdict, judged, needed_items
from unmask.watch.policy import EvidenceSettings, HeadlineSettings

RESULTS = Path(__file__).parent / "results" / "gate"
DISCORDANT = (0.04, 0.1, 0.25)
WORSE = (0.0, 0.01, 0.02)
PILOT = 1000
MARGIN = HeadlineSettings().margin
EVIDENCE = EvidenceSettings()


def tables(discordant: float, worse: float, count: int, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """Return (N, 2) of two models that disagree on a share of items, the first right ``worse`` less often."""
    kind, both = chance.random(count), chance.random(count) < 0.8
    lost, won = kind < (discordant + worse) / 2, kind > 1 - (discordant - worse) / 2
    ours, theirs = np.where(lost, 0, np.where(won, 1, both)), np.where(lost, 1, np.where(won, 0, both))
    return (np.stack([side, np.ones(count)], 1).astype(float) for side in (ours, theirs))  # type: ignore[return-value]


def verdict_on(discordant: float, worse: float, count: int, chance: np.random.Generator) -> Verdict:
    """Return what the gate says of one data set."""
    ours, theirs = tables(discordant, worse, count, chance)
    one = Criterion(name="accuracy", candidate=ours, baseline=theirs, combine=mean_of, margin=MARGIN, items=count)
    return judged([one], EVIDENCE).verdicts[0]


def measured(repeats: int) -> list[dict[str, Any]]:
    """Return a row for every share of disagreement and every true loss."""
    chance, rows = np.random.default_rng(0), []
    for discordant in DISCORDANT:
        true = needed_items(discordant**0.5, MARGIN, EVIDENCE.level, EVIDENCE.pass_rate)
        for worse in [one for one in WORSE if one <= discordant]:
            passed, asked = 0, []
            for _ in range(repeats):
                asked.append(verdict_on(discordant, worse, PILOT, chance).needed or 0)
                passed += verdict_on(discordant, worse, asked[-1], chance).passed
            row = {"discordant": discordant, "worse": worse, "true_size": true, "size": float(np.mean(asked)),
                   "passed": passed / repeats, "repeats": repeats}  # fmt: skip
            rows.append(row)
            print(row, flush=True)
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    repeats, level, rate = rows[0]["repeats"], EVIDENCE.level, EVIDENCE.pass_rate
    lines = [
        "# The gate at the size that it asks for",
        "",
        f"Margin {MARGIN}, bounds at {level:.0%}, wished pass rate {rate:.1%}; {repeats} data sets a cell, each of the",
        f"size that the gate asked for after {PILOT:,} items of the same two models.",
        "",
        "| the models disagree on | truly worse by | items asked for | passes |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['discordant']:.0%} | {100 * row['worse']:.1f} points | {row['size']:,.0f} | {row['passed']:.1%} |"
        for row in rows
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write results/gate.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    rows = measured(parser.parse_args().repeats)
    RESULTS.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(page(rows))


if __name__ == "__main__":
    main()
