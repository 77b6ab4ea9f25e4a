"""``unmask doctor``: each check can say no, and the self-check notices what it is there to notice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from unmask.cli import checks, doctor, self_check
from unmask.cli.checks import Check
from unmask.cli.main import main
from unmask.cli.pretrain import pretrain
from unmask.errors import UserError
from unmask.runs import RunDirectory


def all_of(look: Callable[[], Iterable[Check]]) -> dict[str, Check]:
    return {check.name: check for check in look()}


def test_here_all_that_is_needed_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["version"], found["ok"]) == ("unmask-doctor", 1, True)
    named = {check["name"]: check for check in found["checks"]}
    assert {"python", "core", "train", "threads", "matrix products", "runs", *self_check.NAMES} <= named.keys()
    assert "torch" in named["train"]["figures"]
    assert named["matrix products"]["figures"]["float32"] > 0.1
    assert named["resuming"]["figures"]["bytes"] > 100_000
    assert named["training"]["figures"]["masked_after"] < named["training"]["figures"]["masked_before"]


def test_packages_that_are_missing_or_old_are_named_with_the_way_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("pyarrow", "onnx"):
            raise PackageNotFoundError
        return "0.0.1" if name == "rich" else "99.0+cpu"

    monkeypatch.setattr(checks, "version", version)
    found = all_of(checks.installed)
    assert (found["train"].state, found["train"].found) == ("no", "no pyarrow")
    assert found["train"].remedy == "pip install 'unmask[train]'"
    assert (found["export"].state, found["export"].found) == ("note", "no onnx")
    assert found["core"].state == "no"
    assert "rich 0.0.1 is older than" in found["core"].found
    assert found["serve"].state == "ok"


def test_a_folder_without_room_or_leave_is_a_no(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "LEAST_FREE", 1 << 60)
    assert all_of(checks.disk)["cache"].state == "no"
    monkeypatch.setattr(checks, "LEAST_FREE", 1)
    assert all_of(checks.disk)["cache"].state == "ok"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = all_of(checks.disk)["cache"]
    assert found.state == "no"
    assert "XDG_CACHE_HOME" in found.remedy


def test_a_no_ends_with_exit_code_1_and_without_the_self_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never() -> Iterator[Check]:
        raise AssertionError

    monkeypatch.setattr(doctor, "_self_check", never)
    broken = [
        Check("torch", "no", "does not load (libgomp)", "pip install 'unmask[train]'"),
        Check("disk", "ok", "9 GB"),
    ]
    monkeypatch.setattr(doctor, "GROUPS", (("Torch", lambda: broken), ("Self-check", never)))
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "NOT OK" in out
    assert "→ pip install 'unmask[train]'" in out
    assert err.endswith("unmask: 1 of 2 checks said no: torch\n")


def test_a_resume_that_differs_in_one_bit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped_at_the_end(*names: Any, **words: Any) -> RunDirectory:
        run = pretrain(*names, **words)
        if "resume" in words:
            weights = run.checkpoints()[-1] / "model.safetensors"
            held = bytearray(weights.read_bytes())
            held[-1] ^= 1
            weights.write_bytes(held)
        return run

    monkeypatch.setattr(self_check, "pretrain", flipped_at_the_end)
    *_, last = self_check.self_check()
    assert (last.name, last.state) == ("resuming", "no")
    assert "model.safetensors differ" in last.found


def test_an_error_on_the_way_is_a_no_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: object, **more: object) -> None:
        raise UserError("the disk is full; make room")

    monkeypatch.setattr(self_check, "pretrain", full)
    first, second = self_check.self_check()
    assert (first.name, first.state) == ("corpus", "ok")
    assert (second.name, second.state, second.found) == ("training", "no", "the disk is full; make room")
