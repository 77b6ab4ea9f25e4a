"""Starts real torchrun, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}


def torchrun(ranks: int, *words: str, restarts: int = 0) -> subprocess.Popen[str]:
    """Start ``ranks`` processes of ``words``: a script with its arguments, or -m and a module."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    line += ["--max-restarts", str(restarts), *words]
    return subprocess.Popen(line, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pretraining(ranks: int, *words: str, restarts: int = 0) -> subprocess.Popen[str]:
    """Start ``unmask pretrain`` in ``ranks`` processes; one is started without torchrun."""
    if ranks > 1:
        return torchrun(ranks, "-m", "unmask", "pretrain", *words, restarts=restarts)
    line = [sys.executable, "-m", "unmask", "pretrain", *words]
    return subprocess.Popen(line, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def worker(launch: subprocess.Popen[str], rank: int) -> int:
    """Return the process id of a rank that ``launch`` has started."""
    for task in Path(f"/proc/{launch.pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if f"RANK={rank}" in Path(f"/proc/{child}/environ").read_text().split("\0"):
                return int(child)
    raise AssertionError(f"there is no rank {rank}")
