"""Several processes that torchrun starts: one that dies, one that is told to stop, and another number of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.torchrun import pretraining, worker

from unmask.cli.main import main
from unmask.cli.planning import refuse_uneven
from unmask.corpus.directory import Corpus
from unmask.errors import FailedElsewhere, SettingError
from unmask.runs import RunDirectory
from unmask.training.distributed import ALONE, Ranks, ReadOnlyRun, joined
from unmask.training.loop import TrainingSettings

pytestmark = pytest.mark.slow  # starts processes again and again

STEPS = 120


@pytest.fixture(scope="module")
def corpus(made_corpus: Corpus) -> Corpus:
    made_corpus.rows(32)
    return made_corpus


def new_run(corpus: Corpus, out: Path, *settings: str, steps: int = STEPS) -> list[str]:
    return [
        *("--corpus", str(corpus.directory), "--out", str(out), "--budget", f"{steps}steps", "--quiet"),
        *("model.preset=tiny", "model.hidden_size=32", "training.row_length=32", "training.batch_rows=8"),
        *("training.save_every=20", "training.eval_every=60", "training.threads=1", "evaluation.documents=20"),
        *("masking.schedule=linear", *settings),
    ]


def wait_for_checkpoint(out: Path, launch: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if any((out / "checkpoints").glob("step-*")):
            return
        assert launch.poll() is None, "the run ended before it was disturbed"
        time.sleep(0.05)
    raise AssertionError("no checkpoint in a minute")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(RunDirectory(run).checkpoints()[-1] / "model.safetensors")


def told(run: Path) -> list[dict[str, Any]]:
    """Return what a run says of its steps, the time it took left out."""
    timed = ("seconds", "tokens_per_second", "loader_wait", "attempt", "utilisation")
    lines = [line for line in RunDirectory(run).metrics() if line["kind"] != "resumed"]
    return [{name: value for name, value in line.items() if name not in timed} for line in lines]


@pytest.fixture(scope="module")
def undisturbed(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two") / "run"
    launch = pretraining(2, *new_run(corpus, out))
    said = launch.communicate(timeout=120)
    assert launch.returncode == 0, said
    assert said[0].count("At [MASK] the model is") == 1, "one of two speaks"
    return out


def test_a_run_whose_rank_is_killed_goes_on_and_ends_equal_to_the_bit(
    corpus: Corpus, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    launch = pretraining(2, *new_run(corpus, out), restarts=1)
    wait_for_checkpoint(out, launch)
    os.kill(worker(launch, 1), signal.SIGKILL)
    _, said = launch.communicate(timeout=120)
    assert launch.returncode == 0, said
    state = RunDirectory(out).state
    assert (state["status"], state["attempt"], state["step"]) == ("finished", 2, STEPS)
    expected = weights(undisturbed)
    for name, value in weights(out).items():
        assert torch.equal(value, expected[name]), name
    assert told(out) == told(undisturbed)
    assert RunDirectory(out).read("environment.json")["ranks"] == 2  # type: ignore[index]  # every run has one


def test_what_stops_one_rank_stops_all_and_one_process_goes_on(
    corpus: Corpus, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    launch = pretraining(2, *new_run(corpus, out))
    wait_for_checkpoint(out, launch)
    os.kill(worker(launch, 1), signal.SIGTERM)
    _, said = launch.communicate(timeout=120)
    assert said.count("go on with: unmask pretrain --resume") == 1
    state = RunDirectory(out).state
    assert state["status"] == "stopped"
    assert 20 <= state["step"] < STEPS
    assert state["rows_consumed"] == 8 * state["step"]

    alone = pretraining(1, "--resume", str(out))
    _, said = alone.communicate(timeout=120)
    assert alone.returncode == 0, said
    assert "will not be equal to the bit: ranks: 2 before, 1 now" in said
    last, expected = told(out)[-1], told(undisturbed)[-1]
    assert last["tokens"] == expected["tokens"]
    assert last["masked"] == pytest.approx(expected["masked"], abs=0.02)


def shards(run: Path) -> list[Path]:
    return sorted(RunDirectory(run).checkpoints()[-1].glob("shard-*.safetensors"))


@pytest.mark.slow
def test_a_checkpoint_in_four_parts_goes_on_in_two_and_in_one(corpus: Corpus, tmp_path: Path) -> None:
    """BERT's two kinds of sentence are fewer than four ranks: some hold nothing of that table."""
    wanted = ("model.preset=bert-tiny", "training.shard=full", "training.ema=0.9")
    out = tmp_path / "run"
    launch = pretraining(4, *new_run(corpus, out, *wanted))
    wait_for_checkpoint(out, launch)
    os.kill(worker(launch, 3), signal.SIGTERM)
    launch.communicate(timeout=240)
    assert RunDirectory(out).state["status"] == "stopped"
    assert len(shards(out)) == 4
    assert not list(out.rglob("*metadata*"))
    for ranks, name in ((2, "two"), (1, "one")):
        copied = tmp_path / name
        subprocess.run(["cp", "-r", str(out), str(copied)], check=True)
        again = pretraining(ranks, "--resume", str(copied), "--quiet")
        _, said = again.communicate(timeout=240)
        assert again.returncode == 0, said
        assert len(shards(copied)) == (2 if ranks > 1 else 0)
    one, two = told(tmp_path / "one"), told(tmp_path / "two")
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for name, value in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], value, rtol=0.05, atol=0.02)


