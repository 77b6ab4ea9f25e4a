"""Fills a small disk of its own in the midst of a build and of a run. Prints one line of JSON.

A script of its own: it is run in a namespace where it may mount a disk, by ``unshare -rm``.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from tests.made_text import write_text
from tests.reliability.hostile import inventory, new_run

from unmask.cli.main import main as unmask
from unmask.runs import RunDirectory

EVERY_STEP = ["training.save_every=1", "training.keep=1000"]
STEPS = 30


def ask(*words: object) -> dict[str, Any]:
    """Run a command and return what it answered."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = unmask([*map(str, words), "--quiet"])
    return {"code": code, "err": err.getvalue()}


def mount(*words: str) -> None:
    """Call mount."""
    subprocess.run(["mount", *words], check=True)


def run_on(disk: Path, corpus: Path, room: str) -> dict[str, Any]:
    """Train until the disk is full, make ``room``, and go on."""
    full = ask(*new_run(corpus, disk / "run", *EVERY_STEP, steps=STEPS))
    run = RunDirectory(disk / "run")
    good, damaged = run.last_good_checkpoint()
    leftovers = [path.name for path in disk.rglob(".*.aside")]
    step = good.step if good else None
    again = ask("pretrain", "--resume", disk / "run")
    mount("-o", f"remount,size={room}", str(disk))
    resumed = ask("pretrain", "--resume", disk / "run")
    return {
        "full": full, "again": again, "resumed": resumed,
        "step": step, "damaged": damaged, "leftovers": leftovers, "status": run.state["status"],
    }  # fmt: skip


def build_on(disk: Path, text: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """Build on a disk of each of ``sizes`` (KiB)."""
    answers = []
    for size in sizes:
        mount("-o", f"remount,size={size}k", str(disk))
        answers.append({**ask("corpus", "build", text, "--out", disk / "corpus"), "left": list(inventory(disk))})
    return answers


def main(work: Path) -> dict[str, Any]:
    """Return what was found."""
    disk, corpus = work / "disk", work / "corpus"
    disk.mkdir()
    text = write_text(work / "text.txt", 400)
    assert ask("corpus", "build", text, "--out", corpus, "tokenizer.vocab_size=200")["code"] == 0
    assert ask(*new_run(corpus, work / "whole", *EVERY_STEP, steps=STEPS))["code"] == 0
    mount("-t", "tmpfs", "-o", "size=2m", "none", str(disk))
    found = run_on(disk, corpus, "64m")
    last = f"checkpoints/step-{STEPS:08}"
    found["same"] = [
        (work / "whole" / last / name).read_bytes() == (disk / "run" / last / name).read_bytes()
        for name in ("model.safetensors", "optimizer.safetensors")
    ]
    shutil.rmtree(disk / "run")
    return {**found, "builds": build_on(disk, text, [16, 64, 128, 256, 512, 640])}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
