"""Killed and resumed is equal to the bit to never killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.made_text import write_text

from unmask.runs import RunDirectory

HERE = Path(__file__).parent
ONE_THREAD = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(HERE.parents[1] / "src"), str(HERE.parents[1])]),
}


def test_dying_at_every_write_point_loses_nothing(tmp_path: Path) -> None:
    script = [sys.executable, str(HERE / "kill_points.py"), str(tmp_path)]
    done = subprocess.run(script, env=ONE_THREAD, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    names = {(point, name) for point, name in found["points"]}
    for name in (
        "run.json",
        "settings.yaml",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
        "step-00000002",
    ):
        assert {point for point, of in names if of == name} == {"aside", "synced", "renamed", "settled"}, name
    assert found["lost"] == []


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path / "text.txt")


def command(*words: str) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "unmask", "pretrain", *words]
    return subprocess.Popen(line, env=ONE_THREAD, stdout=subprocess.DEVNULL)


def wait_for_checkpoint(run: Path, after: int, process: subprocess.Popen[bytes]) -> int:
    """Return the step of the first checkpoint past ``after``."""
    for _ in range(1200):
        steps = [int(path.name[-8:]) for path in (run / "checkpoints").glob("step-*")]
        if max(steps, default=0) > after:
            return max(steps)
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    raise AssertionError("no checkpoint in a minute")


def new_run(text: Path, out: Path, steps: int) -> list[str]:
    return [
        *("--corpus", str(text), "--out", str(out), "--budget", f"{steps}steps", "--quiet"),
        *("model.preset=tiny", "model.hidden_size=32", "training.row_length=32", "training.batch_rows=8"),
        *("training.save_every=20", "training.threads=1", "tokenizer.vocab_size=200", "evaluation.documents=20"),
        "masking.schedule=linear",  # what is hidden hangs on the place in the run too
    ]


def test_two_sigkills_and_a_sigterm_lose_nothing(text: Path, tmp_path: Path) -> None:
    whole = command(*new_run(text, tmp_path / "whole", 240))
    assert whole.wait(120) == 0

    out, reached = tmp_path / "killed", 0
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        words = ["--resume", str(out), "--quiet"] if out.exists() else new_run(text, out, 240)
        process = command(*words)
        reached = wait_for_checkpoint(out, reached, process)
        process.send_signal(number)
        assert process.wait(60) == (75 if number == signal.SIGTERM else -signal.SIGKILL)
        assert RunDirectory(out).state["status"] == ("stopped" if number == signal.SIGTERM else "running")
    last = command("--resume", str(out), "--quiet")
    assert last.wait(120) == 0

    one, other = RunDirectory(tmp_path / "whole"), RunDirectory(out)
    assert other.state["attempt"] == 4
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (one.checkpoints()[-1] / name).read_bytes() == (other.checkpoints()[-1] / name).read_bytes()
    losses = [
        [(line["step"], line["kind"], line["masked"]) for line in run.metrics() if line["kind"] == "evaluation"]
        for run in (one, other)
    ]
    assert losses[0] == losses[1]
    assert one.read("evaluation.json")["mlm"] == other.read("evaluation.json")["mlm"]  # type: ignore[index]
