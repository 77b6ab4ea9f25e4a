"""Every program in examples/ runs as it stands, on a little text and a tiny budget."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.made_text import write_text

EXAMPLES = Path(__file__).parents[2] / "examples"
SAYS: Mapping[str, list[str]] = {
    "pretrain_on_a_folder.py": ["refused: nothing", "cross entropy at [MASK]: ", "report: "],
    "continue_a_run.py": ["stopped at step ", "attempts: 2, steps: 5", "equal to the bit: True"],
    "own_masking_unit.py": ["token: ", "every_occurrence: ", "four_in_a_row: "],
    "embed_and_search.py": ["texts, vectors (", "What happens when a run is stopped?"],
}


def test_every_example_is_named_here_and_in_its_readme() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == SAYS.keys()
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in names if f"]({name})" not in readme] == []


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, subprocess.Popen[str]]]:
    """Start all of them at once: each spends most of its time on imports."""
    folder = tmp_path_factory.mktemp("examples")
    text = folder / "text"
    text.mkdir()
    write_text(text / "made.txt", 250)
    started = {
        name: subprocess.Popen(
            [sys.executable, "-W", "error", str(EXAMPLES / name), str(text), "5steps"],
            env={**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in SAYS
    }
    yield started
    for program in started.values():
        program.kill()
        program.communicate()


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs(name: str, programs: Mapping[str, subprocess.Popen[str]]) -> None:
    said, complaints = programs[name].communicate(timeout=200)
    assert programs[name].returncode == 0, complaints
    assert [words for words in SAYS[name] if words not in said] == []
    assert "Traceback" not in complaints
