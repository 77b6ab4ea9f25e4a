"""Time of the networks that nobody else has use of: what may wait is asked here, a batch at a time.

What bites: a batch that has begun is not stopped, so a request that comes just then waits for it. With two workers one
is free.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any, Final

from unmask.inference.asks import length_of
from unmask.serve.models import ServedModel
from unmask.serve.refusals import Refused
from unmask.serve.service import Service

IDLE_EVERY: Final = 0.01
KEPT_SECONDS: Final = 5.0
"""How long what may wait is waited for."""


class Spare:
    """A ticket that takes a batch at a time, and waits until nobody else has use of the workers."""

    def __init__(self, service: Service, since: float) -> None:
        """Wait from ``since`` (of time.monotonic) for KEPT_SECONDS at most."""
        self._service, self._until = service, since + KEPT_SECONDS
        self.truncated_tokens, self.seconds = 0, 0.0

    async def answer(self, model: ServedModel, question: Any) -> Any:
        """Return the answer of ``model`` to ``question``. Raises Refused: 429 where there is no time for it."""
        answers: list[Any] | None = None
        while True:
            try:
                asks = next(question) if answers is None else question.send(answers)
            except StopIteration as end:
                return end.value
            answers = await self.answers(model.name, asks)

    async def answers(self, model: str, asks: Sequence[Any]) -> list[Any]:
        """Return what the network of ``model`` answers to ``asks``. Raises Refused: 429 where there is no time."""
        found = []
        for part in self._batches(asks):
            found += await self._idle_answers(model, part)
        return found

    async def _idle_answers(self, model: str, asks: Sequence[Any]) -> list[Any]:
        batcher = self._service.batcher
        while not batcher.is_idle:
            if time.monotonic() > self._until:
                raise Refused("overloaded", "nobody has time for a comparison")
            await asyncio.sleep(IDLE_EVERY)
        job = await batcher.ask(model, asks, time.monotonic() + self._service.settings.deadline_seconds)
        self.seconds += job.inference_seconds
        return job.answers

    def _batches(self, asks: Sequence[Any]) -> Iterator[list[Any]]:
        batch: list[Any] = []
        for one in asks:
            if batch and sum(map(length_of, batch)) + length_of(one) > self._service.batcher.batch_tokens:
                yield batch
                batch = []
            batch.append(one)
        if batch:
            yield batch


def asking(service: Service) -> Callable[[str, Sequence[Any]], list[Any] | None]:
    """Return what has a network asked from another thread, in spare time; None where there was none.

    Called in the event loop of ``service``.
    """
    loop = asyncio.get_running_loop()

    def ask(model: str, asks: Sequence[Any]) -> list[Any] | None:
        answers = Spare(service, time.monotonic()).answers(model, asks)
        try:
            return asyncio.run_coroutine_threadsafe(answers, loop).result()
        except (Refused, CancelledError):
            return None

    return ask
