"""Python is the command's peer: the same run by both, Ctrl-C in a notebook, a masking unit of one's own."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.made_text import write_text

import unmask
from unmask import files
from unmask.cli.main import main
from unmask.errors import RunError, SettingError

SMALL: dict[str, Any] = {
    "model": {"preset": "tiny", "hidden_size": 32},
    "training.row_length": 32,
    "training.batch_rows": 8,
    "training.threads": 1,
    "training.save_every": 10,
    "evaluation.documents": 20,
}
WORDS = [
    *("model.preset=tiny", "model.hidden_size=32", "training.row_length=32", "training.batch_rows=8"),
    *("training.threads=1", "training.save_every=10", "evaluation.documents=20"),
]


def every_occurrence(rows: unmask.Rows) -> npt.NDArray[np.int32]:
    return rows.input_ids


def weights(run: unmask.RunDirectory) -> str:
    return files.digest(run.path / "checkpoints" / "step-00000020" / "model.safetensors")


def stop_at(step: int) -> Callable[..., None]:
    """Return a progress function that presses Ctrl-C, once, when the training is at ``step``."""
    presses = iter([signal.SIGINT])

    def told(stage: str, done: int, _total: int | None = None, _words: str = "") -> None:
        if stage == "training" and done == step and (press := next(presses, None)):
            signal.raise_signal(press)

    return told


@pytest.fixture(scope="module")
def run(made_corpus: unmask.Corpus, tmp_path_factory: pytest.TempPathFactory) -> unmask.RunDirectory:
    out = tmp_path_factory.mktemp("python") / "run"
    return unmask.pretrain(made_corpus, out, settings=SMALL, budget="20steps", progress=False)


def test_python_and_the_command_make_the_same_run(
    run: unmask.RunDirectory, made_corpus: unmask.Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--corpus", str(made_corpus.directory), "--out", str(tmp_path / "run"), "--budget", "20steps", "--quiet"]
    assert main(["pretrain", *words, *WORDS]) == 0
    other = unmask.RunDirectory(tmp_path / "run")
    assert (run.settings, weights(run)) == (other.settings, weights(other))
    assert run.evaluation["mlm"] == other.evaluation["mlm"]
    assert "step 20 of 20" in repr(run)


def test_a_run_is_measured_and_used_by_its_object_or_its_path(run: unmask.RunDirectory) -> None:
    found = unmask.evaluate(run, documents=20)
    assert found["mlm"] == run.evaluation["mlm"] == unmask.evaluate(str(run.path), documents=20)["mlm"]
    assert unmask.evaluate(run, split="test")["frozen"] != found["frozen"]
    model = unmask.load(run)
    assert isinstance(model, unmask.Predictor)
    assert model.embed(["The small array."]).shape == (1, 32)


def test_a_corpus_is_built_from_one_path_several_or_a_mixture(tmp_path: Path) -> None:
    one, other = (write_text(tmp_path / f"{name}.txt", 80, seed) for seed, name in enumerate(("one", "other")))
    settings = {"corpus": {"validation": 0.1, "test": 0.1, "near_duplicates": 1}, "tokenizer.vocab_size": 200}
    stages: list[str] = []

    def told(stage: str, _done: int, _total: int | None = None) -> None:
        stages.append(stage)

    alone = unmask.build_corpus(one, tmp_path / "a", settings=settings, progress=told)
    assert (alone.manifest.documents["read"], stages[-1]) == (80, "tokens")
    both = unmask.build_corpus([one, str(other)], tmp_path / "b", settings=settings, progress=False)
    assert [source["name"] for source in both.manifest.sources] == ["one", "other"]
    mixed = unmask.build_corpus(
        {str(one): 0.9, str(other): 0.1}, tmp_path / "c", settings=["tokenizer.vocab_size=200"], progress=False
    )
    assert [source["weight"] for source in mixed.manifest.sources] == [0.9, 0.1]
    assert unmask.open_corpus(tmp_path / "b").fingerprint == both.fingerprint


def test_ctrl_c_saves_raises_stopped_and_leaves_the_handlers_as_they_were(
    run: unmask.RunDirectory, made_corpus: unmask.Corpus, tmp_path: Path
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    out = tmp_path / "run"
    with pytest.raises(unmask.Stopped, match=r"^stopped at step 6; go on with: unmask pretrain --resume") as stopped:
        unmask.pretrain(made_corpus, out, settings=SMALL, budget="20steps", progress=stop_at(6))
    assert stopped.value._render_traceback_() == [f"Stopped: {stopped.value}"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    halted = unmask.RunDirectory(out)
    assert (halted.state["status"], halted.state["step"]) == ("stopped", 6)
    with pytest.raises(RunError, match="has no evaluation yet"):
        _ = halted.evaluation
    assert weights(unmask.pretrain(resume=halted, progress=False)) == weights(run)


def test_a_unit_of_ones_own_hides_together_what_it_numbers_alike(
    run: unmask.RunDirectory, made_corpus: unmask.Corpus, tmp_path: Path
) -> None:
    def offsets(rows: unmask.Rows) -> npt.NDArray[np.int32]:
        return rows.offset

    def train(name: str, unit: Any) -> unmask.RunDirectory:
        return unmask.pretrain(
            made_corpus, tmp_path / name, settings=SMALL, budget="20steps", masking_unit=unit, progress=False
        )

    same, other = train("same", offsets), train("other", every_occurrence)
    assert weights(same) == weights(run)
    assert weights(other) != weights(run)
    assert (other.state["masking_unit"], other.settings["masking"]["unit"]) == ("every_occurrence", "function")
    assert run.state["masking_unit"] is None


def test_a_run_with_a_unit_of_ones_own_is_resumed_with_it_alone(made_corpus: unmask.Corpus, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(unmask.Stopped):
        unmask.pretrain(
            made_corpus,
            out,
            settings=SMALL,
            budget="20steps",
            masking_unit=every_occurrence,
            progress=stop_at(3),
        )
    for unit, got in ((None, "None"), (len, "len")):
        with pytest.raises(RunError, match=f"was started with masking_unit=every_occurrence, got {got}; "):
            unmask.pretrain(resume=out, masking_unit=unit, progress=False)  # type: ignore[arg-type]
    assert unmask.RunDirectory(out).state["attempt"] == 1
    run = unmask.pretrain(resume=out, masking_unit=every_occurrence, progress=False)
    assert (run.state["status"], run.state["attempt"]) == ("finished", 2)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (lambda rows: rows.offset[:, :3], "must return whole numbers of the shape .*, got int32 of the shape"),
        (lambda rows: rows.offset / 2, "got float64 of the shape"),
    ],
)
def test_a_unit_with_a_wrong_answer_is_refused(
    answer: Any, line: str, made_corpus: unmask.Corpus, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=line):
        unmask.pretrain(
            made_corpus, tmp_path / "run", settings=SMALL, budget="2steps", masking_unit=answer, progress=False
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda c, p: unmask.pretrain(c), "give --corpus DIR"),
        (lambda c, p: unmask.pretrain(c, p, settings={"model.hiden_size": 3}), "did you mean 'hidden_size'"),
        (lambda c, p: unmask.pretrain(c, p, settings={"masking.unit": "function"}), "pass masking_unit="),
        (lambda c, p: unmask.pretrain(c, p, budget="soon"), "budget must be a number above 0"),
        (lambda c, p: unmask.pretrain(c, p, recipe=p / "r.yaml"), "there is no such recipe"),
        (lambda c, p: unmask.pretrain(c, resume=p, init=p), "has its own corpus, init; leave that out"),
        (lambda c, p: unmask.pretrain(resume=p), "holds no run"),
        (lambda c, p: unmask.build_corpus(p / "no", p / "out"), "no"),
        (lambda c, p: unmask.evaluate(p), "is not a model"),
        (lambda c, p: unmask.load(p / "no"), "there is no such model"),
    ],
)
def test_a_mistake_is_a_user_error_of_one_line(
    call: Callable[[unmask.Corpus, Path], object], line: str, made_corpus: unmask.Corpus, tmp_path: Path
) -> None:
    with pytest.raises(unmask.UserError, match=line) as raised:
        call(made_corpus, tmp_path)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
