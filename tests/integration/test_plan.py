"""unmask plan: what it says is what the run then does, and it writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import unmask
from unmask.cli.main import main
from unmask.cli.plan import planned
from unmask.cli.planning import plan_for, pretrain_settings, step_batches
from unmask.corpus.directory import Corpus
from unmask.model.config import ModelSettings, resolve
from unmask.model.flops import flops_per_token, num_parameters
from unmask.model.heads import new_masked_lm
from unmask.training.budget import Budget
from unmask.training.cost import activation_bytes, largest_enough, memory_of

TINY = [
    *("model.preset=tiny", "model.hidden_size=64", "training.row_length=32", "training.batch_rows=8"),
    *("training.threads=1", "evaluation.documents=20", "training.dtype=float32"),
]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_plan_says_what_the_run_then_does_and_writes_nothing(
    made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = made_corpus.directory / "rows-32.safetensors"
    kept.unlink(missing_ok=True)
    before = contents(made_corpus.directory)
    words = ["--corpus", str(made_corpus.directory), "--budget", "2000tok", *TINY]
    assert main(["plan", *words, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert contents(made_corpus.directory) == before
    assert not list(tmp_path.iterdir())

    settings = {word.partition("=")[0]: word.partition("=")[2] for word in TINY}
    run = unmask.pretrain(made_corpus.directory, tmp_path / "run", settings=settings, budget="2000tok", progress=False)
    state, [*_, last] = run.state, [line for line in run.metrics() if line["kind"] == "train"]
    assert figures["run"]["steps"] == state["max_steps"]
    assert figures["model"]["parameters"] == state["model"]["parameters"]
    assert figures["run"]["tokens"] == pytest.approx(state["tokens"], rel=0.1)
    assert figures["run"]["passes"] == pytest.approx(state["rows_consumed"] / state["num_rows"])
    assert figures["speed"]["matmul_peak"] == pytest.approx((run.read("environment.json") or {})["matmul_peak"])
    assert 0 < last["utilisation"] < 1
    assert 0 < figures["speed"]["utilisation"] < 1
    assert [row["preset"] for row in figures["presets"]] == ["tiny", "mini", "small", "medium", "base"]
    assert figures["presets"][0]["tokens"] == figures["run"]["tokens"]
    each = [row["tokens_per_parameter"] for row in figures["presets"]]
    assert each == sorted(each, reverse=True)
    assert figures["memory"]["sum"] == sum(
        figures["memory"][name] for name in ("weights", "gradients", "optimizer", "average", "activations")
    )


def test_the_table_fits_80_columns(made_corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--corpus", str(made_corpus.directory), "--budget", "20steps", "--quiet", *TINY]) == 0
    table = capsys.readouterr().out.splitlines()
    assert max(map(len, table)) <= 80
    assert any(line.split()[:1] == ["medium"] for line in table)
    assert any("No preset sees enough in that time" in line for line in table)


def test_utilisation_is_operations_over_the_peak(made_corpus: Corpus, tmp_path: Path) -> None:
    settings = pretrain_settings(TINY)
    config = resolve(settings.model, made_corpus.vocabulary.size, made_corpus.vocabulary.pad_id)
    model = new_masked_lm(config, torch.Generator().manual_seed(0))
    gauge = plan_for(made_corpus, settings, model, step_batches(made_corpus, settings), 0.0, None).gauge
    assert gauge is not None
    expected = 1000 * flops_per_token(config, 32, 0.25).total / 2.0 / gauge.peak
    assert gauge.utilisation(1000, 250, 2.0) == pytest.approx(expected)


def test_activations_are_what_the_way_back_needs(made_corpus: Corpus) -> None:
    """Twice the rows keep about twice as much, a micro-batch of half of them about half."""

    def counted(*words: str) -> int:
        settings = pretrain_settings([*TINY, *words])
        config = resolve(settings.model, made_corpus.vocabulary.size, made_corpus.vocabulary.pad_id)
        model = new_masked_lm(config, torch.Generator().manual_seed(0))
        plan = plan_for(made_corpus, settings, model, step_batches(made_corpus, settings), 0.0, None)
        held = activation_bytes(plan)
        assert memory_of(plan, config, held)["weights"] == 4 * num_parameters(config)
        assert memory_of(plan, config, held)["average"] == (4 * num_parameters(config) if settings.training.ema else 0)
        return held

    few, many = counted(), counted("training.batch_rows=16", "training.ema=0.9")
    assert 1.5 * few < many < 2.1 * few  # the list of asked positions is padded, and some tables are there once
    assert counted("training.micro_batch_rows=4") < 0.75 * few
    hidden = 8 * 32 * 64 * 4  # the states of the rows, once
    assert 10 * hidden < few < 200 * hidden


def test_the_largest_preset_that_sees_enough() -> None:
    rows = [
        {"preset": "a", "parameters": 1, "is_enough": True},
        {"preset": "b", "parameters": 3, "is_enough": False},
        {"preset": "c", "parameters": 2, "is_enough": True},
    ]
    assert largest_enough(rows) == "c"
    assert largest_enough(rows[1:2]) is None


def test_a_plan_from_a_model_has_its_shape(made_corpus: Corpus, tmp_path: Path) -> None:
    settings = pretrain_settings(TINY)
    words = {word.partition("=")[0]: word.partition("=")[2] for word in TINY}
    run = unmask.pretrain(made_corpus.directory, tmp_path / "run", settings=words, budget="2steps", progress=False)
    plain = settings.model_copy(update={"model": ModelSettings()})
    figures = planned(made_corpus.directory, plain, Budget(steps=3), str(run.path))
    assert figures["model"]["parameters"] == run.state["model"]["parameters"]
    assert figures["presets"] == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--corpus", "{none}"], "there is no such corpus"),
        (["--corpus", "{corpus}", "--budget", "soon"], "budget must be a number above 0"),
        (["--corpus", "{corpus}", "model.preset=bert-tiny", "training.row_length=600"], "600"),
        ([], "Missing option '--corpus'"),
    ],
)
def test_a_mistake_gets_one_line(
    made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    names = {"none": str(tmp_path / "none"), "corpus": str(made_corpus.directory)}
    assert main(["plan", *(word.format(**names) for word in words)]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
