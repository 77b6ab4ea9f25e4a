"""The log: a line of JSON a request, written beside the event loop.

What bites: whoever reads the log may stop reading, and a write that blocks would stop every request. Lines wait here,
and those that do not fit any more are dropped and counted.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

MOST_LINES: Final = 10_000
LAST_SECONDS: Final = 1.0
"""How long the end of the server waits for the last lines to be taken."""


class Log:
    """Lines on their way to standard error."""

    def __init__(self) -> None:
        """Start the thread that writes."""
        self.dropped = 0
        self._lines: queue.Queue[str | None] = queue.Queue(MOST_LINES)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def line(self, values: Mapping[str, Any]) -> None:
        """Write ``values``, some time soon."""
        try:
            self._lines.put_nowait(json.dumps(values))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what still waits, if it is taken in time."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=LAST_SECONDS)
        self._thread.join(LAST_SECONDS)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if self.dropped:
                dropped, self.dropped = self.dropped, 0
                line = f"{json.dumps({'dropped_lines': dropped})}\n{line}"
            with suppress(OSError, ValueError):  # nobody reads: it goes on without
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()
