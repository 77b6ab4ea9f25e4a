"""The database of signals: one SQLite file in a folder, written by one, read by many at the same time.

The statements are such that PostgreSQL takes them too. What bites: a database lives in three files while it is written
(``-wal`` and ``-shm`` beside it); a copy of the first alone may lack the last hours. It belongs on a disk of its own
machine: network disks do not lock as SQLite needs it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from unmask.errors import DataError, MissingExtra, did_you_mean
from unmask.watch.window import CLASSES, NUMBERS, Floats, Strings, Window

NAME: Final = "signals.sqlite"
FORMAT: Final = "unmask-watch 1"
STORED: Final = tuple(name for name in NUMBERS if name not in ("distance", "neighbours"))
"""Numbers that have a column: distances follow from the embedding and a reference, and are computed when asked for."""

_COLUMNS: Final = ("time", "model", "task", "key", *STORED, *CLASSES, "embedding", "text")
_READ: Final = ("time", "key", *STORED, *CLASSES, "embedding")
_AT_ONCE: Final = 50_000

_TABLES: Final = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    f"INSERT INTO about (name, value) VALUES ('format', '{FORMAT}')",  # noqa: S608  # a name of ours
    "CREATE TABLE signals (time DOUBLE PRECISION NOT NULL, model TEXT NOT NULL, task TEXT NOT NULL, key TEXT NOT NULL, "
    + ", ".join(f"{name} DOUBLE PRECISION" for name in STORED)
    + ", prediction TEXT NOT NULL, script TEXT NOT NULL, embedding BYTEA, text TEXT)",
    "CREATE INDEX signals_by_time ON signals (time)",
)
_INSERT: Final = f"INSERT INTO signals ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608  # names of ours


@dataclass(frozen=True, slots=True)
class Captured:
    """Signals on their way to the database; they have keys."""

    model: str
    task: str
    window: Window
    texts: Sequence[str] | None = None
    """Kept too where they are given."""

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the values of _COLUMNS, row by row; the database has NULL for NaN."""
        window, count = self.window, len(self.window)
        assert window.key is not None, "what is stored has a key"
        embedding: Sequence[bytes | None] = [None] * count
        if window.embedding is not None:
            embedding = [None if np.isnan(row[0]) else row.astype("<f4").tobytes() for row in window.embedding]
        no_texts: Sequence[str | None] = [None] * count
        return zip(
            window.time.tolist(),
            [self.model] * count,
            [self.task] * count,
            window.key.tolist(),
            *(window.numbers[name].tolist() for name in STORED),
            *(window.classes[name].tolist() for name in CLASSES),
            embedding,
            self.texts or no_texts,
            strict=True,
        )


