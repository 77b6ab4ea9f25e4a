"""A process that dies at any named point of a write leaves the old or the new, never half, and nothing in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from unmask import files

POINTS = ("aside", "synced", "renamed", "settled")
_KILLED = 86

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def _killed_at(point: str, work: Callable[[], None]) -> None:
    """Do ``work`` in a child that dies, without a word or any tidying, once ``point`` is reached."""
    child = os.fork()
    if not child:
        try:
            patch = pytest.MonkeyPatch()
            patch.setattr(files, "reached", lambda here, path: os._exit(_KILLED) if here == point else None)
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == _KILLED


@pytest.mark.parametrize("point", POINTS)
def test_a_file_is_old_or_new(tmp_path: Path, point: str) -> None:
    path = tmp_path / "a"
    files.write_bytes(path, b"old" * 1000)
    _killed_at(point, lambda: files.write_bytes(path, b"new" * 2000))
    assert path.read_bytes() == (b"new" * 2000 if point in ("renamed", "settled") else b"old" * 1000)
    files.write_bytes(path, b"again")
    assert path.read_bytes() == b"again"


@pytest.mark.parametrize("point", POINTS)
def test_tensors_are_old_or_new(tmp_path: Path, point: str) -> None:
    path = tmp_path / "a"
    files.write_tensors(path, {"x": np.zeros(10)})
    _killed_at(point, lambda: files.write_tensors(path, {"x": np.ones(20)}))
    assert load_file(path)["x"].sum() == (20 if point in ("renamed", "settled") else 0)


@pytest.mark.parametrize("point", POINTS)
def test_a_folder_is_absent_or_whole(tmp_path: Path, point: str) -> None:
    aside, final = tmp_path / ".aside", tmp_path / "final"
    aside.mkdir()
    for name in "abc":
        (aside / name).write_bytes(b"x" * 1000)
    _killed_at(point, lambda: files.publish_folder(aside, final))
    assert final.exists() == (point in ("renamed", "settled"))
    if final.exists():
        assert {path.name: path.stat().st_size for path in final.iterdir()} == dict.fromkeys("abc", 1000)
