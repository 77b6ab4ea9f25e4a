"""Every program in examples/ runs as it stands, on a little text and a tiny budget."""

from __future__ import annotations

import runpy
import sys
import tempfile
from collections.abc import Mapping
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


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").mkdir()
    write_text(tmp_path / "text" / "made.txt", 250)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [name, str(tmp_path / "text"), "5steps"])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    said = capsys.readouterr().out
    assert [words for words in SAYS[name] if words not in said] == []