def connect(folder: Path, wait_seconds: float) -> sqlite3.Connection:
    """Return a connection that writes to the database of ``folder``, made where there is none.

    Others that hold the database are waited for. Raises sqlite3.Error, OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / NAME, timeout=wait_seconds, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded by a database that holds nothing yet
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a power cut costs the last seconds, never the database
        connection.execute("PRAGMA journal_size_limit = 16777216")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if not connection.execute("SELECT name FROM sqlite_master WHERE name = 'signals'").fetchall():
                for statement in _TABLES:
                    connection.execute(statement)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def append(connection: sqlite3.Connection, captured: Sequence[Captured]) -> None:
    """Write ``captured``, all of it or nothing. Raises sqlite3.Error."""
    with connection:
        for one in captured:
            connection.executemany(_INSERT, one.rows())


def forget(connection: sqlite3.Connection, before: float, most_bytes: float) -> int:
    """Remove what is older than ``before``, and the oldest of what is over ``most_bytes``; return how many rows.

    At most _AT_ONCE rows, so that it takes little time. Raises sqlite3.Error.
    """
    oldest = connection.execute(
        "SELECT time FROM signals WHERE time < ? ORDER BY time LIMIT 1 OFFSET ?", (before, _AT_ONCE)
    ).fetchone()
    removed = _remove(connection, before if oldest is None else oldest[0])
    [pages, free, size] = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    ]
    if (pages - free) * size > most_bytes:
        [rows] = connection.execute("SELECT count(*) FROM signals").fetchone()
        share = 1.1 - most_bytes / ((pages - free) * size)  # a little more, so that there is room for a while
        past = connection.execute(
            "SELECT time FROM signals ORDER BY time LIMIT 1 OFFSET ?", (min(_AT_ONCE, int(min(1.0, share) * rows)),)
        ).fetchone()
        removed += _remove(connection, np.inf if past is None else past[0])
    connection.execute("PRAGMA incremental_vacuum").fetchall()
    return removed


def _remove(connection: sqlite3.Connection, before: float) -> int:
    with connection:
        return connection.execute("DELETE FROM signals WHERE time < ?", (before,)).rowcount


def models_in(folder: Path) -> list[str]:
    """Return the names of the models that there are signals of. Raises DataError where there is no database."""
    with _reading(folder) as connection:
        return [name for (name,) in connection.execute("SELECT DISTINCT model FROM signals ORDER BY model")]


def read(folder: Path, model: str | None = None, since: float = -np.inf, until: float = np.inf) -> Window:
    """Return the signals of ``model`` from ``since`` up to, without, ``until`` (unix seconds), by time.

    ``model`` may be left out where there is one. Distances are NaN: ``distance.with_distances`` puts them in. Raises
    DataError where there is no database, or no such model in it.
    """
    model = _chosen(folder, model)
    with _reading(folder) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(_READ)} FROM signals WHERE model = ? AND time >= ? AND time < ? ORDER BY time",  # noqa: S608  # names of ours
            (model, since, until),
        ).fetchall()
    return _window(rows)


def export_parquet(folder: Path, out: Path, model: str | None = None) -> int:
    """Write the signals of ``model``, or of all, as a Parquet file; return how many rows.

    The texts are in it where they were kept. Raises DataError, UserError, MissingExtra.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise MissingExtra("watch", "pyarrow") from None
    fields = [
        pyarrow.field(name, pyarrow.float64() if name == "time" or name in STORED else pyarrow.string())
        for name in _COLUMNS
        if name != "embedding"
    ]
    schema = pyarrow.schema([*fields, pyarrow.field("embedding", pyarrow.list_(pyarrow.float32()))])
    chosen = "" if model is None else "WHERE model = ?"
    names = ", ".join(field.name for field in schema)
    with _reading(folder) as connection, parquet.ParquetWriter(out, schema) as writer:
        found = connection.execute(
            f"SELECT {names} FROM signals {chosen} ORDER BY time",  # noqa: S608  # names of ours
            () if model is None else (_chosen(folder, model),),
        )
        count = 0
        while rows := found.fetchmany(_AT_ONCE):
            columns = dict(zip(schema.names, map(list, zip(*rows, strict=True)), strict=True))
            columns["embedding"] = [None if one is None else np.frombuffer(one, "<f4") for one in columns["embedding"]]
            writer.write_table(pyarrow.Table.from_pydict(columns, schema))
            count += len(rows)
    return count


def _chosen(folder: Path, model: str | None) -> str:
    known = models_in(folder)
    if model is None and len(known) == 1:
        return known[0]
    if not known:
        raise DataError(folder / NAME, "holds no signals yet; ask the server something and wait a second")
    if model is None:
        raise DataError(folder / NAME, f"holds signals of several models; say which: {', '.join(known)}")
    if model not in known:
        raise DataError(
            folder / NAME, f"has no signals of {model}{did_you_mean(model, known)}; there is {', '.join(known)}"
        )
    return model


@contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    path = folder / NAME
    if not path.is_file():
        raise DataError(folder, f"holds no {NAME}; make one: unmask serve MODEL --watch {folder}")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0)
        try:
            about = connection.execute("SELECT value FROM about WHERE name = 'format'").fetchone()
            if about != (FORMAT,):
                raise DataError(path, f"is {about and about[0]}, and {FORMAT} is what is read here")
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DataError(path, f"can not be read as a database of signals ({error})") from None


def _window(rows: Sequence[tuple[Any, ...]]) -> Window:
    columns = dict(zip(_READ, zip(*rows, strict=True) if rows else [()] * len(_READ), strict=True))
    numbers: dict[str, Floats] = {name: np.array(columns[name], np.float64) for name in STORED}
    nothing = np.full(len(rows), np.nan)
    classes: dict[str, Strings] = {name: np.array(columns[name], np.str_) for name in CLASSES}
    blobs = columns["embedding"]
    width = next((len(one) // 4 for one in reversed(blobs) if one is not None), 0)
    embedding = np.full((len(rows), width), np.nan, np.float32)
    for row, blob in zip(embedding, blobs, strict=True):
        if blob is not None and len(blob) == 4 * width:  # of a narrower model before it, say
            row[:] = np.frombuffer(blob, "<f4")
    return Window(
        time=np.array(columns["time"], np.float64),
        numbers={name: numbers.get(name, nothing) for name in NUMBERS},
        classes=classes,
        embedding=embedding if width else None,
        key=np.array(columns["key"], np.str_),
    )
