"""How cost grows: with the corpus, x1, x10 and x100, and with how far a run has come when it is resumed.

Run: .venv/bin/python benchmarks/growth.py [--documents 1000] [--repeats 5]. Every figure is of a fresh process. The
text is made, so that any amount of it is there: words of Zipf's frequencies, 60 to a document. A run at step 1,000,000
is one at step 100 whose checkpoint and metrics say that it has come so far: what it holds is as large as it would be.
The two places take turns, in a new order every time. Times of work are the processor's, since the machine does other
things too; growth.json has those of the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unmask
from unmask.errors import Stopped
from unmask.runs import RunDirectory

TIMES, WORDS = (1, 10, 100), 60
NEAR, FAR = 100, 1_000_000
LINES_EVERY = 50
RESULTS = Path(__file__).parent / "results"
SETTINGS: dict[str, Any] = {
    "model.preset": "tiny",
    "training.row_length": 128,
    "training.batch_rows": 8,
    "training.threads": 1,
    "training.save_every": NEAR,
    "evaluation.documents": 50,
}
PROLOGUE = """
import json, resource, sys, time
from pathlib import Path
import unmask
from unmask.training import loop

def done():
    used = resource.getrusage(resource.RUSAGE_SELF)
    began = (time.clock_gettime(time.CLOCK_BOOTTIME)
             - int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]) / 100)
    print(json.dumps({"clock": began, "processor": used.ru_utime + used.ru_stime, "peak": 1024 * used.ru_maxrss}))
    sys.stdout.flush()

def at_first_step():
    take = loop.train_step
    def once(*given):
        take(*given)
        done()
        raise KeyboardInterrupt
    loop.train_step = once
"""
BUILD = "unmask.build_corpus({source!r}, {corpus!r}, settings={{'tokenizer.vocab_size': 8000}}, progress=False); done()"
OPEN = "unmask.open_corpus(Path({corpus!r})).rows(128); done()"
START = "at_first_step(); unmask.pretrain({corpus!r}, {run!r}, settings={settings!r}, budget='9steps', progress=False)"
RESUME = "at_first_step(); unmask.pretrain(resume={run!r}, progress=False)"


def measured(code: str, **names: Any) -> dict[str, float]:
    """Return the seconds since its start and the peak of a fresh process, where ``code`` says that it is done."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROLOGUE + code.format(**names)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if not ended.stdout:
        raise SystemExit(ended.stderr)
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[0])
    return found


def write_documents(path: Path, count: int) -> int:
    """Write ``count`` made documents, a line each, and return their bytes."""
    chance, size = np.random.default_rng(0), 0
    words = np.array([f"{chance.integers(26**4):x}{number:x}" for number in range(30_000)])
    with path.open("w") as file:
        for _ in range(count):
            ranks = np.minimum(chance.zipf(1.2, WORDS) - 1, len(words) - 1)
            size += file.write(json.dumps({"text": " ".join(words[ranks])}) + "\n")
    return size


def with_corpus(work: Path, documents: int) -> dict[str, Any]:
    """Return what a corpus of so many documents costs to build, to open, and to start a run on."""
    source, corpus = work / f"{documents}.jsonl", work / f"corpus-{documents}"
    size = write_documents(source, documents)
    names = {"source": str(source), "corpus": str(corpus), "settings": SETTINGS}
    built = measured(BUILD, **names)
    packed = measured(START, **names, run=str(work / f"first-{documents}"))
    opened = [measured(OPEN, **names) for _ in range(3)]
    started = [measured(START, **names, run=str(work / f"run-{documents}-{turn}")) for turn in range(3)]

    def best(found: list[dict[str, float]]) -> dict[str, float]:
        return {name: min(each[name] for each in found) for name in found[0]}

    tokens = unmask.open_corpus(corpus).split("train").num_tokens
    steps = {"build": built, "first run, rows packed": packed, "open": best(opened), "later run": best(started)}
    return {"documents": documents, "megabytes": size / 1e6, "tokens": tokens, "steps": steps}


