"""Where bytes come from: a file, a folder, a glob or standard input, plain or compressed.

A name says everything: the last suffix is the compression (``.gz``, ``.zst``), the one before it the format. Standard
input is ``-``, which is text; ``-.jsonl`` or ``-.csv.gz`` says what else it is, as the suffix of a file would. What
bites: hidden files and folders are passed over, and ``./-`` is the way to name a file that is called ``-``.
"""

from __future__ import annotations

import glob
import gzip
import io
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import IO, BinaryIO, Literal, NoReturn, cast

from unmask.errors import DataError, MissingExtra, did_you_mean

COMPRESSIONS = (".gz", ".zst")
BUFFER_BYTES = 1 << 16
_STDIN = re.compile(r"-(\.\w+)*")


def files_of(source: str) -> Iterator[str]:
    """Yield the names of the files that ``source`` stands for, sorted, without hidden ones.

    Raises DataError where nothing is there.
    """
    path = Path(source).expanduser()
    if is_stdin(source):
        yield source
    elif path.is_dir():
        yield from _not_empty(source, "this folder holds no file that is not hidden; name one that does", _walk(path))
    elif path.exists():
        yield str(path)
    elif glob.has_magic(source):
        names = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # Path.glob knows no absolute patterns
        files = (name for name in names if not Path(name).is_dir())
        yield from _not_empty(source, "no file fits this pattern; quote it and look at it from this folder", files)
    else:
        raise DataError(source, f"there is no such file or folder{did_you_mean(path.name, _beside(path))}")


def is_stdin(source: str) -> bool:
    """Tell whether ``source`` is standard input: ``-``, or ``-`` with the suffix that a file would have."""
    return _STDIN.fullmatch(source) is not None


def suffixes_of(name: str) -> tuple[str, str]:
    """Return the format's and the compression's suffix of a file's name, in lower case; ``""`` where there is none."""
    lower = PurePath(name).name.lower()
    compression = next((suffix for suffix in COMPRESSIONS if lower.endswith(suffix)), "")
    lower = lower.removesuffix(compression)
    return ("." + lower.rpartition(".")[2] if "." in lower else ""), compression


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """Open ``name`` for reading its bytes, decompressed. What goes wrong while it is open becomes a DataError."""
    try:
        with ExitStack() as stack:
            raw = sys.stdin.buffer if is_stdin(name) else stack.enter_context(Path(name).open("rb"))
            match suffixes_of(name)[1]:
                case ".gz":
                    unzipped = stack.enter_context(gzip.GzipFile(fileobj=raw))
                    yield cast(BinaryIO, io.BufferedReader(unzipped, BUFFER_BYTES))
                case ".zst":
                    yield _zstandard(raw)
                case _:
                    yield raw
    except (OSError, EOFError, zlib.error) as error:
        _tell(name, error)


@contextmanager
def opened_text(name: str, newline: Literal["", None]) -> Iterator[io.TextIOWrapper]:
    """Open ``name`` as UTF-8 text without byte order mark; bytes that are not UTF-8 become lone surrogates.

    ``newline`` None makes every line end a newline, ``""`` leaves them as they are.
    """
    with opened(name) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline=newline)
        try:
            yield text
        finally:
            text.detach()  # else standard input would be closed with the wrapper


@contextmanager
def opened_for_seeking(name: str) -> Iterator[IO[bytes]]:
    """Open ``name`` for reading at any place: by way of a temporary file where it is compressed or standard input."""
    with opened(name) as stream:
        if stream.seekable() and not suffixes_of(name)[1]:
            yield stream
        else:
            with tempfile.TemporaryFile() as spool:
                shutil.copyfileobj(stream, spool, BUFFER_BYTES)
                spool.seek(0)
                yield spool


def _zstandard(raw: BinaryIO) -> BinaryIO:
    try:
        import pyarrow
    except ImportError:
        raise MissingExtra("train", "pyarrow") from None
    return cast(
        BinaryIO, io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), "zstd"), BUFFER_BYTES)
    )


def _tell(name: str, error: Exception) -> NoReturn:
    if isinstance(error, OSError) and error.errno is not None:
        raise DataError(name, f"can not be read ({error.strerror})") from None
    raise DataError(name, f"its compression is broken ({error}); write or fetch the file again") from None


def _walk(folder: Path) -> Iterator[str]:
    def refuse(error: OSError) -> NoReturn:
        _tell(str(error.filename), error)

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (str(Path(place, name)) for name in sorted(files) if not name.startswith("."))


def _not_empty(source: str, otherwise: str, names: Iterator[str]) -> Iterator[str]:
    first = next(names, None)
    if first is None:
        raise DataError(source, otherwise)
    yield first
    yield from names


def _beside(path: Path) -> list[str]:
    folder = path.parent
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() and os.access(folder, os.R_OK) else []
