"""Damage is noticed before anything is computed from it, and what can go on without the damaged part does."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.reliability.hostile import ask, flip, inventory, new_run

from unmask import files
from unmask.batch import Batch
from unmask.cli.main import main
from unmask.corpus.directory import Corpus, open_corpus
from unmask.corpus.shards import open_tensors
from unmask.errors import DataError
from unmask.runs import RunDirectory
from unmask.training import loop

FLIPS = 200


@pytest.fixture
def corpus(made_corpus: Corpus, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_corpus.directory, tmp_path / "corpus"))


@pytest.mark.parametrize("name", ["train-00000.safetensors", "manifest.json"])
def test_a_flipped_bit_anywhere_is_noticed_and_named(corpus: Path, name: str) -> None:
    chance, size = random.Random(0), (corpus / name).stat().st_size
    for _ in range(FLIPS):
        place, bit = chance.randrange(size), chance.randrange(8)
        flip(corpus / name, place, bit)
        with pytest.raises(DataError, match=rf"/{name}: |: is missing; build the corpus again$"):
            open_corpus(corpus)
        flip(corpus / name, place, bit)
    open_corpus(corpus)


def test_rows_with_a_flipped_bit_anywhere_are_made_again(corpus: Path) -> None:
    path, chance = corpus / "rows-32.safetensors", random.Random(1)
    good = open_corpus(corpus).rows(32).gather(np.arange(8)).input_ids
    size, kept = path.stat().st_size, files.digest_tensors(open_tensors(path)[0])
    for _ in range(FLIPS // 5):
        flip(path, chance.randrange(size), chance.randrange(8))
        np.testing.assert_array_equal(open_corpus(corpus).rows(32).gather(np.arange(8)).input_ids, good)
        assert files.digest_tensors(open_tensors(path)[0]) == kept


def test_a_run_goes_on_from_the_last_good_checkpoint_and_comes_out_the_same(
    made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main([*new_run(made_corpus.directory, out, "training.save_every=3", steps=6), "--quiet"]) == 0
    run = RunDirectory(out)
    last = run.checkpoints()[-1]
    whole = inventory(last)
    flip(last / "model.safetensors", 1000)
    run.update(status="running")
    assert ask(capsys, "pretrain", "--resume", out, "--quiet").code == 0
    assert inventory(last)["model.safetensors"] == whole["model.safetensors"]
    [resumed] = [line for line in run.metrics() if line["kind"] == "resumed"]
    assert resumed["step"] == 4  # the end of the plateau
    assert resumed["damaged"] == [f"{last / 'model.safetensors'}: is damaged (its checksum does not hold); passed over"]


def test_weights_that_are_not_finite_are_refused(
    made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main([*new_run(made_corpus.directory, out), "--quiet"]) == 0
    state = RunDirectory(out).checkpoints()[-1] / "state.json"
    weights = state.with_name("model.safetensors")
    tensors = load_file(weights)
    tensors["decoder.bias"][3] = torch.nan
    save_file(tensors, weights)
    values = RunDirectory(out).read(str(state.relative_to(out)))
    assert values is not None
    checksums = {**values["checksums"], weights.name: files.digest(weights)}
    files.write_json(state, files.sealed({**values, "checksums": checksums}))
    answer = ask(capsys, "fill", out, "[MASK]")
    assert answer.code == 2
    assert answer.err == (
        f"unmask: {weights}: holds numbers that are not finite, in decoder.bias; take another checkpoint\n"
    )


def test_weights_that_are_not_finite_are_never_saved(
    made_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = loop.train_step

    def poisoned(plan: loop.Plan, optimizer: torch.optim.Optimizer, batches: list[Batch], number: int) -> Any:
        taken = step(plan, optimizer, batches, number)
        if number == 2:
            dict(plan.model.named_parameters())["decoder.bias"].data[3] = torch.nan
        return taken

    monkeypatch.setattr(loop, "train_step", poisoned)
    out = tmp_path / "run"
    often = ["training.save_every=1", "training.keep=100", "training.eval_every=100"]
    answer = ask(capsys, *new_run(made_corpus.directory, out, *often, steps=6), "--quiet")
    assert answer.code == 2
    assert answer.err.startswith(
        f"unmask: {out}: the loss is not finite at step 3; set a lower optimizer.learning_rate"
    )
    run = RunDirectory(out)
    assert (run.state["status"], run.state["step"]) == ("failed", 2)
    assert [path.name for path in run.checkpoints()] == ["step-00000001", "step-00000002"]
