"""The prefetch thread: order, errors, closing."""

from __future__ import annotations

import itertools
import threading

import pytest

from unmask.corpus.loader import Prefetch


def test_items_come_in_order_and_end() -> None:
    with Prefetch(lambda place: place * place, range(50)) as items:
        assert list(items) == [place * place for place in range(50)]


def test_an_error_in_the_thread_reaches_the_loop() -> None:
    def make(place: int) -> int:
        if place == 3:
            raise OSError("the disk went away")
        return place

    with Prefetch(make, range(10)) as items:
        iterator = iter(items)
        assert [next(iterator) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(OSError, match="disk went away"):
            next(iterator)


def test_even_an_end_of_iteration_in_the_thread_is_an_error() -> None:
    def make(place: int) -> int:
        raise StopIteration

    with Prefetch(make, range(10)) as items, pytest.raises(RuntimeError):
        list(items)


def test_closing_an_endless_one_ends_its_thread() -> None:
    before = threading.active_count()
    with Prefetch(lambda place: place, itertools.count()) as items:
        assert next(iter(items)) == 0
    assert threading.active_count() == before


def test_it_runs_only_a_little_ahead() -> None:
    made: list[int] = []
    with Prefetch(made.append, itertools.count(), ahead=2) as items:
        iterator = iter(items)
        for _ in range(5):
            next(iterator)
        assert len(made) <= 5 + 2 + 2
