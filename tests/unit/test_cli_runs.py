"""``unmask runs``: lists, shows and compares what is on disk, and loads no torch for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_side_by_side import figure

from unmask import files
from unmask.cli.main import main
from unmask.runs import RunDirectory


def make_run(path: Path, masked: float | None = None, fingerprint: str = "one", **state: Any) -> RunDirectory:
    """Write a run of 20 steps; with ``masked`` one that was evaluated."""
    known = {"max_steps": 20, "tokens": 12345, "seconds": 61.0, "corpus": {"path": "c", "fingerprint": "f"}}
    run = RunDirectory.create(
        path,
        kind="pretrain",
        settings={"optimizer": {"learning_rate": masked}, "training": {"seed": 0}},
        environment={"threads": 2},
        copies={},
        **known,
        model={"preset": "tiny", "parameters": 1234},
    )
    run.update(**state)
    for step in range(0, 20, 2):
        losses = dict.fromkeys(("masked", "random", "kept"), 9.0 - step / 10)
        run.record({"kind": "evaluation", "step": step, "tokens": 100 * step, "seconds": 1.0 * step, **losses})
    if masked is not None:
        of = {name: figure(masked) for name in ("masked", "random", "kept", "all")}
        unigram = dict.fromkeys(of, figure(6.5))
        mlm = {
            "cross_entropy": of,
            "unigram": unigram,
            "gap": figure(6.5 - masked),
            "accuracy": {"masked": {"1": figure(0.3), "5": figure(0.5)}},
            "bits_per_character": figure(masked / 2),
        }
        files.write_json(path / "evaluation.json", {"frozen": {"fingerprint": fingerprint}, "mlm": mlm})
        run.update(status="finished", step=20)
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_run(tmp_path / "a", 4.0)
    make_run(tmp_path / "b", 5.0)
    make_run(tmp_path / "half", status="stopped", step=6)
    (tmp_path / "notes").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_text('{"format": "theirs"}')
    return tmp_path


def found(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Run a command and return the object it prints."""
    assert main(["runs", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_list_names_what_it_can_not_read_and_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = found(capsys, "list", str(folder))
    assert [(run["run"], run["status"], run["step"]) for run in listed["runs"]] == [
        ("a", "finished", 20),
        ("b", "finished", 20),
        ("half", "stopped", 6),
    ]
    assert [run["masked"] and run["masked"]["value"] for run in listed["runs"]] == [4.0, 5.0, None]
    assert [broken["run"] for broken in listed["damaged"]] == ["foreign"]
    assert listed["others"] == ["notes"]
    assert main(["runs", "list", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert "4.000" in out
    assert "[MASK] nats" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "foreign/run.json: is not of unmask-run 1" in err
    assert f"Next: unmask pretrain --resume {folder / 'half'}" in err


def test_list_puts_no_nats_of_two_frozen_sets_side_by_side(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(folder / "c", 3.0, fingerprint="two")
    assert main(["runs", "list", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert "[MASK] bits/char" in out
    assert "1.500" in out
    assert "3.000" not in out
    assert "different frozen sets" in err


def test_a_run_that_nobody_writes_was_killed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(folder / "r")
    assert found(capsys, "show", str(run.path))["status"] == "killed"
    with run.exclusive():
        assert found(capsys, "show", str(run.path))["status"] == "running"


def test_show_says_what_there_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "show", str(folder / "a")]) == 0
    out, err = capsys.readouterr()
    for part in ("pretrain, finished", "20 of 20", "12,345 tokens in 1 min 1 s", "4.000 [3.900, 4.100]", "set one"):
        assert part in out
    assert out.count("  9.000 ") <= 2  # the first evaluation on the way, once
    assert "report.html" in err
    assert main(["runs", "show", str(folder / "half")]) == 0
    out, err = capsys.readouterr()
    assert "6 of 20" in out
    assert "--resume" in err


def test_compare_keeps_to_one_frozen_set_and_lists_what_differs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compared = found(capsys, "compare", str(folder / "a"), str(folder / "b"))
    assert (compared["fingerprint"], compared["unit"]) == ("one", "nats per token")
    assert [run["gap"]["value"] for run in compared["runs"]] == [2.5, 1.5]
    assert compared["differences"] == {"optimizer.learning_rate": [4.0, 5.0]}
    make_run(folder / "c", 3.0, fingerprint="two")
    page = folder / "page.html"
    assert main(["runs", "compare", *(str(folder / name) for name in "abc"), "--report", str(page)]) == 0
    out, _ = capsys.readouterr()
    assert "[MASK], bits per character" in out
    assert "2.000 [1.900, 2.100]" in out
    assert "4.000" not in out
    assert "3 runs compared" in page.read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["list", "{}/nothere"], "nothere: is not a folder"),
        (["list", "{}/a"], "a: is a run itself; see unmask runs show"),
        (["show", "{}/notes"], "holds no run"),
        (["compare", "{}/a"], "give two different runs or more"),
        (["compare", "{}/a", "{}/a"], "give two different runs or more"),
        (["compare", "{}/a", "{}/half"], "has no evaluation.json yet (stopped, step 6 of 20)"),
        (["compare", "{}/a", "{}/b", "--report", "{}/a/run.json/x.html"], "x.html"),
    ],
)
def test_a_mistake_gets_one_line(folder: Path, words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", *(word.format(folder) for word in words)]) == 2
    out, err = capsys.readouterr()
    assert line in err
    assert err.count("\n") == 1
    assert not out


def test_an_evaluation_without_a_figure_is_left_out_of_a_comparison(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write_json(folder / "b" / "evaluation.json", {"frozen": {"fingerprint": "one"}, "mlm": {}})
    assert main(["runs", "compare", str(folder / "a"), str(folder / "b")]) == 2
    assert "b/evaluation.json: holds no figure at [MASK]" in capsys.readouterr().err
    assert main(["runs", "list", str(folder)]) == 0


def test_looking_at_runs_loads_no_torch(folder: Path) -> None:
    code = f"import sys\nfrom unmask.cli.main import main\nmain(['runs', 'list', {str(folder)!r}])\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "torch" not in done.stdout.split()
