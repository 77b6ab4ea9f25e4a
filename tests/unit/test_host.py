"""What the system is asked about the machine."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from unmask import host


@pytest.mark.parametrize(
    ("written", "processors"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_quota_is_read_from_both_versions_of_control_groups(
    written: dict[str, str], processors: float | None, tmp_path: Path
) -> None:
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert host.cpu_quota(tmp_path) == processors


@pytest.mark.parametrize(("quota", "threads"), [(None, 8), (3.2, 4), (0.5, 1), (64.0, 8)])
def test_threads_follow_the_scarcer_of_processors_and_quota(
    quota: float | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "allowed_processors", lambda: 8)
    monkeypatch.setattr(host, "cpu_quota", lambda: quota)
    assert host.usable_threads() == threads


def test_what_keeps_code_from_compiling_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "cpp_compiler", lambda: "/bin/false")
    monkeypatch.setattr(host, "python_header", lambda: tmp_path / "Python.h")
    assert host.compiles() == f"there is no {tmp_path / 'Python.h'}"
    (tmp_path / "Python.h").touch()
    assert str(host.compiles()).startswith("/bin/false fails")
    monkeypatch.setattr(host, "cpp_compiler", lambda: None)
    assert host.compiles() == "there is no C++ compiler"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back so soon")
def test_freed_memory_is_kept_for_the_next_that_asks() -> None:
    """Pages that come anew are counted by the kernel: 40 MB are 10,000 of them."""
    code = (
        "import resource, sys, numpy as np\n"
        "from unmask.host import keep_freed_memory\n"
        "if sys.argv[1] == 'kept': keep_freed_memory()\n"
        "np.ones(5_000_000)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(5): np.ones(5_000_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", code, way], capture_output=True, text=True, check=True).stdout)
        for way in ("kept", "given back")
    )
    assert kept < 1000 < given_back
