"""Writes: what is written is read back, and what the disk says reaches the user in one line."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file

from unmask import files
from unmask.errors import UserError


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a.bin", b"one")
    files.write_bytes(tmp_path / "a.bin", b"two")
    files.write_json(tmp_path / "b.json", {"é": [1, None]})
    files.write_tensors(tmp_path / "c.safetensors", {"x": np.arange(6, dtype=np.uint16).reshape(2, 3).T}, {"k": "v"})
    assert (tmp_path / "a.bin").read_bytes() == b"two"
    assert json.loads((tmp_path / "b.json").read_text(encoding="utf-8")) == {"é": [1, None]}
    np.testing.assert_array_equal(load_file(tmp_path / "c.safetensors")["x"], [[0, 3], [1, 4], [2, 5]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "b.json", "c.safetensors"]


def test_tensors_may_be_read_by_whoever_may_read_any_other_file(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "plain", b"")
    files.write_tensors(tmp_path / "tensors", {"x": np.zeros(1)})
    assert (tmp_path / "tensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_digest_is_the_blake2b_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(data)
    assert files.digest(tmp_path / "a") == hashlib.blake2b(data, digest_size=32).hexdigest()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    files.write_bytes(tmp_path / "a", b"old")

    def full(point: str, path: Path) -> None:
        raise OSError(number, "no room")

    monkeypatch.setattr(files, "reached", full)
    with pytest.raises(UserError, match=r"a: the disk is full; make room and run this again$"):
        files.write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder_and_a_name_in_the_way_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not there; make it first$"):
        files.write_bytes(tmp_path / "no" / "a", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"in the way"):
        files.write_bytes(tmp_path / "folder", b"")
    with pytest.raises(UserError, match=r"is not there; make it first$"):
        files.write_tensors(tmp_path / "no" / "t", {"x": np.zeros(1)})


def test_what_the_tensor_library_meets_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: object, path: Path, metadata: object) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(UserError, match=r"t: can not be written \(No space left on device\)$"):
        files.write_tensors(tmp_path / "t", {"x": np.zeros(1)})
    assert not list(tmp_path.iterdir())


def test_a_folder_is_published_whole_and_never_over_another(tmp_path: Path) -> None:
    aside, final = tmp_path / ".aside", tmp_path / "final"
    (aside / "inner").mkdir(parents=True)
    (aside / "inner" / "a").write_bytes(b"1")
    files.publish_folder(aside, final)
    assert (final / "inner" / "a").read_bytes() == b"1"
    assert not aside.exists()
    aside.mkdir()
    with pytest.raises(UserError, match="in the way"):
        files.publish_folder(aside, final)
    assert (final / "inner" / "a").read_bytes() == b"1"


def test_points_come_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str, bool]] = []
    monkeypatch.setattr(files, "reached", lambda point, path: seen.append((point, path.name, path.exists())))
    files.write_bytes(tmp_path / "a", b"")
    assert seen == [("aside", "a", False), ("synced", "a", False), ("renamed", "a", True), ("settled", "a", True)]
