"""The models, the queue and the workers as one thing that is started, asked and stopped.

What bites: it is ready when the network has answered a moment ago, and not because a process is there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from unmask.host import usable_threads
from unmask.serve.batcher import Batcher
from unmask.serve.logs import Log
from unmask.serve.metrics import Metrics
from unmask.serve.models import ServedModel
from unmask.serve.refusals import Refused
from unmask.serve.settings import ServeSettings
from unmask.serve.work import Loading
from unmask.serve.workers import Worker

CANARY_EVERY: Final = 0.5
STALE_SECONDS: Final = 2.0
"""An answer of the network that is older than this says nothing about now."""


class Service:
    """What stands behind the routes."""

    when_lost: Callable[[], None] = staticmethod(lambda: None)
    """Called once workers die so often that there is no use in starting them again."""

    def __init__(
        self, models: Mapping[str, ServedModel], settings: ServeSettings, beside: Sequence[ServedModel] = ()
    ) -> None:
        """Nothing runs before :meth:`start`; models ``beside`` are loaded, and not asked by name."""
        self.models, self.settings = models, settings
        self._loads = {**models, **{model.name: model for model in beside}}
        self.is_lost = False
        self.log = Log()
        self.num_workers = settings.workers or max(1, usable_threads() // settings.threads)
        self.metrics = Metrics(lambda: self.batcher.waiting_tokens, lambda: len(self._loaded))
        self.batcher = Batcher(settings.batch_tokens, settings.queue_tokens, self.metrics)
        self.batcher.num_workers = self.num_workers
        self.is_draining = False
        self._loaded: set[int] = set()
        self._answered_at = 0.0
        self._workers: dict[int, Worker] = {}
        self._canary: asyncio.Task[None] | None = None
        for model in self._loads.values():
            self.metrics.info.labels(model.name, model.task, model.engine).set(1)

    def start(self) -> None:
        """Start the workers; called in the event loop that everything else runs in."""
        loop = asyncio.get_running_loop()
        loading = Loading(
            {name: (model.where, model.engine) for name, model in self._loads.items()}, self.settings.threads
        )
        for number in range(self.num_workers):
            self._workers[number] = Worker(
                number,
                loading,
                ready=lambda number: _tell(loop, self._worker_is_ready, number),
                answered=lambda *said: _tell(loop, self._worker_answered, *said),
                gone=lambda number: _tell(loop, self._worker_is_gone, number),
                lost=lambda: _tell(loop, self._give_up),
            )
        self._canary = loop.create_task(self._sing())

    async def stop(self) -> None:
        """End the workers."""
        if self._canary is not None:
            self._canary.cancel()
        await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in self._workers.values()))
        self.log.close()

    def kill(self) -> None:
        """End what still runs of the workers, at once."""
        for worker in self._workers.values():
            worker.kill()

    @property
    def num_loaded(self) -> int:
        """How many workers have loaded their models."""
        return len(self._loaded)

    @property
    def is_taking(self) -> bool:
        """Whether requests are taken: some worker is there, or will be in a moment."""
        return bool(self._loaded) or self._answered_at > 0

    @property
    def is_ready(self) -> bool:
        """Whether a request would be answered now: the network has answered a moment ago, and goes on."""
        return not self.is_draining and bool(self._loaded) and time.monotonic() - self._answered_at < STALE_SECONDS

    def model(self, name: str | None) -> ServedModel:
        """Return the model called ``name``, or the only one. Raises Refused (404)."""
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        if name is None:
            raise Refused("invalid", f"there are several models; say which: {', '.join(self.models)}", param="model")
        if name not in self.models:
            raise Refused(
                "not_found", f"there is no model {name[:80]!r}; there is {', '.join(self.models)}", param="model"
            )
        return self.models[name]

    def _worker_is_ready(self, number: int) -> None:
        self._loaded.add(number)
        self._answered_at = time.monotonic()
        self.batcher.worker_is_free(number, self._workers[number].give)

    def _worker_answered(self, number: int, answers: list[Any], seconds: float) -> None:
        self._answered_at = time.monotonic()
        self.batcher.worker_answered(number, answers, seconds)
        self.batcher.worker_is_free(number, self._workers[number].give)

    def _worker_is_gone(self, number: int) -> None:
        self._loaded.discard(number)
        self.metrics.restarts.inc()
        self.batcher.worker_is_gone(number)

    def _give_up(self) -> None:
        self.is_lost = True
        self.when_lost()

    async def _sing(self) -> None:
        """Ask each model something small, again and again, whenever nobody else does."""
        while True:
            await asyncio.sleep(CANARY_EVERY)
            if not self._loaded or time.monotonic() - self._answered_at < CANARY_EVERY:
                continue
            for model in self._loads.values():
                with suppress(Refused):
                    await self.batcher.ask(model.name, model.canary, time.monotonic() + STALE_SECONDS)


def _tell(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    """Call ``function`` in ``loop`` from a worker's thread; a loop that is closed has no need of it any more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)
