"""What this machine offers a run, and what must be the same for two runs to be equal to the bit."""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch

from unmask.errors import SettingError
from unmask.host import (
    BFLOAT16_FLAGS,
    cpp_compiler,
    keep_freed_memory,
    processor_flags,
    processor_name,
    python_header,
    usable_threads,
)
from unmask.training.distributed import ALONE, Ranks

COMPILE_PAYS_SECONDS = 1800
"""A budget under this never compiles: compiling takes a minute or two and gains a twentieth."""

PEAK_SECONDS = 0.4
"""How long the peak of matrix products is looked for."""
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Machine:
    """How the network runs here."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    deterministic: bool
    compile: bool
    ranks: int = 1
    """Processes that train together, on this machine and others."""

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
    compiling: Literal["auto", "always", "never"],
    budget_seconds: float,
    ranks: Ranks = ALONE,
) -> Machine:
    """Set torch up for a run and return what was chosen.

    ``threads`` 0 takes as many as this process is given processors, shared with the other ``ranks`` on this machine;
    ``budget_seconds`` 0 is a budget that is not in time.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = threads or max(1, usable_threads() // ranks.local_count)
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.use_deterministic_algorithms(deterministic)
    # A sweep over every new tensor, meant to find the bugs of others.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # made at import
    half = dtype == "bfloat16" or (dtype == "auto" and has_bfloat16(device))
    if compiling == "always" and not can_compile():
        raise SettingError(
            "training.compile is always, but a C++ compiler or Python.h is missing; install them or say never"
        )
    pays = budget_seconds >= COMPILE_PAYS_SECONDS
    compiled = compiling == "always" or (compiling == "auto" and pays and can_compile())
    return Machine(device, torch.bfloat16 if half else torch.float32, threads, deterministic, compiled, ranks.count)


def has_bfloat16(device: torch.device) -> bool:
    """Say whether the processor multiplies bfloat16 itself: elsewhere it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return not processor_flags().isdisjoint(BFLOAT16_FLAGS)


def can_compile() -> bool:
    """Say whether torch.compile finds a C++ compiler and Python.h."""
    return cpp_compiler() is not None and python_header().is_file()


@cache
def matmul_peak(dtype: torch.dtype, *, threads: int, device: torch.device = CPU) -> float:
    """Return the floating point operations a second of a square matrix product, the best of ten or more.

    The best, since whatever else the machine does can only make it slower; measured once in a process.
    """
    torch.set_num_threads(threads)
    size = 1024 if device.type == "cpu" else 8192
    chance = (torch.Generator().manual_seed(place) for place in (0, 1))
    one, other = (torch.randn(size, size, generator=each).to(device, dtype) for each in chance)

    def seconds_of_one() -> float:
        start = time.perf_counter()
        one @ other
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    seconds_of_one()  # the first is cold
    seconds: list[float] = []
    end = time.perf_counter() + PEAK_SECONDS
    while len(seconds) < 10 or time.perf_counter() < end:
        seconds.append(seconds_of_one())
    return 2.0 * size**3 / min(seconds)


@dataclass(frozen=True, slots=True)
class Gauge:
    """What tells how well a machine is used (MFU, Chowdhery et al. 2022): a model's operations beside the peak."""

    per_token: float
    """Floating point operations of a token, there and back."""
    per_asked: float
    """What is added where a token is asked for."""
    peak: float
    """Operations a second of a matrix product, on all ranks together."""

    def utilisation(self, tokens: float, asked: float, seconds: float) -> float:
        """Return the share of the peak that ``tokens``, ``asked`` of them asked for, make use of in ``seconds``."""
        return (self.per_token * tokens + self.per_asked * asked) / seconds / self.peak


def environment(machine: Machine) -> dict[str, Any]:
    """Return what a run records of where it ran."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "device": str(machine.device),
        "dtype": str(machine.dtype).removeprefix("torch."),
        "threads": machine.threads,
        "ranks": machine.ranks,
        "deterministic": machine.deterministic,
        "compiled": machine.compile,
    }


def peak_memory() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two environments, a line each; a resume says so and goes on."""
    return [f"{key}: {before.get(key)} before, {now[key]} now" for key in now if before.get(key) != now[key]]
