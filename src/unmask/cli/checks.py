"""What ``unmask doctor`` looks at: packages, processor, compiler, disk; each a check with what to do about it.

What bites: torch may be missing or broken, which is a finding here, so it is imported where it is needed and no sooner.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from unmask import __version__, host
from unmask.corpus.cache import user_cache
from unmask.errors import UserError
from unmask.files import refuse_unwritable

EXTRAS = ("train", "serve", "watch", "export", "track")
NEEDED = ("core", "train")
LEAST_FREE = 1_000_000_000
"""Bytes: a corpus of 100 MB passes through six times its size."""
WIDE_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")


@dataclass(frozen=True, slots=True)
class Check:
    """What was found: ``no`` is what must be mended, ``note`` what is good to know."""

    name: str
    state: Literal["ok", "no", "note"]
    found: str
    remedy: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def installed() -> Iterator[Check]:
    """Check Python and the packages of the core and of each extra."""
    yield Check("python", "ok", f"{platform.python_version()}, unmask {__version__}", figures={"unmask": __version__})
    try:
        needs = [_Requirement.parse(text) for text in requires("unmask") or ()]
    except PackageNotFoundError:
        yield Check("packages", "no", "unmask runs from its source and is not installed", "pip install -e '.[train]'")
        return
    for extra in ("core", *EXTRAS):
        yield _packages(extra, [need for need in needs if need.extra == extra])


def processor() -> Iterator[Check]:
    """Check what the processor can do and how much of it there is."""
    flags = host.processor_flags()
    wide = [flag for flag in WIDE_FLAGS if flag in flags]
    yield Check("processor", "ok", f"{host.processor_name()}: {', '.join(wide) or 'no wide instructions known'}")
    there, allowed, quota = os.cpu_count() or 1, host.allowed_processors(), host.cpu_quota()
    rationed = "no quota" if quota is None else f"a quota of {quota:g}"
    yield Check(
        "threads", "ok", f"{host.usable_threads()} will be used: {there} there, {allowed} allowed, {rationed}",
        figures={"present": there, "allowed": allowed, "quota": quota, "used": host.usable_threads()},
    )  # fmt: skip


def network() -> Iterator[Check]:
    """Check that torch loads, and how fast it multiplies in both precisions."""
    try:
        import torch

        from unmask.training.machine import has_bfloat16, matmul_peak
    except (ImportError, OSError) as error:
        yield Check("torch", "no", f"does not load ({error})", "pip install 'unmask[train]'")
        return
    threads = host.usable_threads()
    peaks = {
        name: matmul_peak(dtype, threads=threads) / 1e9
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    used = "bfloat16" if has_bfloat16(torch.device("cpu")) else "float32"
    yield Check(
        "matrix products",
        "ok",
        f"{', '.join(f'{name} {peak:,.0f} GFLOP/s' for name, peak in peaks.items())}; runs take {used}",
        figures=peaks,
    )
    if peaks[used] < max(peaks.values()) / 1.2:
        other = next(name for name in peaks if name != used)
        yield Check("precision", "note", f"{other} is faster here than {used}", f"train with training.dtype={other}")
    if torch.cuda.is_available():
        yield Check("graphics card", "ok", torch.cuda.get_device_name())


def compiler() -> Iterator[Check]:
    """Check whether torch.compile would find what it needs."""
    fault = host.compiles()
    if fault is None:
        yield Check("compiling", "ok", f"{host.cpp_compiler()} with Python.h and OpenMP")
    else:
        remedy = "runs go on uncompiled, a little slower; on Debian and Ubuntu: apt install g++ python3-dev"
        yield Check("compiling", "note", fault, remedy)


def disk() -> Iterator[Check]:
    """Check that there is room, and leave to write, where runs and the cache go."""
    yield _room("runs", Path.cwd(), "change to a folder with room that you may write, or give --out elsewhere")
    cache = user_cache()
    yield _room("cache", cache, "set XDG_CACHE_HOME to a folder with room that you may write")
    corpora = cache / "corpora"
    count = sum(1 for path in corpora.iterdir() if path.is_dir()) if corpora.is_dir() else 0
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    hint = f"what is in it can be made again: rm -r {cache} frees it" if size > LEAST_FREE else ""
    yield Check("cached", "ok", f"{count} corpora, {size / 1e9:.2f} GB", hint, {"corpora": count, "bytes": size})


@dataclass(frozen=True, slots=True)
class _Requirement:
    package: str
    least: str
    extra: str

    @classmethod
    def parse(cls, text: str) -> _Requirement:
        """Read ``torch>=2.6; extra == 'train'``, which is the only form that this project writes."""
        found = re.fullmatch(r"""([\w.-]+)>=([\d.]+)(?:; extra == ['"](\w+)['"])?""", text)
        assert found is not None, text
        return cls(found[1], found[2], found[3] or "core")


def _packages(extra: str, needs: Sequence[_Requirement]) -> Check:
    """Check that the packages of an extra are there and new enough."""
    there, wrong = {}, []
    for need in needs:
        try:
            there[need.package] = version(need.package)
        except PackageNotFoundError:
            wrong.append(f"no {need.package}")
            continue
        if _numbers(there[need.package]) < _numbers(need.least):
            wrong.append(f"{need.package} {there[need.package]} is older than {need.least}")
    if not wrong:
        return Check(extra, "ok", ", ".join(f"{name} {number}" for name, number in there.items()), figures=there)
    remedy = "pip install --upgrade unmask" if extra == "core" else f"pip install 'unmask[{extra}]'"
    return Check(extra, "no" if extra in NEEDED else "note", ", ".join(wrong), remedy, there)


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers at the head of a version: 2.13.0+cpu is (2, 13, 0)."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def _room(name: str, folder: Path, remedy: str) -> Check:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    try:
        refuse_unwritable(folder / "a-run")
    except UserError as error:
        return Check(name, "no", str(error), remedy, {"free": free})
    fits = free >= LEAST_FREE
    return Check(
        name, "ok" if fits else "no", f"{free / 1e9:.1f} GB free at {folder}", "" if fits else remedy, {"free": free}
    )
