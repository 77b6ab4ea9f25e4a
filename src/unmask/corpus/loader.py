"""One thread that prepares the next items while the network works on the last: numpy releases the lock, no processes.

What bites: an error in the thread must reach the loop. It is handed over in the item's place and raised there.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterates over ``make(place)`` for each of ``places``, at most ``ahead`` items ahead."""

    def __init__(self, make: Callable[[int], T], places: Iterable[int], *, ahead: int = 2) -> None:
        """Start the thread."""
        self._waited = 0.0
        self._items: queue.Queue[tuple[T | None, BaseException | None] | None] = queue.Queue(ahead)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(make, places), daemon=True, name="unmask-prefetch")
        self._thread.start()

    def __enter__(self) -> Self:
        """Return itself; leaving closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the thread and wait for it."""
        self.close()

    def __iter__(self) -> Iterator[T]:
        """Yield the items in order; raises what the thread raised."""
        while True:
            start = time.perf_counter()
            handed = self._items.get()
            self._waited += time.perf_counter() - start
            if handed is None:
                return
            item, error = handed
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # an item without an error is a T

    def take_waited(self) -> float:
        """Return the seconds that were waited for items since this was last called."""
        waited, self._waited = self._waited, 0.0
        return waited

    def close(self) -> None:
        """Stop the thread and wait for it; what it had prepared is dropped."""
        self._closed.set()
        self._thread.join()

    def _fill(self, make: Callable[[int], T], places: Iterable[int]) -> None:
        try:
            for place in places:
                if not self._put((make(place), None)):
                    return
            self._put(None)
        except BaseException as error:  # noqa: BLE001  # handed to the loop, which raises it
            self._put((None, error))

    def _put(self, handed: tuple[T | None, BaseException | None] | None) -> bool:
        """Hand an item, an error or (None) the end over; return False once closed."""
        while not self._closed.is_set():
            try:
                self._items.put(handed, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False
