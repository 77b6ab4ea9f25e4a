"""Odd but honest circumstances: little text, moved folders, a clock that goes back, no home, no rights, no reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest
from tests.made_text import sentences, write_text
from tests.reliability.hostile import ask, inventory, new_run

from unmask import files, runs
from unmask.cli.main import main
from unmask.corpus.build import CorpusSettings, Source, cached_corpus
from unmask.corpus.directory import Corpus
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.runs import RunDirectory

UNMASK = [sys.executable, "-m", "unmask"]


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in ``folder``; $UNMASK is the command."""
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source, "UNMASK": " ".join(UNMASK)}
    environment.pop("PYTHONUNBUFFERED", None)  # buffers are where it bites
    words = ["bash", "-c", line]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_corpus_smaller_than_a_batch_trains_and_its_rows_come_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write_text(tmp_path / "text.txt", 12)
    words = ["corpus.validation=0.2", "corpus.test=0.2", "corpus.near_duplicates=1", "tokenizer.vocab_size=100"]
    assert main(["corpus", "build", str(text), "--out", str(tmp_path / "corpus"), *words, "--quiet"]) == 0
    out = tmp_path / "run"
    answer = ask(capsys, *new_run(tmp_path / "corpus", out, "training.batch_rows=64"), "--quiet")
    assert (answer.code, answer.err) == (0, "")
    state = RunDirectory(out).state
    assert state["rows_consumed"] == 128 > 2 * state["num_rows"]


def test_a_validation_split_too_small_to_measure_on_is_said_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join("abcdefghijklmnopqrstuvwxyz"))
    words = ["corpus.validation=0.2", "corpus.test=0.2", "corpus.near_duplicates=1", "tokenizer.vocab_size=64"]
    assert main(["corpus", "build", str(text), "--out", str(tmp_path / "corpus"), *words, "--quiet"]) == 0
    answer = ask(capsys, *new_run(tmp_path / "corpus", tmp_path / "run", "evaluation.documents=1"), "--quiet")
    assert answer.code == 2
    assert f"{tmp_path / 'corpus'}: validation is too small to measure on (" in answer.err
    assert answer.err.endswith("measure more documents, or build it with more text or a larger corpus.validation\n")
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_moved_is_used_and_gone_on_with(
    made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*new_run(made_corpus.directory, tmp_path / "run"), "--quiet"]) == 0
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    (tmp_path / "run").rename(moved)
    assert ask(capsys, "evaluate", moved, "--quiet").code == 0
    assert ask(capsys, "fill", moved, "[MASK]", "--quiet").code == 0
    RunDirectory(moved).update(status="running")
    assert ask(capsys, "pretrain", "--resume", moved, "--quiet").code == 0
    assert RunDirectory(moved).state["status"] == "finished"


