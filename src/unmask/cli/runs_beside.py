"""Several finished runs side by side, in a terminal and as JSON.

What bites: two figures stand beside each other in nats only where they were measured on the same frozen set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unmask.cli.terminal import Terminal, count, duration
from unmask.report.html import at, plain
from unmask.report.side_by_side import SideBySide

RUNS_A_TABLE = 3
"""Runs beside each other in a table of settings, so that it fits 80 columns."""
LONGEST_VALUE = 14
"""Characters of a setting's value; --json and the report have all of them."""


def comparison_object(compared: SideBySide, paths: Sequence[Path]) -> dict[str, Any]:
    """Return what --json prints of the runs at ``paths``: figures that may not be compared are null."""
    described = [
        {
            "run": str(path),
            "fingerprint": run.fingerprint,
            **asdict(compared.standing(run)),
            "tokens": run.run.get("tokens"),
            "seconds": run.run.get("seconds"),
            "parameters": at(run.run, "model", "parameters"),
        }
        for path, run in zip(paths, compared.runs, strict=True)
    ]
    return {
        "format": "unmask-comparison",
        "version": 1,
        "fingerprint": compared.fingerprint,
        "unit": compared.unit,
        "basis": compared.basis,
        "runs": described,
        "differences": compared.differences(),
    }


def print_comparison(terminal: Terminal, compared: SideBySide) -> None:
    """Print how good the runs are, what they cost, where they differ, and what follows."""
    terminal.result(compared.basis)
    columns, rows = ["run", f"[MASK], {compared.unit}"], []
    if compared.fingerprint is not None:
        columns += ["better than unigram", "first right"]
    for run in compared.runs:
        found = compared.standing(run)
        cells = (
            found.masked.text(3) if found.masked else "",
            found.gap.text(3) if found.gap else "",
            f"{found.accuracy.value:.1%}" if found.accuracy else "",
        )
        rows.append((run.name, *cells[: len(columns) - 1]))
    terminal.table(columns, rows)
    costs = [
        (
            run.name, count(run.run.get("tokens", 0)), duration(run.run.get("seconds", 0.0)),
            count(at(run.run, "model", "parameters") or 0),
        )
        for run in compared.runs
    ]  # fmt: skip
    terminal.table(["run", "tokens seen", "time", "parameters"], costs)
    _print_differences(terminal, compared)
    terminal.result(compared.verdict())


def _print_differences(terminal: Terminal, compared: SideBySide) -> None:
    differences = compared.differences()
    if not differences:
        terminal.result("These runs share all of their settings.")
        return
    for first in range(0, len(compared.runs), RUNS_A_TABLE):
        part = slice(first, first + RUNS_A_TABLE)
        columns = ["setting that differs", *(run.name for run in compared.runs[part])]
        rows = [(name, *map(_brief, values[part])) for name, values in differences.items()]
        terminal.table(columns, rows, words=len(columns))


def _brief(value: object) -> str:
    text = plain(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
