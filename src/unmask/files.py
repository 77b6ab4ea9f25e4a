"""Writing so that nothing is lost: aside in the same folder, fsync, rename, fsync the folder.

A reader sees the old file or the new one, never half of one. What bites: a rename is only on the disk once its folder
is synced too; a process that is killed leaves at most a file whose name begins with a dot.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
        except SafetensorError as error:  # the disk's own words; its type and number are lost on the way
            raise UserError(f"{path}: can not be written ({error})") from None

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
def working_folder(aside: Path) -> Iterator[Path]:
    """Give the new, empty folder ``aside`` to write into; what is left of it at the end, and before, is removed."""
    with answered(aside):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def digest(path: Path) -> str:
    """Return the BLAKE2b checksum of the file at ``path`` in hexadecimal, reading it piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).hexdigest()


def _write(path: Path, put: Callable[[Path], None]) -> None:
    """Let ``put`` write a file aside, then give it the name ``path``."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")  # two processes may write one name: the last one stays
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
