"""The verdict in built worlds whose answer is known; all of them, at their full number of seeds, is a benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.worlds import WORLDS, answer


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_the_verdict_is_right_where_the_answer_is_known(name: str, tmp_path: Path) -> None:
    found = answer(WORLDS[name], tmp_path / name, seed=100)
    assert found["is_right"], found["title"]
