"""Runs that go on past their end: the same to the bit as a run that was planned so long, as far as it can be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.reliability.kill_points import DIED, in_a_child

import unmask
from unmask import files
from unmask.cli.main import main
from unmask.corpus.directory import Corpus
from unmask.errors import RunError, SettingError, UserError
from unmask.runs import RunDirectory

STEPS = 20
TINY = {
    "model.preset": "tiny",
    "model.hidden_size": 16,
    "model.num_attention_heads": 1,
    "model.num_hidden_layers": 1,
    "training.row_length": 16,
    "training.batch_rows": 4,
    "training.save_every": 7,
    "training.eval_every": 10,
    "training.threads": 1,
    "evaluation.documents": 20,
    "schedule.warmup": 0.2,
    "schedule.decay": 0.4,
}


def trained(corpus: Corpus, out: Path, steps: int = STEPS, **changes: object) -> RunDirectory:
    """Return a run of ``steps``, the rate of which rises for 4 of 20 and falls over the last 8."""
    settings = {**TINY, **{name.replace("__", "."): value for name, value in changes.items()}}
    return unmask.pretrain(corpus.directory, out, settings=settings, budget=f"{steps}steps", progress=False)


@pytest.fixture(scope="module")
def run(made_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return trained(made_corpus, tmp_path_factory.mktemp("longer") / "run")


@pytest.fixture
def copy(run: RunDirectory, tmp_path: Path) -> RunDirectory:
    """Return a run of one's own to go on with."""
    shutil.copytree(run.path, tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def weights(run: RunDirectory) -> bytes:
    return b"".join(
        (run.checkpoints()[-1] / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")
    )


def steps_of(run: RunDirectory) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in run.checkpoints()]


def rates(run: RunDirectory) -> list[float]:
    return [line["learning_rate"] for line in run.metrics() if line["kind"] == "train"]


def test_the_end_of_the_plateau_stays(run: RunDirectory) -> None:
    assert steps_of(run) == [12, 14, 20]
    assert rates(run)[4:12] == [1e-3] * 8
    assert rates(run)[12] < 1e-3


def test_a_run_made_longer_is_the_run_that_was_planned_so_long(
    made_corpus: Corpus, copy: RunDirectory, tmp_path: Path
) -> None:
    planned = trained(made_corpus, tmp_path / "planned", 30, schedule__warmup=4 / 30)
    longer = unmask.pretrain(resume=copy.path, budget="+10steps", progress=False)
    assert longer.path == copy.path
    assert weights(longer) == weights(planned)
    assert [line["step"] for line in longer.metrics() if line["kind"] == "train"] == list(range(1, 31))
    assert rates(longer) == pytest.approx(rates(planned), rel=1e-12)
    state = longer.state
    assert (state["status"], state["step"], state["max_steps"], state["attempt"]) == ("finished", 30, 30, 2)
    assert longer.evaluation["mlm"] == planned.evaluation["mlm"]
    assert steps_of(longer)[0] == 18  # its own plateau ends there: it can be made longer again


def test_a_longer_run_at_out_leaves_the_first_as_it_was(copy: RunDirectory, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in copy.path.rglob("*") if path.is_file()}
    beside = unmask.pretrain(resume=copy.path, budget="+10steps", out=tmp_path / "beside", progress=False)
    assert {path: path.read_bytes() for path in copy.path.rglob("*") if path.is_file()} == before
    assert beside.state["parent"]["path"] == str(copy.path.resolve())
    inside = unmask.pretrain(resume=copy.path, budget="+10steps", progress=False)
    assert weights(inside) == weights(beside)


def test_a_schedule_without_a_plateau_rises_anew(made_corpus: Corpus, tmp_path: Path) -> None:
    run = trained(made_corpus, tmp_path / "run", schedule__name="linear")
    assert steps_of(run) == [14, 20]
    longer = unmask.pretrain(resume=run.path, budget="+10steps", progress=False)
    assert (longer.state["max_steps"], longer.state["branched"]["step"]) == (30, 20)
    assert rates(longer)[20:22] == pytest.approx([0.25e-3, 0.75e-3])  # 2 of the 10 rise
    assert rates(longer)[-1] == pytest.approx(1e-3 * 0.5 / 8)


def test_a_decay_from_the_plateau_is_a_run_of_its_own(run: RunDirectory, tmp_path: Path) -> None:
    fallen = unmask.pretrain(resume=f"{run.path}@12", budget="+4steps", out=tmp_path / "fallen", progress=False)
    state = fallen.state
    assert (state["status"], state["max_steps"], state["parent"]["step"]) == ("finished", 16, 12)
    assert rates(fallen)[:12] == rates(run)[:12]
    assert rates(fallen)[12:] == pytest.approx([1e-3 * (1 - ((done - 0.5) / 4) ** 0.5) for done in range(1, 5)])
    again = unmask.pretrain(resume=fallen.path, budget="+14steps", progress=False)
    assert rates(again)[12:18] == [1e-3] * 6  # back on the plateau, which ends at 18 of 30


def test_a_longer_run_that_is_killed_anywhere_goes_on(run: RunDirectory, copy: RunDirectory, tmp_path: Path) -> None:
    """Killed before and after the name of the file that makes the run longer."""
    whole = unmask.pretrain(resume=run.path, budget="+10steps", out=tmp_path / "whole", progress=False)
    for number in (1, 2):  # all is on the disk; the file has its name
        shutil.rmtree(copy.path)
        shutil.copytree(run.path, copy.path)

        def die(point: str, path: Path, count: list[int] = [0], number: int = number) -> None:  # noqa: B006
            count[0] += 1
            if count[0] > number:
                os._exit(DIED)

        def go() -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(files, "reached", die)
                unmask.pretrain(resume=copy.path, budget="+10steps", progress=False)

        assert in_a_child(go) == DIED
        is_longer = RunDirectory(copy.path).state["max_steps"] == 30
        assert is_longer == (number == 2)
        longer = unmask.pretrain(resume=copy.path, budget=None if is_longer else "+10steps", progress=False)
        assert weights(longer) == weights(whole)


def test_an_average_is_the_mean_of_the_checkpoints_and_is_measured(run: RunDirectory, tmp_path: Path) -> None:
    out = tmp_path / "mean"
    assert main(["average", str(run.path), "--last", "2", "--out", str(out), "--quiet"]) == 0
    mean = RunDirectory(out)
    assert (mean.state["status"], mean.state["averaged"], mean.state["step"]) == ("finished", [14, 20], 20)
    parts = [load_file(path / "model.safetensors") for path in run.checkpoints()[-2:]]
    made = load_file(mean.checkpoints()[-1] / "model.safetensors")
    assert made.keys() == parts[0].keys()
    for name, tensor in made.items():
        assert np.array_equal(tensor, ((parts[0][name].astype(float) + parts[1][name]) / 2).astype(np.float32)), name
    assert mean.evaluation["mlm"]["cross_entropy"] != run.evaluation["mlm"]["cross_entropy"]
    assert mean.evaluation["frozen"] == run.evaluation["frozen"]
    for further in (None, "+2steps"):
        with pytest.raises(RunError, match="average of 2 checkpoints|is finished"):
            unmask.pretrain(resume=out, budget=further, progress=False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--resume {run} --budget 10m", "a run that is resumed has its own budget; --budget +10m makes it longer"),
        ("--resume {run}@12", "a decay from step 12 needs --budget +NUMBER"),
        ("--resume {run} --out {new}", "a longer run at --out needs --budget +NUMBER"),
        ("--resume {run}@12 --budget +2steps", "a decay from step 12 is a run of its own; give --out RUN"),
        ("--resume {run}@14 --budget +2steps --out {new}", "step 14 is not on its plateau, which goes from 4 to 12"),
        (
            "--resume {run}@9 --budget +2steps --out {new}",
            "no whole checkpoint of step 9; there are those of 12, 14, 20",
        ),
        ("--resume {run} --budget +2steps --out {run}", "holds a run already"),
        ("--resume {run} --budget +soon", "budget must be a number above 0"),
    ],
)
def test_what_can_not_be_made_longer_is_said_in_a_line(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, line: str
) -> None:
    names = {"run": run.path, "new": tmp_path / "new"}
    assert main(["pretrain", *words.format(**names).split(), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()
    assert run.state["status"] == "finished"


def test_runs_that_can_not_be_made_longer(made_corpus: Corpus, copy: RunDirectory, tmp_path: Path) -> None:
    linear = trained(made_corpus, tmp_path / "linear", 3, schedule__name="linear")
    falling = trained(made_corpus, tmp_path / "falling", 3, masking__schedule="linear")
    copy.update(status="stopped")
    wrong: list[tuple[str, dict[str, object], type[UserError]]] = [
        (r"its schedule \(linear\) has no plateau", {"resume": f"{linear.path}@3"}, RunError),
        (r"its rate of masking \(linear\) hangs on its length", {"resume": falling.path}, RunError),
        (r"is not finished \(step 20 of 20\)", {"resume": copy.path}, RunError),
        ("budget must be a number above 0", {"corpus": made_corpus.directory}, SettingError),
    ]
    for words, given, kind in wrong:
        with pytest.raises(kind, match=words):
            unmask.pretrain(**given, out=tmp_path / "new", budget="+2steps", progress=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(("last", "line"), [(1, "2 at least"), (4, "has 3 checkpoints, --last 4 asks for 4")])
def test_an_average_of_too_few_is_refused(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str], last: int, line: str
) -> None:
    assert main(["average", str(run.path), "--last", str(last), "--out", str(tmp_path / "new")]) == 2
    assert line in capsys.readouterr().err
