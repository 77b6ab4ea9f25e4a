"""The queue in front of the workers, with workers that the test plays itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.inference.asks import Mean
from unmask.serve.batcher import MOST_PADDING, Batcher, Job
from unmask.serve.refusals import Refused
from unmask.serve.work import Failed
from unmask.serve.workers import Batch


class Seen:
    def __init__(self) -> None:
        self.batches: list[tuple[str, int, float]] = []
        self.why: list[str] = []

    def batch(self, model: str, tokens: int, padding: float, seconds: float) -> None:
        self.batches.append((model, tokens, padding))

    def dropped(self, why: str) -> None:
        self.why.append(why)


class Player:
    """A worker that answers each window with its length, and breaks as it is told."""

    def __init__(self, batcher: Batcher, number: int = 0, breaks: Callable[[Batch], Any] = lambda _: None) -> None:
        self.batcher, self.number, self.breaks = batcher, number, breaks
        self.given: list[list[int]] = []
        batcher.worker_is_free(number, self.give)

    def give(self, batch: Batch) -> None:
        self.given.append([len(ask.window) for ask in batch.asks])
        asyncio.get_running_loop().call_soon(self.answer, batch)

    def answer(self, batch: Batch) -> None:
        broken = self.breaks(batch)
        if broken == "never":
            return
        answers = [len(ask.window) for ask in batch.asks] if broken is None else broken
        if broken == "dies":
            self.batcher.worker_is_gone(self.number)
        else:
            self.batcher.worker_answered(self.number, answers, 0.001)
        self.batcher.worker_is_free(self.number, self.give)


def windows(*lengths: int) -> list[Mean]:
    return [Mean(np.zeros(length, np.int32)) for length in lengths]


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        async with asyncio.timeout(20):
            return await work()

    return asyncio.run(whole())


@given(st.lists(st.lists(st.integers(1, 200), min_size=1, max_size=6), min_size=1, max_size=12))
def test_everyone_gets_their_own_answers_in_batches_of_near_lengths(requests: list[list[int]]) -> None:
    async def work() -> None:
        batcher = Batcher(256, 100_000, Seen())
        jobs = [asyncio.ensure_future(batcher.ask("m", windows(*lengths), soon())) for lengths in requests]
        await asyncio.sleep(0)
        player = Player(batcher)
        found: list[Job] = list(await asyncio.gather(*jobs))
        assert [job.answers for job in found] == requests
        assert batcher.waiting_tokens == 0
        assert batcher.is_idle
        for batch in player.given:
            padded = max(batch) * len(batch)
            assert len(batch) == 1 or (padded <= 256 and 1 - sum(batch) / padded <= MOST_PADDING)

    run(work)


def test_the_oldest_goes_first_whatever_its_length() -> None:
    async def work() -> None:
        batcher = Batcher(64, 10_000, Seen())
        jobs = [asyncio.ensure_future(batcher.ask("m", windows(n), soon())) for n in (50, 5, 5, 5)]
        await asyncio.sleep(0)
        player = Player(batcher)
        await asyncio.gather(*jobs)
        assert player.given == [[50], [5, 5, 5]]

    run(work)


def test_models_do_not_share_a_batch() -> None:
    async def work() -> None:
        batcher = Batcher(64, 10_000, Seen())
        jobs = [asyncio.ensure_future(batcher.ask(name, windows(5), soon())) for name in "abab"]
        await asyncio.sleep(0)
        player = Player(batcher)
        await asyncio.gather(*jobs)
        assert player.given == [[5, 5], [5, 5]]

    run(work)


def test_what_would_not_fit_is_refused_at_the_door() -> None:
    async def work() -> None:
        batcher = Batcher(64, 100, Seen())
        waiting = asyncio.ensure_future(batcher.ask("m", windows(60), soon()))
        await asyncio.sleep(0)
        with pytest.raises(Refused) as one:
            await batcher.ask("m", windows(60), soon())
        assert (one.value.kind, one.value.retry_after is not None) == ("overloaded", True)
        with pytest.raises(Refused) as thousand:
            await batcher.ask("m", windows(*[1] * 60), soon())
        assert thousand.value.kind == "overloaded"  # one rule for one text and for many
        with pytest.raises(Refused) as never:
            await batcher.ask("m", windows(101), soon())
        assert never.value.kind == "too_large"
        Player(batcher)
        await waiting

    run(work)


def test_what_would_come_too_late_is_refused_at_the_door() -> None:
    async def work() -> None:
        batcher = Batcher(64, 10_000, Seen())
        batcher.tokens_per_second = 100.0
        waiting = asyncio.ensure_future(batcher.ask("m", windows(200), soon(5)))
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="too much waits"):
            await batcher.ask("m", windows(50), soon(1))
        waiting.cancel()

    run(work)


class Slow:
    """A worker that never answers; what it was given is looked at."""

    def __init__(self, batcher: Batcher, number: int = 0) -> None:
        self.given: list[list[int]] = []
        batcher.worker_is_free(number, self.give)

    def give(self, batch: Batch) -> None:
        self.given.append([len(ask.window) for ask in batch.asks])


def test_what_runs_is_waited_for_too() -> None:
    async def work() -> None:
        batcher = Batcher(1000, 10_000, Seen())
        batcher.tokens_per_second = 100.0
        Slow(batcher)
        running = asyncio.ensure_future(batcher.ask("m", windows(300), soon(5)))
        await asyncio.sleep(0)
        assert batcher.waiting_tokens == 0
        assert 2.9 < batcher.expected_wait() <= 3.0
        await asyncio.sleep(0.1)
        assert batcher.expected_wait() < 2.91
        with pytest.raises(Refused, match="too much waits"):
            await batcher.ask("m", windows(50), soon(3))
        running.cancel()

    run(work)


def test_a_batch_takes_no_longer_than_others_may_wait_behind_it() -> None:
    async def work() -> None:
        batcher = Batcher(1000, 10_000, Seen())
        batcher.tokens_per_second, batcher.num_workers = 400.0, 2
        jobs = [asyncio.ensure_future(batcher.ask("m", windows(20), soon())) for _ in range(8)]
        await asyncio.sleep(0)
        slow = Slow(batcher)
        assert slow.given == [[20, 20]]  # 200 tokens a second, for a quarter of a second
        for job in jobs:
            job.cancel()

    run(work)


def test_what_can_not_be_done_in_time_any_more_takes_no_time_of_others() -> None:
    async def work() -> None:
        seen = Seen()
        batcher = Batcher(1000, 10_000, seen)
        slow = Slow(batcher)
        first, late, last = (
            asyncio.ensure_future(batcher.ask("m", windows(n), soon(seconds)))
            for n, seconds in ((20, 5), (60, 0.5), (40, 5))
        )
        await asyncio.sleep(0)
        batcher.tokens_per_second = 100.0
        second = Slow(batcher, 1)
        with pytest.raises(Refused) as refused:
            await late
        assert second.given == [[40]]
        assert (refused.value.kind, seen.why) == ("deadline", ["deadline"])
        assert slow.given == [[20]]
        assert batcher.waiting_tokens == 0
        for job in (first, last):
            job.cancel()

    run(work)


def test_a_slow_start_does_not_shut_the_door_for_ever() -> None:
    async def work() -> None:
        batcher = Batcher(64, 10_000, Seen())
        Player(batcher)
        batcher.tokens_per_second = 0.1
        assert (await batcher.ask("m", windows(50), soon(1))).answers == [50]
        assert batcher.tokens_per_second > 100

    run(work)


def test_the_deadline_is_kept_in_the_queue_and_its_work_is_dropped() -> None:
    async def work() -> None:
        seen = Seen()
        batcher = Batcher(64, 10_000, seen)
        start = time.monotonic()
        with pytest.raises(Refused) as refused:
            await batcher.ask("m", windows(7, 7), soon(0.2))
        assert refused.value.kind == "deadline"
        assert 0.19 < time.monotonic() - start < 0.5
        assert batcher.waiting_tokens == 0
        player = Player(batcher)
        await asyncio.sleep(0.01)
        assert player.given == []
        assert seen.why == ["deadline"]

    run(work)


def test_nothing_is_done_for_who_has_hung_up() -> None:
    async def work() -> None:
        batcher = Batcher(64, 10_000, Seen())
        gone, stays = (asyncio.ensure_future(batcher.ask("m", windows(n), soon())) for n in (9, 11))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        player = Player(batcher)
        await stays
        assert player.given == [[11]]

    run(work)


@pytest.mark.parametrize("how", ["dies", "fails"])
def test_the_one_that_breaks_a_batch_fails_alone(how: str) -> None:
    def breaks(batch: Batch) -> Any:
        if 13 not in [len(ask.window) for ask in batch.asks]:
            return None
        return "dies" if how == "dies" else [Failed("no")] * len(batch.asks)

    async def work() -> None:
        batcher = Batcher(640, 10_000, Seen())
        jobs = [asyncio.ensure_future(batcher.ask("m", windows(n), soon())) for n in (12, 13, 14, 12)]
        await asyncio.sleep(0)
        Player(batcher, breaks=breaks)
        found = await asyncio.gather(*jobs, return_exceptions=True)
        assert [one.answers for one in found if isinstance(one, Job)] == [[12], [14], [12]]
        assert isinstance(found[1], Refused)
        assert found[1].kind == "internal"
        assert batcher.waiting_tokens == 0
        assert batcher.is_idle

    run(work)


def test_one_bad_answer_in_a_good_batch_is_that_ones_alone() -> None:
    def breaks(batch: Batch) -> Any:
        return [Failed("not finite") if len(ask.window) == 13 else len(ask.window) for ask in batch.asks]

    async def work() -> None:
        batcher = Batcher(640, 10_000, Seen())
        jobs = [asyncio.ensure_future(batcher.ask("m", windows(n), soon())) for n in (12, 13, 14)]
        await asyncio.sleep(0)
        player = Player(batcher, breaks=breaks)
        found = await asyncio.gather(*jobs, return_exceptions=True)
        assert [isinstance(one, Refused) for one in found] == [False, True, False]
        assert len(player.given) == 1

    run(work)


def test_a_worker_that_dies_once_loses_nothing() -> None:
    deaths = iter(["dies"])

    async def work() -> None:
        batcher = Batcher(640, 10_000, Seen())
        jobs = [asyncio.ensure_future(batcher.ask("m", windows(n), soon())) for n in (12, 13, 14)]
        await asyncio.sleep(0)
        Player(batcher, breaks=lambda _: next(deaths, None))
        found = await asyncio.gather(*jobs)
        assert [job.answers for job in found] == [[12], [13], [14]]

    run(work)


def test_a_worker_that_dies_at_rest_is_given_nothing() -> None:
    async def work() -> None:
        batcher = Batcher(640, 10_000, Seen())
        player = Player(batcher)
        batcher.worker_is_gone(player.number)
        job = asyncio.ensure_future(batcher.ask("m", windows(5), soon()))
        await asyncio.sleep(0.01)
        assert player.given == []
        batcher.worker_is_free(player.number, player.give)
        assert (await job).answers == [5]

    run(work)


def test_time_in_the_network_is_counted_once() -> None:
    """Two windows in a batch, or two batches side by side, take no longer than the clock says."""

    async def work() -> None:
        batcher = Batcher(20, 10_000, Seen())
        asked = time.monotonic()
        job = asyncio.ensure_future(batcher.ask("m", windows(9, 9, 9, 9), soon()))
        await asyncio.sleep(0.05)
        for number in (0, 1):
            batcher.worker_is_free(number, lambda _: None)
        await asyncio.sleep(0.05)
        batcher.worker_answered(0, [9, 9], 0.04)
        await asyncio.sleep(0.01)
        batcher.worker_answered(1, [9, 9], 0.05)
        seconds = (await job).inference_seconds
        assert 0.045 < seconds <= time.monotonic() - asked - 0.05

    run(work)
