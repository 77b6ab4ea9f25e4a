"""``unmask compare`` as a whole, small: arms, plan, resumption, verdict, page, and what is refused."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_finetune import rows_of, write

import unmask
from unmask.cli.main import main
from unmask.comparison.arms import ARMS
from unmask.corpus.directory import Corpus
from unmask.errors import RunError, SettingError, Stopped, UserError
from unmask.runs import RunDirectory

FAST = {
    "pretrain.model.preset": "tiny",
    "pretrain.model.hidden_size": 32,
    "pretrain.training.row_length": 32,
    "pretrain.training.threads": 1,
    "pretrain.evaluation.documents": 10,
    "finetune.training.threads": 1,
    "finetune.training.epochs": 1,
    "finetune.task.max_length": 32,
    "finetune.task.stride": 8,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("labelled")
    return {
        name: write(folder / f"{name}.jsonl", rows_of("classify", count, 30 + place))
        for place, (name, count) in enumerate({"train": 64, "dev": 40, "test": 60}.items())
    }


def small(corpus: Corpus, data: dict[str, Path], out: Path, told: Any = False, **changes: Any) -> RunDirectory:
    """Return a comparison of a few seconds."""
    asked: dict[str, Any] = {"budget": "12steps", "arms": "mlm,scratch", "labels": "all", "seeds": 3, "settings": FAST}
    return unmask.compare(
        corpus.directory, "classify", data["train"], data["dev"], out, progress=told, **{**asked, **changes}
    )


@pytest.mark.parametrize(
    "arms", [["scratch", "mlm", "clm", "clm_both"], pytest.param(list(ARMS), marks=pytest.mark.slow)], ids=len
)
def test_every_arm_is_there_and_the_verdict_is_written(
    made_corpus: Corpus, data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], arms: list[str]
) -> None:
    out = tmp_path / "compared"
    words = [f"{key}={value}" for key, value in FAST.items()]
    code = main([
        "compare", *words, "--corpus", str(made_corpus.directory), "--task", "classify", "--train", str(data["train"]),
        "--dev", str(data["dev"]), "--out", str(out), "--budget", "12steps", "--labels", "all", "--seeds", "3",
        "--arms", ",".join(arms), "--json",
    ])  # fmt: skip
    told = capsys.readouterr()
    assert code == 0, told.err
    trained = {ARMS[name].pretraining for name in arms} - {None}
    plan = f"{len(trained)} pre-trainings of 12steps each, {3 * len(arms)} fine-tunings ({len(arms)} arms, 3 seeds, 64 "
    assert plan in told.err
    found = json.loads(told.out)["comparison"]
    assert list(found["arms"]) == ["tfidf", *arms]
    assert found["held_out"] == 20  # half of the development examples
    assert found["held_out_is"] == "half of development"
    assert found["verdict"]["kind"] in ("use", "label", "simple", "nothing", "undecided")
    for name in arms:
        assert len(found["quality"][name]["64"]["seeds"]) == 3
        assert found["arms"][name]["serving"]["milliseconds"] > 0
        assert found["arms"][name]["finetuning"]["seconds"] > 0
    spent = {name: found["arms"][name]["pretraining"]["flops"] for name in arms if name != "scratch"}
    assert all(value == pytest.approx(spent["mlm"], rel=0.15) for value in spent.values()), spent  # steps are whole
    bag, network = (found["arms"][name]["serving"] for name in ("tfidf", "mlm"))
    assert bag["parameters"] > 100
    assert bag["tokens"] == network["tokens"] < 20 * 40  # of the same texts
    assert found["verdict"]["title"] in unescape((out / "report.html").read_text())
    states = {str(name): RunDirectory(out / "pretrained" / str(name)).state for name in trained}
    assert all(state["status"] == "finished" for state in states.values())
    assert states["clm"]["max_steps"] < states["mlm"]["max_steps"]  # it asks for every token
    assert states["clm"]["model"]["config"]["is_causal"]
    assert main(["runs", "show", str(out)]) == 0
    assert found["verdict"]["title"] in " ".join(capsys.readouterr().out.split())  # in lines


@pytest.mark.slow
def test_a_named_model_is_set_beside_with_its_own_tokenizer(
    made_corpus: Corpus, data: dict[str, Path], tmp_path: Path
) -> None:
    other = unmask.build_corpus(
        data["test"], tmp_path / "corpus", settings={"tokenizer.vocab_size": 150}, progress=False
    )
    recipe = {key.removeprefix("pretrain."): value for key, value in FAST.items() if key.startswith("pretrain.")}
    model = unmask.pretrain(other, tmp_path / "older", settings=recipe, budget="4steps", progress=False)
    found = small(made_corpus, data, tmp_path / "out", test=data["test"], models=[model]).evaluation["comparison"]
    assert (found["held_out"], found["held_out_is"]) == (60, "test")
    assert found["arms"]["older"]["pretraining"] is None
    assert found["arms"]["older"]["serving"]["parameters"] < found["arms"]["mlm"]["serving"]["parameters"]
    assert set(found["evidence"]["gaps"]) == {"mlm", "older"}


def test_a_stop_goes_on_with_what_is_missing(made_corpus: Corpus, data: dict[str, Path], tmp_path: Path) -> None:
    out, seen = tmp_path / "stopped", []

    def interrupt(stage: str, done: int, *_: Any) -> None:
        if stage == "fine-tuning" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match=r"go on with: unmask compare --resume .*stopped"):
        small(made_corpus, data, out, told=interrupt)
    assert RunDirectory(out).state["status"] == "stopped"
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "cells").glob("*.safetensors")}
    assert len(kept) == 3
    run = unmask.compare(resume=out, progress=lambda stage, *_: seen.append(stage))
    assert run.state["status"] == "finished"
    assert not any("training" in stage and stage != "fine-tuning" for stage in seen)  # nothing is pre-trained again
    assert {name: (out / "cells" / name).stat().st_mtime_ns for name in kept} == kept
    whole = small(made_corpus, data, tmp_path / "whole")
    assert run.evaluation["comparison"]["quality"] == whole.evaluation["comparison"]["quality"]
    with pytest.raises(RunError, match="is finished; start a new comparison with --out"):
        unmask.compare(resume=out, progress=False)


@pytest.mark.parametrize(("changes", "error", "line"), [
    ({"arms": "mlm,cml"}, SettingError, "arms must be of .*, got 'cml'; did you mean 'mlm'"),
    ({"margin": 0.0}, SettingError, r"margin must be in \(0, 1\), got 0"),
    ({"budget": "soon"}, SettingError, "budget must be a number above 0"),
    ({"labels": "1"}, SettingError, "labels must be counts from 2 to 64, or all, got '1'"),
    ({"settings": {"pretrain.model.preest": "tiny"}}, SettingError, "unknown setting pretrain.model.preest; did you"),
    ({"settings": {"finetune.task.attention": "both"}}, SettingError, "is what the arms differ in, got 'both'; leave"),
    ({"models": ["nowhere/at/all"]}, UserError, "nowhere/at/all"),
])  # fmt: skip
def test_what_can_not_be_compared_is_refused_before_anything_is_written(
    made_corpus: Corpus,
    data: dict[str, Path],
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[UserError],
    line: str,
) -> None:
    with pytest.raises(error, match=line):
        small(made_corpus, data, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_other_runs_and_other_examples_are_not_gone_on_with(
    made_corpus: Corpus, data: dict[str, Path], tmp_path: Path
) -> None:
    own = {name: tmp_path / path.name for name, path in data.items()}
    for name, path in data.items():
        own[name].write_text(path.read_text())

    def stop(stage: str, *_: Any) -> None:
        if stage == "fine-tuning":
            raise KeyboardInterrupt

    with pytest.raises(Stopped):
        small(made_corpus, own, tmp_path / "out", told=stop)
    own["train"].write_text("".join(own["train"].read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(RunError, match="was started on other train examples"):
        unmask.compare(resume=tmp_path / "out", progress=False)
    with pytest.raises(RunError, match="was not made by unmask compare, but by unmask pretrain"):
        unmask.compare(resume=tmp_path / "out" / "pretrained" / "mlm", progress=False)
    with pytest.raises(SettingError, match="has its own task; leave that out"):
        unmask.compare(task="tag", resume=tmp_path / "out", progress=False)
