"""A disk that fills up: one line, nothing half-written, and once there is room the run goes on as if nothing was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def may_mount() -> bool:
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="this system gives nobody a namespace to mount a disk in")
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1] / "src"), str(HERE.parents[1])]),
    }
    script = ["unshare", "-rm", sys.executable, str(HERE / "full_disk.py"), str(tmp_path)]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for answer in (found["full"], found["again"]):
        assert answer["code"] == 2
        assert answer["err"].startswith(f"unmask: {tmp_path}/disk/run/")
        assert answer["err"].endswith(": the disk is full; make room and run this again\n")
        assert answer["err"].count("\n") == 1
    assert 0 < found["step"] < 30
    assert (found["damaged"], found["leftovers"]) == ([], [])
    assert found["resumed"] == {"code": 0, "err": ""}
    assert found["status"] == "finished"
    assert found["same"] == [True, True]

    assert [answer["code"] for answer in found["builds"]].count(2) >= 4
    for answer in found["builds"]:
        if answer["code"]:
            assert answer["left"] == []
            assert answer["err"] == f"unmask: {tmp_path}/disk/corpus: the disk is full; make room and run this again\n"