def two_runs(work: Path, corpus: Path) -> dict[str, Path]:
    """Return a run at step NEAR, and one that says it is at step FAR."""

    def until_saved(stage: str, done: int, *_: Any) -> None:
        if stage == "training" and done > NEAR:
            raise KeyboardInterrupt

    near, far = work / "near", work / "far"
    try:
        unmask.pretrain(corpus, near, settings=SETTINGS, budget=f"{2 * FAR}steps", progress=until_saved)
    except Stopped:
        shutil.copytree(near, far)
    run = RunDirectory(far)
    checkpoint, _ = run.last_good_checkpoint()
    assert checkpoint is not None
    rows = FAR * SETTINGS["training.batch_rows"]
    state = {name: value for name, value in checkpoint.state.items() if name not in ("step", "checksums")}
    with run.new_checkpoint(FAR, {**state, "rows_consumed": rows}) as folder:
        for tensors in (checkpoint.model, checkpoint.optimizer):
            shutil.copyfile(tensors, folder / tensors.name)
    line = next(line for line in run.metrics() if line["kind"] == "train")
    with (far / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({**line, "step": step}) + "\n" for step in range(150, FAR + 1, LINES_EVERY))
    run.update(step=FAR, rows_consumed=rows)
    return {f"{NEAR:,}": near, f"{FAR:,}": far}


def resumed(work: Path, corpus: Path, repeats: int) -> dict[str, list[dict[str, float]]]:
    """Return what it takes from the start of the process to the end of the first step, by where the run stands."""
    runs = two_runs(work, corpus)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for turn in range(repeats):
        for name in random.Random(turn).sample(list(runs), len(runs)):
            copy = work / "resumed"
            shutil.copytree(runs[name], copy)
            found[name].append(measured(RESUME, run=str(copy)))
            shutil.rmtree(copy)
    return found


def page(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    rows = []
    for name in found["corpora"][0]["steps"]:
        for what, key, scale in (("processor s", "processor", 1.0), ("peak MB", "peak", 1e6)):
            figures = [corpus["steps"][name][key] / scale for corpus in found["corpora"]]
            rows.append(f"| {name} | {what} | {' | '.join(f'{figure:,.4g}' for figure in figures)} |")
    heads = [f"x{times}" for times in TIMES]
    sizes = [f"{corpus['documents']:,} documents, {corpus['tokens']:,} tokens" for corpus in found["corpora"]]

    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"

    places = [f"| {name} | {spread([one['processor'] for one in each])} |" for name, each in found["resumed"].items()]
    near, far = ([one["processor"] for one in each] for each in found["resumed"].values())
    ratios = [one / other for one, other in zip(far, near, strict=True)]
    return "\n".join(
        [
            "# How cost grows",
            "",
            f"`benchmarks/growth.py`, {found['machine']}, one thread, torch {found['torch']}; every figure is of a",
            "fresh process, from its start, loading torch included; opening and later runs are the best of three.",
            "",
            *(f"- {head}: {size}" for head, size in zip(heads, sizes, strict=True)),
            "",
            f"| what | | {' | '.join(heads)} |",
            "| --- | --- | ---: | ---: | ---: |",
            *rows,
            "",
            f"From `--resume` to the end of the first step, median and range of {len(near)} turns. The far run is",
            "the near one whose checkpoint and metrics (20,000 lines) say that it has come so far.",
            "",
            "| at step | processor s |",
            "| --- | ---: |",
            *places,
            "",
            f"Far over near, by turn, processor time: {spread(ratios)}.",
            "",
        ]
    )


def main() -> None:
    """Measure, and write results/growth.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1000, help="of the corpus x1")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        corpora = [with_corpus(work, times * chosen.documents) for times in TIMES]
        places = resumed(work, work / f"corpus-{chosen.documents}", chosen.repeats)
    found = {"corpora": corpora, "resumed": places, "torch": torch.__version__, "machine": platform.machine()}
    (chosen.out / "growth.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "growth.md").write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
