"""The demo as a newcomer runs it, and what it reached: benchmarks/results/demo.json.

Run on a quiet machine: the budget is time, so whatever else runs takes tokens away.
"""

from __future__ import annotations

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unmask.cli.main import main
from unmask.runs import RunDirectory

RESULT = Path(__file__).parent / "results" / "demo.json"


def collect(run: RunDirectory) -> dict[str, Any]:
    """Return what is worth keeping of a finished demo."""
    state, corpus, evaluation = run.state, run.read("corpus.json") or {}, run.evaluation
    return {
        "command": "unmask demo",
        "unmask": version("unmask"),
        "environment": run.read("environment.json"),
        "settings": run.settings,
        "tokens": state["tokens"],
        "seconds": round(state["seconds"], 1),
        "tokens_per_second": round(state["tokens"] / state["seconds"]),
        "steps": state["step"],
        "parameters": state["model"]["parameters"],
        "corpus": {name: corpus.get(name) for name in ("documents", "splits", "overlap_8gram")},
        "frozen": evaluation["frozen"],
        "mlm": evaluation["mlm"],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        if code := main(["demo", "--out", f"{folder}/demo"]):
            raise SystemExit(f"unmask demo ended with {code}")
        found = collect(RunDirectory(Path(folder) / "demo"))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"{RESULT}: {found['mlm']['gap']}")
