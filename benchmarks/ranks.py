"""One process of two threads beside two processes of one thread each, which hold all weights or parts of them.

Run: .venv/bin/python benchmarks/ranks.py --corpus DIR [--rounds 5] [--steps 60] [group.key=value ...]. Every round
starts the real command once each way, in a new order, so that whatever else the machine does hits all of them. What
counts is the median of the tokens a second that the lines of its steps tell, the first fifth left out; starting,
evaluating and saving are not in it. Ratios are taken within a round. A round of 60 steps takes some two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from unmask.host import processor_name, usable_threads
from unmask.runs import RunDirectory

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
BASE = "1 process x 2 threads"
WAYS: dict[str, tuple[list[str], list[str]]] = {
    BASE: ([], ["training.threads=2"]),
    "2 processes x 1 thread": (TORCHRUN, ["training.threads=1"]),
    "2 processes x 1 thread, training.shard=full": (TORCHRUN, ["training.threads=1", "training.shard=full"]),
}


def tokens_per_second(way: str, corpus: Path, steps: int, settings: list[str]) -> float:
    """Train once and return the median speed of its lines."""
    launcher, own = WAYS[way]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = ["--corpus", str(corpus), "--out", str(out), "--budget", f"{steps}steps", "--quiet"]
        wide = [f"training.save_every={steps}", f"training.eval_every={steps}", "evaluation.documents=20"]
        line = [sys.executable, *launcher, "-m", "unmask", "pretrain", *words, *wide, *settings, *own]
        # Without a number of its own torchrun gives every process one thread, whatever the recipe says.
        subprocess.run(line, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": own[0][-1]})
        lines: list[float] = [
            each["tokens_per_second"] for each in RunDirectory(out).metrics() if each["kind"] == "train"
        ]
    return statistics.median(lines[len(lines) // 5 :])


def main() -> None:
    """Measure, print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("settings", nargs="*", default=["model.preset=mini", "training.batch_rows=32"])
    chosen = parser.parse_args()
    chance = random.Random(0)
    speeds: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(chosen.rounds):
        for way in chance.sample(list(WAYS), len(WAYS)):
            speeds[way].append(tokens_per_second(way, chosen.corpus, chosen.steps, chosen.settings))
            print(f"round {number + 1}: {way}: {speeds[way][-1]:,.0f} tokens/s", file=sys.stderr)
    print(f"{processor_name()}, {usable_threads()} threads, {' '.join(chosen.settings)}\n")
    print("| way | tokens/s, median | beside one process: median (least to most) |\n| --- | ---: | ---: |")
    for way, found in speeds.items():
        ratios = [one / other for one, other in zip(found, speeds[BASE], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {way} | {statistics.median(found):,.0f} | {spread} |")
    print(json.dumps({"settings": chosen.settings, "steps": chosen.steps, "tokens_per_second": speeds}))


if __name__ == "__main__":
    main()
