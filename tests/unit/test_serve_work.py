"""What a worker makes of a network that fails, with a network that the test plays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unmask.inference.asks import Mean
from unmask.serve import work
from unmask.serve.work import Failed

THREE = [Mean(np.zeros(length, np.int32)) for length in (3, 4, 5)]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Sequence[Any]], Any]], Any]:
    """Return what makes a worker's way to answer of a function of windows that stands for the network."""

    def made(states: Callable[[Sequence[Any]], Any]) -> Any:
        monkeypatch.setattr(work, "resolve", lambda _: SimpleNamespace(vocabulary=SimpleNamespace(ordinary_ids=None)))
        monkeypatch.setattr(work, "engine_of", lambda *_: SimpleNamespace(states=states))
        return work._network("m", "torch", 1)

    return made


def ones(windows: Sequence[Any]) -> list[Any]:
    return [np.full((1, 2), len(window), np.float32) for window in windows]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_batch_for_which_there_is_no_memory_is_answered_one_by_one(error: Exception, answered: Any) -> None:
    def states(windows: Sequence[Any]) -> Any:
        if len(windows) > 1:
            raise error
        return ones(windows)

    assert [one.tolist() for one in answered(states)(THREE)] == [[3, 3], [4, 4], [5, 5]]


def test_who_has_no_memory_for_one_text_makes_room_for_another_process(answered: Any) -> None:
    def states(_: Sequence[Any]) -> Any:
        raise MemoryError

    with pytest.raises(SystemExit, match="no memory is left"):
        answered(states)(THREE)


def test_any_other_failure_is_told_and_numbers_that_are_none_are_that_texts_alone(answered: Any) -> None:
    def fails(_: Sequence[Any]) -> Any:
        raise ValueError("no")

    assert answered(fails)(THREE) == [Failed("ValueError: no")] * 3

    def poisoned(windows: Sequence[Any]) -> Any:
        return [one * (np.nan if len(window) == 4 else 1) for one, window in zip(ones(windows), windows, strict=True)]

    assert [isinstance(one, Failed) for one in answered(poisoned)(THREE)] == [False, True, False]
