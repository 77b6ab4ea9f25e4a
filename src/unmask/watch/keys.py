"""A keyed hash in place of a text: the same text is told again, and nobody without the key can try texts out.

What bites: a key that is lost makes what comes later unlike what came before; it lies beside the database, for its
owner's eyes alone.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

from unmask import files
from unmask.errors import DataError

NAME: Final = "key"
KEY_BYTES: Final = 32
HASH_BYTES: Final = 16


def hash_of(text: str, key: bytes) -> str:
    """Return what stands for ``text``: BLAKE2b-128 under ``key``, in hexadecimal."""
    return blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=HASH_BYTES).hexdigest()


def new_key() -> bytes:
    """Return a key that was never there before."""
    return secrets.token_bytes(KEY_BYTES)


def key_in(folder: Path) -> bytes:
    """Return the key of ``folder``, made where there is none. Raises UserError, DataError where it is damaged."""
    path = folder / NAME
    with files.answered(path):
        keep_key(folder, new_key())
        key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise DataError(path, f"is damaged ({len(key)} bytes, {KEY_BYTES} are expected); bring back a copy of it")
    return key


def keep_key(folder: Path, key: bytes) -> None:
    """Write ``key`` into ``folder`` where there is none. Raises OSError."""
    path = folder / NAME
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{NAME}.{os.getpid()}.aside")
    try:
        with os.fdopen(os.open(aside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(aside, path)  # whole or not there, and never over that of another process
    finally:
        aside.unlink(missing_ok=True)
