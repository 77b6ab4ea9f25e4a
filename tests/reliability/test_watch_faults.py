"""The database of signals is locked, deleted, damaged, or has no room: no answer of the server is other for it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.made_text import sentences
from tests.published import publish
from tests.reliability.test_full_disk import may_mount
from tests.serving import Running

from unmask.watch.store import NAME, read

pytestmark = pytest.mark.slow  # starts processes again and again

HERE = Path(__file__).parent
TEXTS = sentences(20)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    publish("modernbert", folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "watch"


@pytest.fixture
def server(model: Path, folder: Path) -> Iterator[Running]:
    with Running({"m": model}, "--workers", "1", "--watch", str(folder), "--watch-sample", "20%") as running:
        yield running


def until(happens: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def captured(server: Running) -> float:
    return server.counted("unmask_watch_captured_total")


def answers(server: Running, times: int = 20) -> list[Any]:
    """Return what is answered, and see that it takes no time."""
    start = time.monotonic()
    found = [server.post("/fill", {"inputs": f"{text} [MASK]"}) for text in TEXTS[:times]]
    assert time.monotonic() - start < 10
    assert {status for status, _ in found} == {200}
    return [[round(one["score"], 5) for one in best] for _, best in found]


def test_a_locked_database_changes_no_answer_and_loses_nothing(server: Running, folder: Path) -> None:
    usual = answers(server)
    until(lambda: captured(server) == 20)
    other = sqlite3.connect(folder / NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert answers(server) == usual
    until(lambda: "locked" in server.get("/watch.json")[1]["trouble"])
    assert answers(server) == usual
    assert server.get("/readyz")[0] == 200
    other.execute("ROLLBACK")
    other.close()
    until(lambda: captured(server) == 60)
    assert server.counted("unmask_watch_dropped_total") == 0
    assert len(read(folder)) == 60


@pytest.mark.parametrize("fault", ["deleted", "all deleted", "damaged", "a folder"])
def test_a_database_that_goes_changes_no_answer(fault: str, server: Running, folder: Path) -> None:
    usual = answers(server)
    until(lambda: captured(server) == 20)
    if fault == "all deleted":
        shutil.rmtree(folder)
    elif fault == "deleted":
        (folder / NAME).unlink()
    else:
        for left in folder.glob(f"{NAME}*"):  # what lies beside it would mend it
            left.unlink()
    if fault == "damaged":
        (folder / NAME).write_bytes(b"no database" * 1000)
    elif fault == "a folder":
        (folder / NAME).mkdir()
    assert answers(server) == usual
    if fault in ("damaged", "a folder"):
        until(lambda: bool(server.get("/watch.json")[1]["trouble"]))
        assert answers(server) == usual
        assert captured(server) == 20
        (folder / NAME).unlink() if fault == "damaged" else (folder / NAME).rmdir()
    until(lambda: captured(server) >= 40)
    assert server.get("/watch.json")[1]["trouble"] == ""
    until(lambda: len(read(folder)) >= 20)
    assert server.stop()[0] == 0


@pytest.mark.skipif(not may_mount(), reason="this system gives nobody a namespace to mount a disk in")
def test_a_full_disk_changes_no_answer(model: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1] / "src"), str(HERE.parents[1])]),
    }
    script = ["unshare", "-rm", sys.executable, str(HERE / "watch_disk.py"), str(model), str(tmp_path)]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["codes"]) == {200}
    assert "full" in found["trouble"]
    assert found["written"] > 0
    assert found["dropped"] > 0
    written, dropped = found["counts"]
    assert written > found["written"]
    assert written + dropped == 50 * len(found["codes"])
    assert found["rows"] == written
    assert found["exit"] == 0
    assert [line["watch"] for line in found["said"]][-1] == "writes again"
