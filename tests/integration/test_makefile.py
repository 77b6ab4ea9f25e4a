"""The first command that a newcomer types, on machines that lack what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OLD = f"""[ "$1" = -V ] && echo Python 3.10.9 && exit
exec {sys.executable} -c 'import sys; sys.version_info = (3, 10, 9); exec(sys.argv[1])' "$2\""""
NO_VENV = """case "$*" in *ensurepip*) echo "No module named 'ensurepip'" >&2; exit 1;; esac"""


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "Makefile", folder)
    alone = {name: value for name, value in os.environ.items() if "MAKE" not in name} | {"LC_ALL": "C"}
    return subprocess.run(
        ["make", *words], cwd=folder, env=alone, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (
            OLD,
            "unmask needs Python 3.11 or newer, and ./python is Python 3.10.9; name another: make PYTHON=python3.13",
        ),
        (NO_VENV, "./python can not make virtual environments: apt install python3-venv"),
        (
            None,
            "unmask needs Python 3.11 or newer, and ./python is not here: apt install python3 python3-venv",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, body: str | None, line: str) -> None:
    if body is not None:
        (tmp_path / "python").write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tmp_path / "python").chmod(0o755)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "constraints.txt").touch()
    done = make(tmp_path, "test", "PYTHON=./python")
    said, made = done.stderr.splitlines()
    assert (done.returncode, said) == (2, line)
    assert made.startswith("make: ***")
    assert not (tmp_path / ".venv").exists()


def test_help_is_the_default_and_names_every_target(tmp_path: Path) -> None:
    lines = make(tmp_path).stdout.splitlines()
    named = [line.split()[1] for line in lines if line.startswith("  make ")]
    assert named == ["help", "demo", "test", "test-all", "lint", "type", "bench", "clean"]
    assert max(map(len, lines)) <= 80
