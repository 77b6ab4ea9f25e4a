"""The run directory: what a kill leaves behind, what damage looks like, who may write."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from unmask.errors import RunError
from unmask.runs import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(
        tmp_path / "run",
        kind="pretrain",
        settings={"a": {"b": 1}},
        environment={"torch": "2"},
        copies={"x.json": b"{}"},
    )


def save(run: RunDirectory, step: int) -> Path:
    with run.new_checkpoint(step, {"tokens": step * 10}) as folder:
        (folder / "model.safetensors").write_bytes(bytes(range(256)) * step)
        (folder / "optimizer.safetensors").write_bytes(b"moments" * step)
    return run.checkpoints()[-1]


def test_a_new_run_reads_back(run: RunDirectory) -> None:
    again = RunDirectory(run.path)
    assert again.settings == {"a": {"b": 1}}
    assert (again.state["status"], again.state["attempt"], again.state["step"]) == ("running", 1, 0)
    assert again.read("environment.json") == {"torch": "2"}
    assert again.read("evaluation.json") is None
    again.update(status="stopped")
    assert run.state["status"] == "stopped"
    assert [path.name for path in run.path.parent.iterdir()] == ["run"]


def test_what_stands_in_the_way_is_left_alone(run: RunDirectory, tmp_path: Path) -> None:
    def create(path: Path) -> None:
        RunDirectory.create(path, kind="pretrain", settings={}, environment={}, copies={})

    with pytest.raises(RunError, match=f"holds a run already; go on with it by --resume {run.path}"):
        create(run.path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep me")
    with pytest.raises(RunError, match="is in the way"):
        create(tmp_path / "notes")
    assert (tmp_path / "notes" / "mine.txt").read_text() == "keep me"
    (tmp_path / "empty").mkdir()
    create(tmp_path / "empty")


def test_what_is_no_run_is_said_in_a_line(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        RunDirectory(tmp_path)
    (run.path / "run.json").write_text('{"format": "unmask-run", "version": 9}')
    with pytest.raises(RunError, match=r"is not of unmask-run 1"):
        RunDirectory(run.path)
    (run.path / "run.json").write_text('{"format": "unm')
    with pytest.raises(RunError, match="is damaged"):
        RunDirectory(run.path)


def test_metrics_forget_what_a_resume_took_back_and_lines_that_were_cut(run: RunDirectory) -> None:
    for step in (10, 20, 30):
        run.record({"attempt": 1, "step": step, "kind": "train"})
    with (run.path / "metrics.jsonl").open("a") as stream:
        stream.write('{"attempt": 1, "step": 40, "ki')
    run.record({"attempt": 2, "step": 20, "kind": "resumed"})
    run.record({"attempt": 2, "step": 30, "kind": "train"})
    found = [(line["attempt"], line["step"], line["kind"]) for line in run.metrics()]
    assert found == [(1, 10, "train"), (1, 20, "train"), (2, 20, "resumed"), (2, 30, "train")]
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 6


def test_the_last_good_checkpoint_is_found_behind_damaged_ones(run: RunDirectory) -> None:
    assert run.last_good_checkpoint() == (None, [])
    paths = [save(run, step) for step in (2, 4, 6)]
    (paths[2] / "model.safetensors").write_bytes((paths[2] / "model.safetensors").read_bytes()[:-1])
    (paths[1] / "optimizer.safetensors").unlink()
    checkpoint, damaged = run.last_good_checkpoint()
    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.state["tokens"]) == (2, 20)
    assert damaged == [
        f"{paths[2] / 'model.safetensors'}: is damaged (its checksum does not hold); passed over",
        f"{paths[1] / 'optimizer.safetensors'}: is missing; passed over",
    ]
    assert save(run, 6) == paths[2]  # the damaged one makes room
    assert run.last_good_checkpoint()[0] is not None
    assert run.last_good_checkpoint()[1] == []


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_noticed(run: RunDirectory) -> None:
    """200 random bits over all files of a checkpoint, its state included."""
    path, chance = save(run, 3), random.Random(0)
    files = sorted(path.iterdir())
    for _ in range(200):
        file = chance.choice(files)
        good = file.read_bytes()
        flipped = bytearray(good)
        flipped[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        file.write_bytes(flipped)
        assert run.last_good_checkpoint()[0] is None, file
        file.write_bytes(good)
    assert run.last_good_checkpoint()[0] is not None


def test_a_checkpoint_that_failed_leaves_nothing(run: RunDirectory) -> None:
    def fail() -> None:
        with run.new_checkpoint(5, {}) as folder:
            (folder / "model.safetensors").write_bytes(b"half")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        fail()
    assert list((run.path / "checkpoints").iterdir()) == []


def test_only_the_newest_checkpoints_are_kept(run: RunDirectory) -> None:
    for step in (1, 2, 3, 10):
        save(run, step)
    run.keep_checkpoints(2, 10)
    assert [path.name for path in run.checkpoints()] == ["step-00000003", "step-00000010"]


@pytest.mark.parametrize("keep", [1, 2])
def test_what_a_resume_saves_is_kept_and_what_it_passed_over_goes(run: RunDirectory, keep: int) -> None:
    for step in (100, 200):
        (save(run, step) / "model.safetensors").write_bytes(b"damaged")
    save(run, 10)
    run.keep_checkpoints(keep, 10)
    checkpoint, damaged = run.last_good_checkpoint()
    assert checkpoint is not None
    assert (checkpoint.step, damaged) == (10, [])


def test_two_processes_do_not_write_one_run(run: RunDirectory) -> None:
    code = (
        "import sys; from pathlib import Path; from unmask.runs import RunDirectory\n"
        "from unmask.errors import RunError\n"
        "try:\n"
        "    with RunDirectory(Path(sys.argv[1])).exclusive(): print('free')\n"
        "except RunError as error: print(error)\n"
    )

    def other() -> str:
        words = [sys.executable, "-c", code, str(run.path)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    with run.exclusive():
        assert "another process is writing this run" in other()
    assert other() == "free\n"
