"""Every program in examples/ runs as it stands, on a little text and a tiny budget."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.made_text import write_text

EXAMPLES = Path(__file__).parents[2] / "examples"
SAYS: Mapping[str, list[str]] = {
    "pretrain_on_a_folder.py": ["refused: nothing", "cross entropy at [MASK]: ", "report: "],
    "continue_a_run.py": ["stopped at step ", "attempts: 2, steps: 8", "equal to the bit: True"],
    "own_masking_unit.py": ["token: ", "every_occurrence: ", "four_in_a_row: "],
    "embed_and_search.py": ["texts, vectors (", "What happens when a run is stopped?"],
}


def test_every_example_is_named_here_and_in_its_readme() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == SAYS.keys()
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in names if f"]({name})" not in readme] == []


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    write_text(folder / "made.txt", 250)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), str(folder), "8steps"],
        env={**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [words for words in SAYS[name] if words not in done.stdout] == []
    assert "Traceback" not in done.stderr
