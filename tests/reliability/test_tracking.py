"""Listeners from outside: they are told what metrics.jsonl holds, and their trouble is theirs alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import unmask
from unmask.cli import pretrain as command
from unmask.cli.main import main
from unmask.corpus.directory import Corpus
from unmask.errors import MissingExtra, SettingError
from unmask.runs import RunDirectory
from unmask.training import tracking
from unmask.training.tracking import Track, numbers_of, told_beside, track_of

SETTINGS = {
    "model.preset": "tiny",
    "model.hidden_size": 16,
    "model.num_attention_heads": 1,
    "model.num_hidden_layers": 1,
    "training.row_length": 16,
    "training.batch_rows": 4,
    "training.threads": 1,
    "evaluation.documents": 20,
}
NOTHING = RunDirectory.__new__(RunDirectory)  # the fakes here never look at their run


class Fake:
    """Keeps what it is told; does something of its own at every line."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.lines: list[Mapping[str, Any]] = []
        self.status, self.threads, self._act = "", set[str](), act

    def line(self, line: Mapping[str, Any]) -> None:
        self.threads.add(threading.current_thread().name)
        self.lines.append(line)
        self._act()

    def end(self, status: str) -> None:
        self.status = status


def until(wake: threading.Event) -> None:
    """Sleep until woken, or until a test has long failed."""
    wake.wait(60)


def run_with(corpus: Corpus, out: Path, *fakes: Fake) -> tuple[RunDirectory, list[str], float]:
    """Return a run of 12 steps that told ``fakes``, what was said of them, and the seconds that training took."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "track_of", lambda name, _: Track(name, lambda _: fakes[int(name)], said.append))
        numbers = [str(number) for number in range(len(fakes))]
        run = unmask.pretrain(corpus.directory, out, settings=SETTINGS, budget="12steps", track=numbers, progress=False)
    return run, said, run.state["seconds"]


def weights(run: RunDirectory) -> bytes:
    return (run.checkpoints()[-1] / "model.safetensors").read_bytes()


def test_it_is_told_every_line_in_a_thread_of_its_own(made_corpus: Corpus, tmp_path: Path) -> None:
    fake = Fake()
    run, said, _ = run_with(made_corpus, tmp_path / "run", fake)
    assert fake.lines == run.metrics()
    assert fake.threads == {"0"}
    assert (fake.status, said) == ("finished", [])


def test_one_that_raises_and_one_that_sleeps_neither_stop_nor_slow_the_run(
    made_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "LAST_SECONDS", 0.2)
    wake = threading.Event()

    def fail() -> None:
        raise OSError("the disk is full\nand more that nobody needs")

    raises, sleeps, well = Fake(fail), Fake(lambda: until(wake)), Fake()
    alone, _, without = run_with(made_corpus, tmp_path / "alone")
    run, said, seconds = run_with(made_corpus, tmp_path / "run", raises, sleeps, well)
    assert weights(run) == weights(alone)
    assert seconds < without + 1.0  # the sleeper alone would have taken for ever
    assert (len(raises.lines), len(sleeps.lines)) == (1, 1)
    assert well.lines == run.metrics()
    count = len(run.metrics())
    assert said == [
        "0: OSError: the disk is full; it is told no more, and the run goes on",
        f"0: {count} of {count} lines did not get there; metrics.jsonl has them all",
        f"1: {count} of {count} lines did not get there; metrics.jsonl has them all",
    ]
    wake.set()


def test_what_does_not_fit_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "WAITING_LINES", 3)
    monkeypatch.setattr(tracking, "LAST_SECONDS", 0.1)
    wake, said = threading.Event(), list[str]()
    fake = Fake(lambda: until(wake))
    aside = tracking.Aside(Track("slow", lambda _: fake, said.append), NOTHING)
    aside({"kind": "train"})
    while not fake.lines:
        time.sleep(0.001)
    start = time.perf_counter()
    for _ in range(10):
        aside({"kind": "train"})
    assert time.perf_counter() - start < 0.5
    aside.end("finished")
    assert said == ["slow: 11 of 11 lines did not get there; metrics.jsonl has them all"]
    wake.set()
    while aside.took < 4:  # the one that it held, and the three that fitted
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(fake.lines) == 4


def test_one_that_can_not_even_be_opened_is_said_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []
    run = RunDirectory.create(tmp_path / "run", kind="pretrain", settings={}, environment={}, copies={})

    def refuse(_: RunDirectory) -> Fake:
        raise ConnectionError("nobody answers")

    with told_beside(run, [Track("far", refuse, said.append)]) as tell:
        time.sleep(0.05)
        tell({"kind": "train"})
        tell({"kind": "train"})
    assert said[0] == "far: ConnectionError: nobody answers; it is told no more, and the run goes on"
    assert said[1:] == ["far: 2 of 2 lines did not get there; metrics.jsonl has them all"]


def test_the_figures_of_a_line_have_names() -> None:
    line = {"attempt": 1, "step": 3, "kind": "evaluation", "masked": 4, "unigram": {"masked": 5.5}, "random": None}
    assert numbers_of(line) == {"evaluation/masked": 4.0, "evaluation/unigram/masked": 5.5}
    assert numbers_of({"step": 3, "kind": "resumed", "damaged": ["a file"]}) == {}


def test_tensorboard_shows_the_run_and_hides_what_was_done_again(made_corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["--corpus", str(made_corpus.directory), "--out", str(out), "--budget", "6steps", "--quiet"]
    words += [f"{name}={value}" for name, value in SETTINGS.items()]
    assert main(["pretrain", *words, "--track", "tensorboard"]) == 0
    again = ["--resume", str(out), "--budget", "+2steps", "--track", f"tensorboard:{out / 'tensorboard'}", "--quiet"]
    assert main(["pretrain", *again]) == 0
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    expected = [line for line in RunDirectory(out).metrics() if line["kind"] == "train"]
    shown = events.Scalars("train/loss")
    assert [event.step for event in shown] == [line["step"] for line in expected] == list(range(1, 9))
    assert [event.value for event in shown] == pytest.approx([line["loss"] for line in expected], rel=1e-6)
    assert "evaluation/unigram/masked" in events.Tags()["scalars"]


def test_mlflow_gets_settings_figures_and_the_end(
    made_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    where = (tmp_path / "store").as_uri()
    run = unmask.pretrain(
        made_corpus.directory, tmp_path / "run", settings=SETTINGS, budget="6steps", track=[f"mlflow:{where}"],
        progress=False,
    )  # fmt: skip
    client = mlflow.MlflowClient(tracking_uri=where)
    experiment = client.get_experiment_by_name("unmask")
    assert experiment is not None
    [found] = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params["training.batch_rows"] == "4"
    kept = client.get_metric_history(found.info.run_id, "train/loss")
    expected = [(line["step"], line["loss"]) for line in run.metrics() if line["kind"] == "train"]
    assert sorted((metric.step, metric.value) for metric in kept) == expected


def test_what_can_not_be_told_is_refused_before_the_run(made_corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"takes tensorboard\[:DIR\] or mlflow\[:URI\], got 'tensorbord'; did you"):
        unmask.pretrain(made_corpus.directory, tmp_path / "run", track=["tensorbord"], progress=False)
    assert not (tmp_path / "run").exists()


def test_a_listener_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(MissingExtra, match=r"needs mlflow, which is not installed: pip install 'unmask\[track\]'"):
        track_of("mlflow", lambda _: None)
