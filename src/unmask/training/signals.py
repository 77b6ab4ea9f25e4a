"""Ctrl-C and SIGTERM ask a run to stop at the end of its step; a second one stops it at once.

Under torchrun it does not: there Ctrl-C reaches a process twice, from the terminal and from torchrun, which ends it
itself after half a minute.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While entered, ``requested`` turns true at the first signal; the handlers before are put back at the end."""

    def __init__(self, *, patient: bool = False) -> None:
        """Nothing is asked yet; ``patient`` takes every further signal for the same one."""
        self.requested, self._patient = False, patient
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Listen; outside the main thread Python hands out no signals, and nothing is listened to."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested and not self._patient:
            raise KeyboardInterrupt
        self.requested = True
