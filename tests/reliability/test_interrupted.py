"""Ctrl-C and SIGTERM at every stage: the exit code says whether there is something to go on with, and there is."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.made_text import write_text
from tests.reliability.hostile import ask, inventory, new_run

from unmask.cli import measure, planning
from unmask.corpus import stages
from unmask.corpus.directory import Corpus
from unmask.runs import RunDirectory
from unmask.training import loop

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def _handlers_are_put_back() -> Any:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.fixture
def strike(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that has the process struck by signals when ``name`` of ``module`` is called the n-th time."""

    def arrange(module: ModuleType, name: str, *numbers: signal.Signals, call: int = 1) -> None:
        original, calls = getattr(module, name), iter(range(1, 1000))

        def struck(*words: Any, **named: Any) -> Any:
            if next(calls) == call:
                for number in numbers:
                    signal.raise_signal(number)
            return original(*words, **named)

        monkeypatch.setattr(module, name, struck)

    return arrange


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(("name", "call"), [("normalise", 7), ("split_of", 1), ("train_tokenizer", 1), ("digest", 1)])
def test_a_build_that_is_ended_leaves_nothing(
    tmp_path: Path, strike: Callable[..., None], capsys: pytest.CaptureFixture[str],
    name: str, call: int, number: signal.Signals,
) -> None:  # fmt: skip
    text = write_text(tmp_path / "text.txt", 60)
    before = inventory(tmp_path)
    strike(stages, name, number, call=call)
    answer = ask(capsys, "corpus", "build", text, "--out", tmp_path / "corpus", "tokenizer.vocab_size=99", "--quiet")
    assert (answer.code, answer.out, answer.err.strip()) == (130, "", "")
    assert inventory(tmp_path) == before


def test_a_run_that_is_ended_before_it_began_leaves_nothing(
    made_corpus: Corpus, tmp_path: Path, strike: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    strike(planning, "steps_for", signal.SIGINT)
    answer = ask(capsys, *new_run(made_corpus.directory, tmp_path / "run"), "--quiet")
    assert (answer.code, answer.out, answer.err.strip()) == (130, "", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "name", "call", "step", "number"),
    [
        pytest.param(loop, "train_step", 3, 3, signal.SIGINT, id="training"),
        pytest.param(loop, "train_step", 3, 3, signal.SIGTERM, id="training-terminated"),
        pytest.param(measure, "score_frozen", 1, 6, signal.SIGINT, id="evaluation"),
        pytest.param(measure, "example_fills", 1, 6, signal.SIGTERM, id="examples"),
        pytest.param(measure, "render_run", 1, 6, signal.SIGINT, id="report"),
    ],
)
def test_a_run_that_is_ended_is_gone_on_with(
    made_corpus: Corpus, tmp_path: Path, strike: Callable[..., None], capsys: pytest.CaptureFixture[str],
    module: ModuleType, name: str, call: int, step: int, number: signal.Signals,
) -> None:  # fmt: skip
    strike(module, name, number, call=call)
    out = tmp_path / "run"
    answer = ask(capsys, *new_run(made_corpus.directory, out, steps=6), "--quiet")
    assert (answer.code, answer.out) == (75, "")
    assert answer.err == f"unmask: stopped at step {step}; go on with: unmask pretrain --resume {out}\n"
    state = RunDirectory(out).state
    assert (state["status"], state["step"]) == ("stopped", step)
    assert not list(tmp_path.rglob(".*.aside"))
    assert ask(capsys, "pretrain", "--resume", out, "--quiet").code == 0
    assert (RunDirectory(out).state["status"], RunDirectory(out).state["step"]) == ("finished", 6)


def test_a_rate_of_masking_that_falls_goes_on_where_it_was(
    made_corpus: Corpus, tmp_path: Path, strike: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    strike(loop, "train_step", signal.SIGINT, call=3)
    out = tmp_path / "run"
    assert ask(capsys, *new_run(made_corpus.directory, out, "masking.schedule=linear", steps=6), "--quiet").code == 75
    assert ask(capsys, "pretrain", "--resume", out, "--quiet").code == 0
    rates = [line["mlm_probability"] for line in RunDirectory(out).metrics() if line["kind"] == "train"]
    assert rates == pytest.approx([0.3 - 0.15 * (step + 0.5) / 6 for step in range(6)])


def test_a_second_ctrl_c_does_not_wait_for_a_checkpoint(
    made_corpus: Corpus, tmp_path: Path, strike: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    strike(loop, "train_step", signal.SIGINT, signal.SIGINT, call=2)
    out = tmp_path / "run"
    later = "training.save_every=5"
    assert ask(capsys, *new_run(made_corpus.directory, out, later, steps=6), "--quiet").code == 130
    assert not RunDirectory(out).checkpoints()
    assert ask(capsys, "pretrain", "--resume", out, "--quiet").code == 0
    assert RunDirectory(out).state["status"] == "finished"


def test_a_second_process_does_not_touch_a_run(
    made_corpus: Corpus, tmp_path: Path, strike: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    strike(loop, "train_step", signal.SIGINT, call=2)
    out = tmp_path / "run"
    assert ask(capsys, *new_run(made_corpus.directory, out, steps=6), "--quiet").code == 75
    with RunDirectory(out).exclusive():
        before = inventory(out)
        answer = ask(capsys, "pretrain", "--resume", out, "--quiet")
        assert answer.code == 2
        assert answer.err == f"unmask: {out}: another process is writing this run; wait for it or stop it\n"
        assert inventory(out) == before