@pytest.mark.slow
def test_a_sharded_run_is_resumed_equal_to_the_bit(corpus: Corpus, tmp_path: Path) -> None:
    wanted = ("training.shard=full", "training.ema=0.9")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    launch = pretraining(2, *new_run(corpus, whole, *wanted))
    launch.communicate(timeout=240)
    launch = pretraining(2, *new_run(corpus, killed, *wanted), restarts=1)
    wait_for_checkpoint(killed, launch)
    os.kill(worker(launch, 0), signal.SIGKILL)
    launch.communicate(timeout=240)
    assert RunDirectory(killed).state["attempt"] == 2
    expected = weights(whole)
    for name, value in weights(killed).items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.slow
def test_a_budget_in_time_is_the_same_number_of_steps_for_all(corpus: Corpus, tmp_path: Path) -> None:
    launch = pretraining(2, *new_run(corpus, tmp_path / "run"), "--budget", "8s")
    _, said = launch.communicate(timeout=240)
    assert launch.returncode == 0, said
    assert RunDirectory(tmp_path / "run").state["step"] > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["optimizer.learning_rate=1e30", "optimizer.clip=0"], "the loss is not finite at step"),
        (["training.batch_rows=1"], "training.batch_rows must be at least the 2 processes of torchrun, got 1"),
        (["model.hiden_size=3"], "did you mean 'hidden_size'?"),
    ],
)
def test_a_mistake_is_said_once(corpus: Corpus, tmp_path: Path, settings: list[str], line: str) -> None:
    launch = pretraining(2, *new_run(corpus, tmp_path / "run", *settings))
    _, said = launch.communicate(timeout=240)
    assert launch.returncode != 0
    assert said.count(line) == 1, said


@pytest.mark.slow
def test_an_out_that_held_a_run_before_is_refused_at_every_restart(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(["pretrain", *new_run(corpus, out, steps=2)]) == 0
    before = (out / "run.json").read_bytes()
    launch = pretraining(2, *new_run(corpus, out), restarts=1)
    _, said = launch.communicate(timeout=240)
    assert launch.returncode != 0
    assert said.count("holds a run already") == 2
    assert (out / "run.json").read_bytes() == before


def test_rows_that_can_not_be_dealt_are_refused() -> None:
    refuse_uneven(TrainingSettings(batch_rows=6), Ranks(count=4))
    refuse_uneven(TrainingSettings(batch_rows=6, shard="full"), Ranks(count=3))
    with pytest.raises(SettingError, match="at least the 4 processes of torchrun, got 3"):
        refuse_uneven(TrainingSettings(batch_rows=3), Ranks(count=4))
    with pytest.raises(SettingError, match="a multiple of the 4 processes of torchrun where training.shard"):
        refuse_uneven(TrainingSettings(batch_rows=6, shard="full"), Ranks(count=4))


def test_other_commands_refuse_torchrun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["finetune", "model"]) == 2
    assert "unmask finetune runs in one process; start it without torchrun" in capsys.readouterr().err


def test_one_process_of_torchrun_is_alone_and_knows_its_launch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with joined() as ranks:
        assert ranks is ALONE
    said = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, "TORCHELASTIC_RUN_ID": "job"}
    for name, value in (said | {"TORCHELASTIC_RESTART_COUNT": 1}).items():
        monkeypatch.setenv(name, str(value))
    assert not torch.distributed.is_initialized()
    with joined() as ranks:
        assert (ranks.count, ranks.launch, ranks.restarts) == (1, "job", 1)
        assert not ranks.has_begun(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with joined() as ranks:
        assert ranks.launch is not None
        assert ranks.launch.endswith(f":{os.getppid()}")


def test_a_rank_that_is_not_the_first_writes_nothing(undisturbed: Path) -> None:
    before = {path: path.read_bytes() for path in undisturbed.rglob("*") if path.is_file()}
    run = Ranks(rank=1, count=2).run_at(undisturbed)
    assert isinstance(run, ReadOnlyRun)
    with run.exclusive(), run.new_checkpoint(1, {}):
        run.update(status="failed")
        run.record({"kind": "train", "step": 1})
        run.keep_checkpoints(1, 1)
        with pytest.raises(FailedElsewhere):
            run.record({"loss": float("nan")})
    assert {path: path.read_bytes() for path in undisturbed.rglob("*") if path.is_file()} == before
    assert json.loads(before[undisturbed / "run.json"])["launch"]
