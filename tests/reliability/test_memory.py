"""When memory runs out, fewer rows go through at once, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unmask.batch import Batch
from unmask.cli.main import main
from unmask.corpus.directory import Corpus
from unmask.model.heads import MaskedLM
from unmask.runs import RunDirectory

pytestmark = pytest.mark.slow  # starts processes again and again

SMALL = [
    *("model.preset=tiny", "model.hidden_size=32", "training.row_length=32", "training.batch_rows=8"),
    *("training.save_every=4", "training.threads=1", "evaluation.documents=20", "--budget=12steps", "--quiet"),
]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Make a machine that holds so many rows at once, from its n-th forward in training on."""
    forward, count = MaskedLM.forward, 0

    def limit(rows: int, after: int = 0) -> None:
        nonlocal count
        count = 0

        def limited(model: MaskedLM, batch: Batch) -> torch.Tensor:
            nonlocal count
            count += model.training
            if model.training and count > after and len(batch.segment) > rows:
                raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
            return forward(model, batch)

        monkeypatch.setattr(MaskedLM, "forward", limited)

    return limit


def trained(corpus: Corpus, out: Path, *words: str) -> RunDirectory:
    assert main(["pretrain", "--corpus", str(corpus.directory), "--out", str(out), *SMALL, *words]) == 0
    return RunDirectory(out)


def weights(run: RunDirectory) -> list[bytes]:
    return [(run.checkpoints()[-1] / f"{name}.safetensors").read_bytes() for name in ("model", "optimizer")]


def test_rows_are_halved_until_they_fit_and_the_run_is_the_one_that_was_told_so(
    made_corpus: Corpus, tmp_path: Path, narrow: Callable[..., None]
) -> None:
    told = trained(made_corpus, tmp_path / "told", "training.micro_batch_rows=2")
    narrow(3)  # 8, then 4, then 2
    found = trained(made_corpus, tmp_path / "found")
    assert weights(found) == weights(told)
    assert found.state["micro_batch_rows"] == 2
    lines = [line for line in found.metrics() if line["kind"] == "train"]
    assert all(line["micro_batch_rows"] == 2 for line in lines)
    assert [line["loss"] for line in lines] == [line["loss"] for line in told.metrics() if line["kind"] == "train"]


def test_a_later_attempt_cuts_the_same_steps_in_the_same_way(
    made_corpus: Corpus, tmp_path: Path, narrow: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(4, after=5)
    whole = trained(made_corpus, tmp_path / "whole")
    record, out = RunDirectory.record, tmp_path / "cut"

    def stopping(run: RunDirectory, line: dict[str, Any]) -> None:
        record(run, line)
        if line["kind"] == "train" and line["step"] == 9:
            raise KeyboardInterrupt

    narrow(4, after=5)
    monkeypatch.setattr(RunDirectory, "record", stopping)
    assert main(["pretrain", "--corpus", str(made_corpus.directory), "--out", str(out), *SMALL]) == 75
    monkeypatch.undo()  # the machine is wide again, and the run stays as it was
    assert main(["pretrain", "--resume", str(out), "--quiet"]) == 0
    cut = RunDirectory(out)
    assert weights(cut) == weights(whole)
    held = [line.get("micro_batch_rows") for line in cut.metrics() if line["kind"] == "train"]
    assert (held[0], held[-1]) == (None, 4)


def test_one_row_that_does_not_fit_is_said_in_a_line(
    made_corpus: Corpus, tmp_path: Path, narrow: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    narrow(0)
    out = tmp_path / "run"
    assert main(["pretrain", "--corpus", str(made_corpus.directory), "--out", str(out), *SMALL]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("unmask: memory does not hold one row: set training.gradient_checkpointing=true")
    assert RunDirectory(out).state["status"] == "failed"


def test_layers_computed_twice_end_in_the_same_weights(made_corpus: Corpus, tmp_path: Path) -> None:
    plain = trained(made_corpus, tmp_path / "plain")
    twice = trained(made_corpus, tmp_path / "twice", "training.gradient_checkpointing=true")
    assert weights(twice) == weights(plain)
