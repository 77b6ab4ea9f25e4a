"""Every objective on a known source: how near its own limit it comes, what whole texts cost it, and what it draws.

Each has the same text, rows, order, first weights and seed, and the same time; benchmarks/results/objectives.{json,md}.
What bites: the same time is not the same number of tokens, since objectives differ in how many tokens pay for the
vocabulary; so both stand in the table. Words behind the command go to each run, as in ``--budget 30s``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from unmask.cli.main import main
from unmask.masking.mask import MaskingSettings
from unmask.model.config import EncoderConfig
from unmask.model.flops import flops_per_token
from unmask.objectives import ObjectiveName, ObjectiveSettings
from unmask.runs import RunDirectory

RESULTS = Path(__file__).parent / "results"
BUDGET = "90s"
LIMITS = (
    "objective",
    "tokens",
    "FLOPs",
    "of the way to its limit",
    "nats above it",
    "whole texts, nats a token",
    "above the source",
)
DRAWN = ("trained by", "drawn", "nats a symbol", "distance of pairs")
REFERENCE = ("the source itself", "by frequency alone")


def collect(objective: str, out: Path) -> dict[str, Any]:
    """Return what is worth keeping of a finished ``unmask limit``."""
    found, run = json.loads((out / "limit.json").read_text(encoding="utf-8")), RunDirectory(out / "run")
    state, settings = run.state, run.settings
    asked = ObjectiveSettings.parse(settings["objective"]).asked_share(MaskingSettings.parse(settings["masking"]))
    config = EncoderConfig(**state["model"]["config"])
    each = flops_per_token(config, settings["training"]["row_length"], asked).total
    return {
        "objective": objective,
        "tokens": state["tokens"],
        "seconds": round(state["seconds"], 1),
        "flops": each * state["tokens"],
        "parameters": state["model"]["parameters"],
        "environment": run.read("environment.json"),
        "limit": found["mlm"]["limit"],
        "cross_entropy": found["mlm"]["cross_entropy"],
        "text": found["text"],
        "samples": found["samples"],
        "source": found["source"],
    }


def run_all(words: Sequence[str]) -> list[dict[str, Any]]:
    """Return the figures of every objective."""
    results = []
    for objective in get_args(ObjectiveName):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "limit"
            if code := main(["limit", "--objective", objective, "--out", str(out), "--budget", BUDGET, *words]):
                raise SystemExit(f"unmask limit --objective {objective} ended with {code}")
            results.append(collect(objective, out))
    return results


def page(results: Sequence[dict[str, Any]]) -> str:
    """Return the tables as Markdown."""
    first = results[0]
    made = (
        f"Made by `python benchmarks/objectives.py`: {first['parameters']:,} parameters, "
        f"{first['environment']['threads']} threads, a source of {first['source']['symbols']} symbols, one seed."
    )
    limits = _table(LIMITS, [_limits(one) for one in results])
    samples = [row for number, one in enumerate(results) for row in _samples(one, is_first=not number)]
    return "\n".join(["# Objectives on a known source", "", made, "", *limits, "", *_table(DRAWN, samples)])


def _limits(one: dict[str, Any]) -> tuple[str, ...]:
    text, limit = one["text"], one["limit"]
    above, entropy = limit["above"]["masked"], text["entropy"]["value"]
    return (
        f"`{one['objective']}`",
        f"{one['tokens'] / 1e6:.1f} M",
        f"{one['flops']:.1e}",
        f"{limit['captured']['value']:.1%}",
        f"{above['value']:+.3f} (standard error {above['standard_error']:.3f})",
        f"{'' if text['is_exact'] else 'at most '}{text['nats_per_token']['value']:.3f}",
        f"{text['above']['value'] / entropy:+.1%} (standard error {text['above']['standard_error'] / entropy:.1%})",
    )


def _samples(one: dict[str, Any], *, is_first: bool) -> list[tuple[str, ...]]:
    """Return a row for each way to draw; the source's own texts stand before the first."""
    rows: list[tuple[str, ...]] = []
    for sample in one["samples"]:
        is_reference = sample["way"] in REFERENCE
        if is_first or not is_reference:
            by = "" if is_reference else f"`{one['objective']}`"
            rows.append((by, sample["way"], _text(sample["nats"]), _text(sample["distance"])))
    return rows


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def _text(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


if __name__ == "__main__":
    command, runs = " ".join(["unmask limit", *sys.argv[1:]]), run_all(sys.argv[1:])
    written = {"command": command, "unmask": version("unmask"), "runs": runs}
    (RESULTS / "objectives.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "objectives.md").write_text(page(runs) + "\n", encoding="utf-8")
    print(page(runs))
