"""How near a small model comes to the limit in five minutes, on both sources: benchmarks/results/limit.json.

Run on a quiet machine: the budget is time, so whatever else runs takes tokens away. Words behind the command go to each
run: ``python benchmarks/limit.py --budget 1m`` for a look.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unmask.cli.main import main
from unmask.oracle.sources import SOURCES
from unmask.report.limit_page import halfway
from unmask.runs import RunDirectory

RESULT = Path(__file__).parent / "results" / "limit.json"
SEEDS = (0, 1)


def collect(out: Path) -> dict[str, Any]:
    """Return what is worth keeping of a finished ``unmask limit``."""
    found, run = json.loads((out / "limit.json").read_text(encoding="utf-8")), RunDirectory(out / "run")
    state, watched = run.state, [line for line in run.metrics() if line["kind"] == "evaluation"]
    half = {name: halfway(watched, name) for name in ("masked", "random", "kept")}
    return {
        "tokens": state["tokens"],
        "seconds": round(state["seconds"], 1),
        "parameters": state["model"]["parameters"],
        "environment": run.read("environment.json"),
        "settings": run.settings,
        "half_way_after_tokens": {name: line and line["tokens"] for name, line in half.items()},
        "mlm": {name: found["mlm"][name] for name in ("cross_entropy", "unigram", "limit")},
        "train": found["train"]["limit"]["above"],
        "source": found["source"],
    }


def run_all(words: list[str]) -> list[dict[str, Any]]:
    """Return the figures of every source and seed."""
    results = []
    for source in SOURCES:
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "limit"
                if code := main(["limit", "--source", source, "--seed", str(seed), "--out", str(out), *words]):
                    raise SystemExit(f"unmask limit ended with {code}")
                results.append({"seed": seed, **collect(out)})
    return results


if __name__ == "__main__":
    command, runs = " ".join(["unmask limit", *sys.argv[1:]]), run_all(sys.argv[1:])
    written = {"command": command, "unmask": version("unmask"), "runs": runs}
    RESULT.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    for run in runs:
        captured = run["mlm"]["limit"]["captured"]["value"]
        print(f"{run['source']['name']} seed {run['seed']}: {captured:.1%} after {run['tokens']:,} tokens")
