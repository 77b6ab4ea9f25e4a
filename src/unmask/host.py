"""What the system says of this machine: processor, threads, compiler; needs no torch.

What bites: in a container the processors that are there, those that this process may use, and the share of their time
that it is given are three different numbers.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
"""Features with which a processor multiplies bfloat16 itself; elsewhere it is slower than float32."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What glibc's malloc.h calls M_TRIM_THRESHOLD and M_MMAP_THRESHOLD."""
_KEPT_BYTES = 1 << 30


def usable_threads() -> int:
    """Return how many threads pay: the processors that this process may use, or fewer where its time is rationed."""
    quota = cpu_quota()
    return allowed_processors() if quota is None else max(1, min(allowed_processors(), math.ceil(quota)))


def allowed_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return the processors' time that the control group of this process is given, in processors; None for all.

    Reads version 2 (``cpu.max``) and version 1 (``cpu.cfs_quota_us``) as a container sees them, at ``root``.
    """
    version_1 = (root / "cpu" / "cpu.cfs_quota_us", root / "cpu" / "cpu.cfs_period_us")
    if (root / "cpu.max").is_file():
        words = (root / "cpu.max").read_text(encoding="ascii").split()
    elif all(path.is_file() for path in version_1):
        words = [path.read_text(encoding="ascii").strip() for path in version_1]
    else:
        return None
    quota, period = words
    return None if quota in ("max", "-1") else int(quota) / int(period)


def processor_flags() -> frozenset[str]:
    """Return the processor's features as Linux names them (x86: flags, arm64: Features)."""
    return frozenset(word for key in ("flags", "Features") for word in _cpuinfo(key).split())


def processor_name() -> str:
    """Return the processor's name."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpp_compiler() -> str | None:
    """Return the C++ compiler that torch.compile would call."""
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")


def python_header() -> Path:
    """Return where Python.h has to be for code to be compiled against this Python."""
    return Path(sysconfig.get_paths()["include"]) / "Python.h"


def compiles() -> str | None:
    """Return why code that torch.compile would write can not be compiled here, None where it can."""
    compiler = cpp_compiler()
    if compiler is None:
        return "there is no C++ compiler"
    if not python_header().is_file():
        return f"there is no {python_header()}"
    with TemporaryDirectory() as folder:
        code, built = Path(folder, "tried.cpp"), Path(folder, "tried.so")
        code.write_text("#include <Python.h>\n#include <omp.h>\nint threads() { return omp_get_max_threads(); }\n")
        words = [compiler, "-shared", "-fPIC", "-fopenmp", f"-I{python_header().parent}", str(code), "-o", str(built)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603  # the user's own compiler
    said = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else f"{compiler} fails: {said[0] if said else done.returncode}"


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, where the C library is glibc; it asks for the same again.

    By itself glibc gives blocks of megabytes back, and the kernel clears every page of them anew: measured, a twentieth
    of a training step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)


def give_freed_memory_back() -> None:
    """Give the system what this process keeps and does not use, where the C library is glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _cpuinfo(key: str) -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
