"""Writes signals into the database, and goes on whatever becomes of it: locked, full, damaged, deleted.

Called by one thread. What bites: a database that is deleted while it is open is still written to, and nobody will ever
read it; so its name is looked at before each write.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from pathlib import Path
from typing import Final

from unmask.watch.keys import keep_key
from unmask.watch.settings import WatchSettings
from unmask.watch.store import NAME, Captured, append, connect, forget

MOST_WAITING: Final = 20_000
"""Rows that may wait to be written; what comes then is dropped."""

LOCKED_SECONDS: Final = 0.5
"""How long a write waits for others who hold the database, before it is tried again later."""

FORGET_EVERY: Final = 60.0
_DAY: Final = 86_400.0
_MEGABYTE: Final = 1e6


class Writer:
    """The one that writes."""

    def __init__(self, folder: Path, settings: WatchSettings, key: bytes) -> None:
        """Nothing is opened before the first :meth:`write`; a ``key`` that is gone by then is put back."""
        self._folder, self._settings, self._key = folder, settings, key
        self._waiting: deque[Captured] = deque()
        self._num_waiting = 0
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._forget_at = 0.0
        self.written = self.dropped = 0
        self.last_write = 0.0
        """When the last rows were written, in unix seconds; 0 where none were."""
        self.trouble = ""
        """Why the last write failed, in the system's words; "" where it did not."""

    def put(self, captured: Captured) -> None:
        """Take ``captured`` to be written, or drop and count it where too much waits."""
        count = len(captured.window)
        if self._num_waiting + count > MOST_WAITING:
            self.dropped += count
        elif count:
            self._waiting.append(captured)
            self._num_waiting += count

    def write(self) -> None:
        """Write what waits; where that fails it waits on, and ``trouble`` says why."""
        try:
            connection = self._open()
            if self._waiting:
                append(connection, self._waiting)
                self.written += self._num_waiting
                self._waiting.clear()
                self._num_waiting = 0
                self.last_write = time.time()
            if time.monotonic() >= self._forget_at:
                forget(connection, time.time() - self._settings.days * _DAY, self._settings.megabytes * _MEGABYTE)
                self._forget_at = time.monotonic() + FORGET_EVERY
        except (sqlite3.Error, OSError) as error:
            self.trouble = str(error) or type(error).__name__
            self.close()
        else:
            self.trouble = ""

    def close(self) -> None:
        """Close the database; what waits is kept."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self) -> None:
        """Count what still waits as dropped, and close."""
        self.dropped += self._num_waiting
        self._waiting.clear()
        self._num_waiting = 0
        self.close()

    def _open(self) -> sqlite3.Connection:
        """Return a connection to the database that is there now, made where there is none."""
        path = self._folder / NAME
        if self._connection is not None and (not path.exists() or path.stat().st_ino != self._inode):
            self.close()
        if self._connection is None:
            self._connection = connect(self._folder, LOCKED_SECONDS)
            self._inode = path.stat().st_ino
        keep_key(self._folder, self._key)
        return self._connection
