"""What this machine offers a run, and what must be the same for two runs to be equal to the bit."""

from __future__ import annotations

import os
import platform
import shutil
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

COMPILE_PAYS_SECONDS = 1800
"""A budget under this never compiles: compiling takes a minute or two and gains a twentieth."""


@dataclass(frozen=True, slots=True)
class Machine:
    """How the network runs here."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    deterministic: bool
    compile: bool

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Run matrix products in ``dtype``; weights, losses and the optimiser stay in float32."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            yield


def prepare(
    *,
    dtype: Literal["auto", "float32", "bfloat16"],
    threads: int,
    deterministic: bool,
    compiling: Literal["auto", "yes", "no"],
    budget_seconds: float,
) -> Machine:
    """Set torch up for a run and return what was chosen.

    ``threads`` 0 takes every processor that is allowed; ``budget_seconds`` 0 is a budget that is not in time.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    # A sweep over every new tensor, meant to find the bugs of others.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # made at import
    half = dtype == "bfloat16" or (dtype == "auto" and has_bfloat16(device))
    compiled = compiling == "yes" or (compiling == "auto" and budget_seconds >= COMPILE_PAYS_SECONDS and can_compile())
    return Machine(device, torch.bfloat16 if half else torch.float32, threads, deterministic, compiled)


def has_bfloat16(device: torch.device) -> bool:
    """Say whether the processor multiplies bfloat16 itself: elsewhere it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return any(flag in _processor_flags() for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def can_compile() -> bool:
    """Say whether torch.compile finds a C++ compiler and Python.h."""
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    return bool(compiler) and (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file()


def environment(machine: Machine) -> dict[str, Any]:
    """Return what a run records of where it ran."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor_name(),
        "device": str(machine.device),
        "dtype": str(machine.dtype).removeprefix("torch."),
        "threads": machine.threads,
        "ranks": 1,
        "deterministic": machine.deterministic,
        "compiled": machine.compile,
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two environments, a line each; a resume says so and goes on."""
    return [f"{key}: {before.get(key)} before, {now[key]} now" for key in now if before.get(key) != now[key]]


def _processor_flags() -> frozenset[str]:
    """Return the processor's features as Linux names them (x86: flags, arm64: Features)."""
    return frozenset(word for key in ("flags", "Features") for word in _cpuinfo(key).split())


def _processor_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
