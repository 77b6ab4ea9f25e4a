"""Writing so that nothing is lost: aside in the same folder, fsync, rename, fsync the folder.

A reader sees the old file or the new one, never half of one. What bites: a rename is only on the disk once its folder
is synced too; a process that is killed leaves something behind whose name begins with a dot and ends in ``.aside``,
and a lock tells what a dead process left from what a living one is writing.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import save_file

from unmask.errors import UserError

DIGEST_BYTES = 32
"""Length of the BLAKE2b checksums that the project writes."""

_IN_THE_WAY = (errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR)


def reached(point: str, path: Path) -> None:
    """Do nothing: tests of crashes put their own function here and die at ``point`` of the writing of ``path``.

    The points are ``aside`` (all is written), ``synced`` (and on the disk), ``renamed`` and ``settled`` (so is the
    name).
    """


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` whole or not at all. Raises UserError where the folder or the disk does not let us."""
    _write(path, lambda aside: _put(aside, data))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all. Raises UserError like write_bytes."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8"))


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write ``array`` as a .npy file, whole or not at all. Raises UserError like write_bytes."""
    _write(path, lambda aside: _save_array(aside, array))


def write_tensors(
    path: Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write ``tensors`` as a safetensors file, whole or not at all. Raises UserError like write_bytes."""
    dense = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}

    def put(aside: Path) -> None:
        aside.touch()
        mode = aside.stat().st_mode  # the library replaces the file by one that only its owner may read
        try:
            save_file(dense, aside, metadata=dict(metadata) if metadata else None)
            aside.chmod(mode)
        except SafetensorError as error:  # the disk's own words, in which only the number tells what they mean
            number = re.search(r"\(os error (\d+)\)", str(error))
            raise OSError(int(number[1]) if number else 0, str(error)) from None

    _write(path, put)


def publish_folder(aside: Path, final: Path) -> None:
    """Give the finished folder ``aside`` its name ``final`` beside it, all of its files on the disk first.

    Raises UserError where ``final`` already holds something.
    """
    assert aside.parent == final.parent, "only a rename inside one folder is atomic"
    with answered(final):
        reached("aside", final)
        for folder, _, names in os.walk(aside):
            for name in names:
                _sync(Path(folder, name))
            _sync(Path(folder))
        reached("synced", final)
        _rename(aside, final)


@contextmanager
def working_folder(final: Path) -> Iterator[Path]:
    """Give a new, empty folder beside ``final`` to write into; what is left of it at the end is removed.

    What dead processes left of their own work on ``final`` is removed as well. Raises UserError like write_bytes.
    """
    refuse_unwritable(final)
    aside = _aside(final)
    with ExitStack() as stack:
        with answered(final):
            _sweep_dead(final)
            aside.mkdir(parents=True)
            stack.callback(shutil.rmtree, aside, ignore_errors=True)
            with suppress(OSError):  # some network disks lock no folder; then nobody sweeps there either
                stack.enter_context(_locked_folder(aside))
        yield aside


def sweep(folder: Path) -> None:
    """Remove everything that was left aside in ``folder``: only for who holds a lock on the whole of it."""
    for left in folder.glob(".*.aside"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def _sweep_dead(final: Path) -> None:
    """Remove the folders that were left aside of ``final``, but for those that a living process has locked."""
    for left in final.parent.glob(f".{glob.escape(final.name)}.*.aside"):
        if left.is_dir() and left.name.split(".")[-2].isdecimal():
            with suppress(OSError), _locked_folder(left):
                shutil.rmtree(left)


@contextmanager
def locked(path: Path, held: Callable[[], None]) -> Iterator[None]:
    """Hold the file ``path``, made where it is absent, for this process alone; it stays there.

    Where another process holds it, ``held`` is called, and then this one waits. Raises UserError like write_bytes.
    """
    with answered(path):
        file = path.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Say whether a process holds the file ``path`` by :func:`locked` now."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def refuse_unwritable(path: Path) -> None:
    """Raise UserError where nothing could be written at ``path``: to be asked before long work, not after it."""
    with answered(path):
        there = next(folder for folder in (*path.parents, Path()) if folder.exists())
        if not there.is_dir():
            raise UserError(f"{path}: {there} is a file, not a folder; choose another name")
        if not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"{path}: the folder {there} can not be written to; choose another one")


def read_object(path: Path, error: type[UserError]) -> dict[str, Any]:
    """Return the JSON object in the file ``path``. Raises ``error`` where there is none or it can not be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path}: is missing") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise error(f"{path}: is damaged (it is not a JSON object)")
    return value


def digest_tensors(tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return the BLAKE2b checksum of names, types, shapes and values in hexadecimal."""
    checksum = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for name, tensor in sorted(tensors.items()):
        checksum.update(f"{name} {tensor.dtype.str} {tensor.shape} ".encode())
        checksum.update(np.ascontiguousarray(tensor).data)
    return checksum.hexdigest()


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with a ``checksum`` of all the others; values that are equal to it are as they were written."""
    rest = {name: value for name, value in values.items() if name != "checksum"}
    text = json.dumps(rest, sort_keys=True).encode()
    return {**rest, "checksum": hashlib.blake2b(text, digest_size=16).hexdigest()}


def digest(path: Path) -> str:
    """Return the BLAKE2b checksum of the file at ``path`` in hexadecimal, reading it piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).hexdigest()


def _write(path: Path, put: Callable[[Path], None]) -> None:
    """Let ``put`` write a file aside, then give it the name ``path``."""
    aside = _aside(path)
    with answered(path):
        try:
            put(aside)
            reached("aside", path)
            _sync(aside)
            reached("synced", path)
            _rename(aside, path)
        finally:
            with suppress(FileNotFoundError):
                aside.unlink()


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.aside")  # two processes may write one name: the last one stays


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Hold ``folder`` until the end or the death of this process. Raises BlockingIOError where another one holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _put(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)


def _save_array(path: Path, array: npt.NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _rename(aside: Path, final: Path) -> None:
    aside.replace(final)
    reached("renamed", final)
    _sync(final.parent)
    reached("settled", final)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def answered(path: Path) -> Iterator[None]:
    """Turn what the system says about writing ``path`` into a UserError: the one line that the user reads."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{path}: the disk is full; make room and run this again") from None
        if error.errno in _IN_THE_WAY:
            raise UserError(f"{path}: something of that name is in the way; remove it or choose another name") from None
        if error.errno == errno.ENOENT:
            raise UserError(f"{path}: the folder {path.parent} is not there; make it first") from None
        raise UserError(f"{path}: can not be written ({error.strerror or error})") from None
