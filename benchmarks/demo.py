"""The demo as a newcomer runs it, and what it reached: benchmarks/results/demo.json.

Run on a quiet machine: the budget is time, so whatever else runs takes tokens away.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from importlib.metadata import version
from pathlib import Path

from unmask.cli.main import main
from unmask.runs import RunDirectory

RESULT = Path(__file__).parent / "results" / "demo.json"


def measure(folder: Path, budget: str = "5m") -> dict[str, object]:
    """Run ``unmask demo`` in ``folder`` and return what is worth keeping of it."""
    spoken = io.StringIO()
    with contextlib.redirect_stdout(spoken):
        code = main(["demo", "--out", str(folder / "demo"), "--budget", budget, "--json"])
    if code:
        raise SystemExit(f"unmask demo ended with {code}")
    run, said = RunDirectory(folder / "demo"), json.loads(spoken.getvalue())
    state, corpus = run.state, run.read("corpus.json") or {}
    return {
        "command": f"unmask demo --budget {budget}",
        "unmask": version("unmask"),
        "environment": run.read("environment.json"),
        "settings": run.settings,
        "tokens": state["tokens"],
        "seconds": round(state["seconds"], 1),
        "tokens_per_second": round(state["tokens"] / state["seconds"]),
        "steps": state["step"],
        "parameters": state["model"]["parameters"],
        "corpus": {name: corpus.get(name) for name in ("documents", "splits", "overlap_8gram")},
        "frozen": said["frozen"],
        "mlm": said["mlm"],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"{RESULT}: {json.dumps(found['mlm'])}")
