"""What waits and what goes next: bounded by tokens, in batches of near lengths, dropped when nobody waits for it.

Runs in the event loop alone, so nothing in here is locked. What bites: the time that a request may take runs while it
waits; what can not be done in time is refused at the door, or dropped once that is sure, since an answer that comes too
late costs as much as one in time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from unmask.inference.asks import Ask, length_of
from unmask.serve.refusals import Refused
from unmask.serve.workers import Batch, is_failure

MOST_PADDING: Final = 0.2
"""Share of a batch that may be padding."""

BATCH_SECONDS: Final = 0.25
"""A batch is no more than a worker does in so long: who waits behind it would wait for all of it."""

LOOKED_AT: Final = 512
"""Windows from the head of the queue that a batch is chosen from."""

TRIES: Final = 2
"""How often a window is given to a worker that dies over it."""

PATIENCE: Final = 20.0
"""A batch that takes so many times longer than it should is a stuck worker."""

LEAST_PATIENCE_SECONDS: Final = 2.0


class Observer(Protocol):
    """Who counts what happens here."""

    def batch(self, model: str, tokens: int, padding: float, seconds: float) -> None:
        """Take note of an answered batch."""

    def dropped(self, why: str) -> None:
        """Take note of work that nobody waits for any more."""


@dataclass(slots=True)
class Job:
    """The asks of one request to one model, and the future that its answers settle."""

    model: str
    deadline: float
    answers: list[Any]
    left: int
    done: asyncio.Future[list[Any]]
    waiting: int
    """Tokens of its windows that are still in the queue."""
    inference_seconds: float = 0.0
    counted_until: float = 0.0
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float | None = None

    def count(self, seconds: float, now: float) -> None:
        """Take note that the network worked on it for ``seconds`` until ``now``; at once in two workers counts once."""
        self.inference_seconds += now - max(now - seconds, self.counted_until)
        self.counted_until = now


@dataclass(slots=True)
class Waiting:
    """One window that waits."""

    job: Job
    place: int
    ask: Ask
    tokens: int
    tries: int = 0
    alone: bool = False


@dataclass(slots=True)
class Running:
    """A batch that a worker has."""

    batch: list[Waiting]
    tokens: int
    since: float


class Batcher:
    """The queue in front of the workers."""

    def __init__(self, batch_tokens: int, queue_tokens: int, observer: Observer) -> None:
        """Wait for :meth:`worker_is_free` before anything is given out."""
        self.batch_tokens, self.queue_tokens, self._observer = batch_tokens, queue_tokens, observer
        self.waiting_tokens = 0
        self.tokens_per_second: float | None = None
        self.num_workers = 1
        self._queue: deque[Waiting] = deque()
        self._free: list[tuple[int, Callable[[Batch], None]]] = []
        self._running: dict[int, Running] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._queue and not self._running

    async def ask(self, model: str, asks: Sequence[Ask], deadline: float) -> Job:
        """Return the job once all of ``asks`` are answered, in the order of ``asks``.

        Raises Refused: 429 where it would not be answered by ``deadline`` (of time.monotonic), 413 where it is more
        than may ever wait, 504 at the deadline, 500 where the network fails on it.
        """
        tokens = [length_of(one) for one in asks]
        self._admit(sum(tokens), deadline)
        done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        job = Job(model, deadline, [None] * len(asks), len(asks), done, sum(tokens))
        for place, (one, length) in enumerate(zip(asks, tokens, strict=True)):
            self._queue.append(Waiting(job, place, one, length))
        self.waiting_tokens += sum(tokens)
        self._give_out()
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await job.done
        except TimeoutError:
            self._observer.dropped("deadline")
            raise _late() from None
        finally:
            self._forget(job)
        return job

    def expected_wait(self) -> float:
        """Return how many seconds what waits now will take, and what runs will still take."""
        if self.tokens_per_second is None:
            return 0.0
        now, rate = time.monotonic(), self.tokens_per_second / self.num_workers
        left = sum(max(0.0, one.tokens - (now - one.since) * rate) for one in self._running.values())
        return (self.waiting_tokens + left) / self.tokens_per_second

    def worker_is_free(self, number: int, give: Callable[[Batch], None]) -> None:
        """Take note that the worker ``number`` waits for a batch, which ``give`` hands to it."""
        self._free.append((number, give))
        self._give_out()

    def worker_is_gone(self, number: int) -> None:
        """Take back what the worker ``number`` was given, and give it nothing more."""
        self._free = [(one, give) for one, give in self._free if one != number]
        if (running := self._running.pop(number, None)) is not None:
            self._again(running.batch)

    def worker_answered(self, number: int, answers: list[Any], seconds: float) -> None:
        """Settle what the worker ``number`` was given."""
        if (running := self._running.pop(number, None)) is None:
            return
        batch, tokens = running.batch, running.tokens
        if seconds > 0:
            rate = tokens / seconds * self.num_workers
            self.tokens_per_second = (
                rate if self.tokens_per_second is None else 0.9 * self.tokens_per_second + 0.1 * rate
            )
            longest = max(one.tokens for one in batch)
            self._observer.batch(batch[0].job.model, tokens, 1 - tokens / (longest * len(batch)), seconds)
        failed = [one for one, answer in zip(batch, answers, strict=True) if is_failure(answer)]
        if failed and len(failed) == len(batch) > 1:  # one of them broke it for all
            self._again(batch)
            return
        now = time.monotonic()
        for one, answer in zip(batch, answers, strict=True):
            one.job.count(seconds, now)
            self._settle(one, answer)

    def _admit(self, tokens: int, deadline: float) -> None:
        if tokens > self.queue_tokens:
            raise Refused(
                "too_large",
                f"the request has {tokens:,} tokens, {self.queue_tokens:,} may wait in all; send less at a time",
            )
        if self.is_idle:  # whatever was measured before: without work it would never be measured again
            return
        wait = self.expected_wait()
        over = self.waiting_tokens + tokens - self.queue_tokens
        own = tokens / self.tokens_per_second if self.tokens_per_second else 0.0
        if over > 0 or wait + own > 0.8 * (deadline - time.monotonic()):
            raise Refused("overloaded", "too much waits already; try again later", retry_after=max(0.1, wait / 2))

    def _give_out(self) -> None:
        while self._free and self._queue:
            batch = self._next()
            if not batch:
                return
            number, give = self._free.pop()
            now = time.monotonic()
            for one in batch:
                if one.job.started_at is None:
                    one.job.started_at = now
            tokens = sum(one.tokens for one in batch)
            self._running[number] = Running(batch, tokens, now)
            rate = (self.tokens_per_second or 0.0) / self.num_workers
            patience = max(LEAST_PATIENCE_SECONDS, PATIENCE * tokens / rate) if rate else 60.0
            give(Batch(batch[0].job.model, [one.ask for one in batch], patience))

    def _next(self) -> list[Waiting]:
        """Take a batch from the queue: the window that waits longest, and those near its length."""
        rate, most = (self.tokens_per_second or 0.0) / self.num_workers, self.batch_tokens
        head: list[Waiting] = []
        while self._queue and len(head) < LOOKED_AT:
            one = self._queue.popleft()
            if rate and self._running and time.monotonic() + one.tokens / rate > one.job.deadline:
                self._drop(one.job)
            if not one.job.done.done():
                head.append(one)
        batch = _near_the_first(head, min(most, int(rate * BATCH_SECONDS)) if rate else most)
        taken = set(map(id, batch))
        self._queue.extendleft(one for one in reversed(head) if id(one) not in taken)
        for one in batch:
            one.job.waiting -= one.tokens
            self.waiting_tokens -= one.tokens
        return batch

    def _again(self, batch: list[Waiting]) -> None:
        """Put back what a worker died over or failed on: each on its own, so that only the one that breaks it fails."""
        for one in reversed(batch):
            one.tries += 1
            if one.job.done.done():
                continue
            if one.tries > TRIES or (one.alone and one.tries > 1):
                one.job.done.set_exception(Refused("internal", "the network failed on this text"))
                continue
            one.alone = True
            self._queue.appendleft(one)
            one.job.waiting += one.tokens
            self.waiting_tokens += one.tokens
        self._give_out()

    def _settle(self, one: Waiting, answer: Any) -> None:
        job = one.job
        if job.done.done():
            return
        if is_failure(answer):
            job.done.set_exception(Refused("internal", "the network failed on this text"))
            return
        job.answers[one.place] = answer
        job.left -= 1
        if job.left == 0:
            job.done.set_result(job.answers)

    def _drop(self, job: Job) -> None:
        """Refuse what can not be done in time any more: the time of the network is for those who can be answered."""
        if not job.done.done():
            self._observer.dropped("deadline")
            job.done.set_exception(_late())

    def _forget(self, job: Job) -> None:
        """Let go of what still waits of ``job``: whoever waited for it has an answer, or is gone."""
        self.waiting_tokens -= job.waiting
        job.waiting = 0
        if not job.done.done():
            job.done.cancel()
        if len(self._queue) > 2 * LOOKED_AT and self.waiting_tokens == 0:
            self._queue.clear()


def _late() -> Refused:
    return Refused("deadline", "not answered in time; it was dropped")


def _near_the_first(head: list[Waiting], most_tokens: int) -> list[Waiting]:
    """Return the first of ``head``, and of its model those about its length that make a batch with little padding."""
    if not head or head[0].alone:
        return head[:1]
    first = head[0]
    near = [one for one in head if one.job.model == first.job.model and not one.alone]
    near.sort(key=lambda one: abs(one.tokens - first.tokens))  # stable: the oldest of equals first, and itself
    batch: list[Waiting] = []
    longest = tokens = 0
    for one in near:
        longest_then, tokens_then = max(longest, one.tokens), tokens + one.tokens
        padded = longest_then * (len(batch) + 1)
        if batch and (padded > most_tokens or 1 - tokens_then / padded > MOST_PADDING):
            break
        batch.append(one)
        longest, tokens = longest_then, tokens_then
    return batch