def test_a_clock_that_goes_back_changes_nothing_but_the_date(
    made_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Back(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(1999, 1, 1, tzinfo=UTC)

    ticks = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: next(ticks))
    monkeypatch.setattr(runs, "datetime", Back)
    out = tmp_path / "run"
    assert main([*new_run(made_corpus.directory, out, steps=6), "--quiet"]) == 0
    run = RunDirectory(out)
    assert run.state["created"].startswith("1999-01-01")
    seconds = [line["seconds"] for line in run.metrics()]
    assert seconds == sorted(seconds)
    assert all(line["tokens_per_second"] > 0 for line in run.metrics() if line["kind"] == "train")


def test_a_folder_that_can_not_be_written_to_is_named_before_the_work(
    made_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system is asked: it knows of rights, read-only disks and immutable folders alike, for root too."""
    closed = tmp_path / "closed"
    closed.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    text = write_text(tmp_path / "text.txt", 30)
    before = inventory(tmp_path)
    for words in (
        ["corpus", "build", text, "--out", closed / "a" / "corpus"],
        new_run(made_corpus.directory, closed / "run"),
    ):
        answer = ask(capsys, *words, "--quiet")
        assert answer.code == 2
        assert answer.err.startswith(f"unmask: {closed}/")
        assert answer.err.endswith(f": the folder {closed} can not be written to; choose another one\n")
    assert inventory(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_read_only_disk_is_named_for_root_too(tmp_path: Path) -> None:
    write_text(tmp_path / "text.txt", 30)
    (tmp_path / "disk").mkdir()
    line = "mount -t tmpfs -o ro none disk && $UNMASK corpus build text.txt --out disk/corpus --quiet"
    done = shell(f"unshare -m bash -c '{line}'", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "unmask: disk/corpus: the folder disk can not be written to; choose another one\n"


@pytest.mark.parametrize("home", ["nowhere/deeper", "text.txt"])
def test_a_cache_that_can_not_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: str
) -> None:
    text = write_text(tmp_path / "text.txt", 30)
    (tmp_path / "nowhere").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / home))
    answer = ask(capsys, *new_run(text, tmp_path / "run"), "--quiet")
    assert answer.code == 2
    assert answer.err.startswith(f"unmask: {tmp_path / home}/unmask/")
    assert "is a file, not a folder" in answer.err
    assert answer.err.count("\n") == 1


def test_no_home_at_all_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    answer = ask(capsys, *new_run(write_text(tmp_path / "text.txt", 30), tmp_path / "run"), "--quiet")
    line = "unmask: there is no home folder to keep a cache in; set XDG_CACHE_HOME to a folder\n"
    assert (answer.code, answer.err) == (2, line)


def test_a_reader_who_leaves_is_no_error(made_corpus: Corpus, tmp_path: Path) -> None:
    show = f"$UNMASK corpus show {made_corpus.directory}"
    for line in (f"{show} | true", f"{show} --json | true", f"{show} 2>&1 | head -1"):
        done = shell(f"{line}; exit ${{PIPESTATUS[0]}}", tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), line


def test_a_reader_of_progress_who_leaves_does_not_stop_the_work(tmp_path: Path) -> None:
    write_text(tmp_path / "text.txt", 60)
    done = shell("$UNMASK corpus build text.txt --out corpus --json 2> >(true) > result", tmp_path)
    assert done.returncode == 0
    assert json.loads((tmp_path / "result").read_text()) == json.loads((tmp_path / "corpus/manifest.json").read_text())


@pytest.mark.parametrize("words", ["corpus show {corpus}", "corpus show {corpus} --json", "--version"])
def test_results_that_find_no_room_are_an_error(made_corpus: Corpus, tmp_path: Path, words: str) -> None:
    done = shell(f"$UNMASK {words.format(corpus=made_corpus.directory)} > /dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "unmask: standard output: can not be written (No space left on device)\n"


def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    final = tmp_path / "corpus"
    dead, other, living = (
        tmp_path / f".{name}.aside" for name in ("corpus.999999999", "corpora.999999999", "corpus.1")
    )
    for folder in (dead, other, living):
        folder.mkdir()
        (folder / "half").write_text("half")
    handle = subprocess.Popen(["flock", str(living), "sleep", "60"])
    try:
        while subprocess.run(["flock", "-n", str(living), "true"], check=False).returncode == 0:
            time.sleep(0.01)
        with files.working_folder(final) as aside:
            assert aside.is_dir()
            assert (dead.exists(), other.exists(), living.exists()) == (False, True, True)
    finally:
        handle.kill()
        handle.wait()
    assert not aside.exists()


def test_two_builds_of_one_cached_corpus_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = Source("text", str(write_text(tmp_path / "text.txt", 60)))
    begun, second_waits = Event(), Event()
    told: list[str] = []

    def first(stage: str, done: int, total: int | None) -> None:
        begun.set()
        assert second_waits.wait(20)

    def second(stage: str, done: int, total: int | None) -> None:
        told.append(stage)
        second_waits.set()

    with ThreadPoolExecutor(1) as other:
        building = other.submit(cached_corpus, [source], CorpusSettings(), TokenizerSettings(vocab_size=99), first)
        assert begun.wait(20)
        found = cached_corpus([source], CorpusSettings(), TokenizerSettings(vocab_size=99), second)
        assert found.directory == building.result().directory
    assert told == ["waiting"]


@pytest.mark.parametrize("word", ["training.batch_rows=999999999999999", "model.hidden_size=10000000"])
def test_what_the_memory_does_not_hold_is_one_line(
    made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    answer = ask(capsys, *new_run(made_corpus.directory, tmp_path / "run", word), "--quiet")
    assert answer.code == 2
    assert answer.err == (
        "unmask: the memory is not enough; lower training.batch_rows or training.row_length, or take a smaller model\n"
    )


@pytest.mark.slow
def test_a_line_of_50_megabytes_is_read_in_bounded_memory(tmp_path: Path) -> None:
    line = "".join(sentences(2000)).replace(" ", "")
    with (tmp_path / "line.txt").open("w") as file:
        while file.tell() < 50_000_000:
            file.write(line)
    code = (
        "import resource, sys; from unmask.cli.main import main; code = main(sys.argv[1:])\n"
        "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)"
    )
    words = ["corpus", "build", "line.txt", "--out", "corpus", "--quiet", "--json", "tokenizer.vocab_size=500"]
    words += ["corpus.near_duplicates=1", "corpus.validation=0.2", "corpus.test=0.2"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, timeout=280, check=True
    )
    status, peak = done.stdout.splitlines()[-1].split()
    assert (status, done.stderr) == ("0", "")
    assert int(peak) < 1500
