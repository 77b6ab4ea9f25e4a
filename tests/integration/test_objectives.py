"""Every objective through the commands: trained, resumed, measured, read both ways, and asked for texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import unmask
from unmask.cli.main import main
from unmask.corpus.directory import Corpus
from unmask.errors import ModelError, SettingError
from unmask.inference.generation import NOT_A_DISTRIBUTION, NOT_FROM_NOTHING
from unmask.inference.predictor import Predictor
from unmask.inference.resolve import resolve
from unmask.inference.resolved import read_as
from unmask.runs import RunDirectory

TINY = {
    "model.preset": "tiny",
    "model.hidden_size": 16,
    "model.num_attention_heads": 1,
    "training.row_length": 32,
    "training.batch_rows": 6,
    "training.save_every": 4,
    "training.threads": 1,
    "evaluation.documents": 20,
    "optimizer.learning_rate": 0.01,
}
STEPS = 8

Run = Callable[..., RunDirectory]


@pytest.fixture(scope="module")
def run(made_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function from objective settings to a finished run of eight steps, trained when first asked for."""

    @cache
    def trained(name: str, init: Path | None = None, **more: Any) -> RunDirectory:
        chosen = {f"objective.{key}": value for key, value in {"name": name, **more}.items()}
        shape = {key: value for key, value in TINY.items() if init is None or not key.startswith("model.")}
        out = tmp_path_factory.mktemp(name) / "run"
        return unmask.pretrain(
            made_corpus.directory, out, settings=shape | chosen, init=init, budget=f"{STEPS}steps", progress=False
        )

    return trained


def files_of(run: RunDirectory) -> list[bytes]:
    folder = run.checkpoints()[-1]
    return [(folder / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")]


def test_a_hybrid_of_nothing_but_the_one_is_the_one_to_the_bit(run: Run) -> None:
    assert files_of(run("hybrid", mntp_share=0.0)) == files_of(run("clm"))
    assert files_of(run("hybrid", mntp_share=1.0)) == files_of(run("mntp"))
    assert files_of(run("hybrid")) != files_of(run("clm"))
    assert files_of(run("mntp")) != files_of(run("mlm"))


@pytest.mark.parametrize(
    ("name", "flags"),
    [("clm", (True, True)), ("hybrid", (False, True)), ("clm_then_mlm", (False, False)), ("diffusion", (False, False))],
)
def test_a_run_knows_how_it_is_read(run: Run, name: str, flags: tuple[bool, bool]) -> None:
    found = resolve(run(name).path)
    assert (found.config.is_causal, found.config.predicts_next) == flags
    assert found.origin["objective"] == name
    assert found.config.is_left_to_right == (name == "clm")


@pytest.mark.parametrize("name", ["hybrid", "clm_then_mlm", "diffusion"])
def test_a_resumed_run_is_the_same_to_the_bit(run: Run, name: str, tmp_path: Path) -> None:
    whole = run(name)
    cut = RunDirectory(shutil.copytree(whole.path, tmp_path / "cut"))
    shutil.rmtree(cut.checkpoints()[-1])
    cut.update(status="running", step=4)
    assert files_of(unmask.pretrain(resume=cut.path, progress=False)) == files_of(whole)


def test_paired_runs_see_the_same_rows_and_begin_with_the_same_weights(run: Run) -> None:
    tokens = {run(name).state["tokens"] for name in ("mlm", "clm", "mntp", "hybrid", "clm_then_mlm", "diffusion")}
    assert len(tokens) == 1


def test_the_lines_of_a_run_tell_what_was_asked(run: Run) -> None:
    def last(name: str) -> dict[str, Any]:
        return [line for line in run(name).metrics() if line["kind"] == "train"][-1]

    assert last("clm")["masked"] is None
    assert last("clm")["next"] == pytest.approx(last("clm")["loss"])
    both = [line for line in run("hybrid").metrics() if line["kind"] == "train"]
    for kind in ("masked", "next"):
        assert any(line[kind] for line in both)
    assert any(line["masked"] and line["next"] for line in both)
    assert last("diffusion")["random"] is None
    phases = [line["hiding_rows"] for line in run("clm_then_mlm").metrics() if line["kind"] == "train"]
    assert (phases[0], phases[-1]) == (0.0, 1.0)
    assert run("clm").state["mask_rates"] is None
    assert run("mntp").state["mask_rates"]["selected"] == pytest.approx(0.3, abs=0.03)


def test_a_causal_run_is_measured_on_the_same_tokens_with_nothing_hidden(run: Run) -> None:
    clm, mlm = (run(name).evaluation for name in ("clm", "mlm"))
    assert (clm["frozen"]["is_hidden"], mlm["frozen"]["is_hidden"]) == (False, True)
    assert clm["frozen"]["fingerprint"] != mlm["frozen"]["fingerprint"]
    assert clm["mlm"]["positions"] == mlm["mlm"]["positions"] | {
        "masked": mlm["mlm"]["positions"]["all"],
        "random": 0,
        "kept": 0,
    }
    assert clm["mlm"]["unigram"]["all"] == mlm["mlm"]["unigram"]["all"]
    page = (run("clm").path / "report.html").read_text()
    assert "nothing is hidden from it, and it sees what stands before each" in page
    assert "At kept tokens" not in page
    assert run("mntp").evaluation["frozen"]["fingerprint"] == mlm["frozen"]["fingerprint"]


def loaded(run: RunDirectory, **more: Any) -> Predictor:
    found = unmask.load(run.path, **more)
    assert isinstance(found, Predictor)
    return found


def test_fill_of_a_causal_model_does_not_look_behind_and_says_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    model = loaded(run("clm"))
    one, other = model.fill(["The [MASK] array returns.", "The [MASK] parser."], top_k=2)
    assert [choice["token"] for choice in one] == [choice["token"] for choice in other]
    assert [choice["score"] for choice in one] == pytest.approx([choice["score"] for choice in other], rel=1e-4)
    assert main(["fill", str(run("clm").path), "The [MASK] array.", "--json"]) == 0
    assert (
        capsys.readouterr().err == "This model reads from left to right: what stands behind [MASK] was not looked at.\n"
    )
    assert main(["fill", str(run("mntp").path), "The [MASK] array.", "--quiet"]) == 0
    assert "left to right" not in capsys.readouterr().err
    both = loaded(run("mntp")).fill(["The [MASK] array returns.", "The [MASK] parser."], top_k=2)
    assert both[0][0]["score"] != pytest.approx(both[1][0]["score"], rel=1e-6)


def test_the_score_of_a_causal_model_is_the_likelihood_of_the_text(run: Run) -> None:
    """Each token is asked for once, and what is hidden is never looked at: the chain rule."""
    model, text = loaded(run("clm")), "The small array returns the large matrix."
    [scored] = model.score([text])
    ids = model.tokenizer.encode(text, add_special_tokens=False).ids
    window, total = np.array([model.vocabulary.cls_id, *ids, model.vocabulary.sep_id], np.int32), 0.0
    for place in range(1, len(window) - 1):
        logits = model.engine.logits([window[: place + 1]], [place])[0].astype(float)
        total += float(logits[window[place]] - np.log(np.exp(logits).sum()))
    assert scored["score"] == pytest.approx(total, rel=1e-4)


def test_a_causal_model_is_read_in_both_directions_where_asked(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, path = "The small array returns the large matrix.", run("clm").path
    (tmp_path / "texts.txt").write_text(text + "\n")
    vectors = []
    for attention in ("trained", "causal", "both"):
        out = tmp_path / f"{attention}.npy"
        assert main(["embed", str(path), str(tmp_path / "texts.txt"), "--out", str(out), "--attention", attention]) == 0
        vectors.append(np.load(out))
    capsys.readouterr()
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])
    assert np.array_equal(vectors[2], unmask.load(path, attention="both").embed([text]))
    found = resolve(path)
    assert read_as(found, "trained") is found
    assert not read_as(found, "both").config.is_causal
    with pytest.raises(ModelError, match="take engine torch for attention both"):
        unmask.load(path, engine="onnx", attention="both")


def test_a_task_is_read_as_its_setting_says_and_remembers_it(run: Run, tmp_path: Path) -> None:
    examples = tmp_path / "train.csv"
    examples.write_text("text,label\n" + "The array returns.,a\nThe parser copies.,b\n" * 4)
    for attention, is_causal in (("trained", True), ("both", False)):
        tuned = unmask.finetune(
            run("clm").path,
            "classify",
            examples,
            examples,
            tmp_path / attention,
            settings={"task.attention": attention, "training.epochs": 1, "training.threads": 1},
            controls=False,
            progress=False,
        )
        assert resolve(tuned.path).config.is_causal is is_causal
        assert not resolve(tuned.path).config.predicts_next
        assert unmask.load(tuned.path).classify(["The array returns."])[0][0]["label"] in ("a", "b")


@pytest.mark.parametrize(("name", "is_exact"), [("clm", True), ("diffusion", False)])
def test_whole_texts_are_exact_for_one_and_bounded_for_the_other(
    run: Run, name: str, is_exact: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(run(name).path), "--suite", "text", "--documents", "12", "--quiet"]
    page = tmp_path / "page.html"
    assert main([*words, "--json", "--report", str(page)]) == 0
    text = json.loads(capsys.readouterr().out)["text"]
    assert (text["is_exact"], text["documents"], text["entropy"]) == (is_exact, 12, None)
    assert text["nats_per_token"]["low"] < text["nats_per_token"]["value"] < text["nats_per_token"]["high"]
    assert ("so this is exact" in page.read_text()) is is_exact
    assert main(words) == 0
    assert ("exactly" in capsys.readouterr().out) is is_exact


def said(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main(["generate", *map(str, words), "--json", "--quiet"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    ("name", "method", "note"),
    [
        ("clm", "ancestral", None),
        ("hybrid", "ancestral", None),
        ("diffusion", "unmasking", None),
        ("mlm", "gibbs", NOT_A_DISTRIBUTION),
    ],
)
def test_texts_are_drawn_as_a_model_was_trained(
    run: Run, name: str, method: str, note: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (run(name).path, "The array", "--tokens", 6, "--samples", 3)
    found = said(capsys, *words)
    assert (found["method"], found["note"]) == (method, note)
    assert len(set(found["texts"])) > 1
    assert all(text.startswith("The array") for text in found["texts"])
    assert not any(token in text for text in found["texts"] for token in ("[MASK]", "[SEP]", "[UNK]"))
    assert said(capsys, *words)["texts"] == found["texts"]
    assert said(capsys, *words, "--seed", 1)["texts"] != found["texts"]


def test_an_mlm_that_unmasks_from_nothing_is_told_of(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, run("mlm").path, "--tokens", 5, "--method", "unmasking", "--steps", 2)
    assert (found["rounds"], found["note"]) == (2, NOT_FROM_NOTHING)


@pytest.mark.parametrize(
    ("name", "words", "line"),
    [
        ("mlm", ["--method", "ancestral"], "was trained by mlm, not to go on from left to right"),
        ("clm", ["--method", "gibbs"], "reads from left to right, and gibbs looks at both sides; draw by ancestral"),
        ("clm", ["--steps", "3"], "--steps is for unmasking and gibbs"),
        ("clm", ["--tokens", "9000"], "that is over the 8192 that the model reads"),
    ],
)
def test_what_can_not_be_drawn_is_refused_in_a_line(
    run: Run, name: str, words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(run(name).path), *words]) == 2
    found = capsys.readouterr().err
    assert line in found
    assert found.count("\n") == 1


def test_what_does_not_go_together_is_refused_in_a_line(
    run: Run, made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = ["--corpus", str(made_corpus.directory)]
    for words, line in (
        (["pretrain", *corpus, "--out", str(tmp_path / "a"), "objective.name=gan"], "objective.name must be one of"),
        (
            ["pretrain", *corpus, "--out", str(tmp_path / "b"), "objective.name=diffusion", "masking.unit=word"],
            "masking.unit must be token where objective.name is diffusion, got word",
        ),
        (
            ["pretrain", *corpus, "--out", str(tmp_path / "c"), "objective.name=mntp", "model.is_causal=true"],
            "objective.name=mntp says by itself which tokens see which; leave out model.is_causal",
        ),
        (["mask", *corpus, "objective.name=clm"], "objective.name is clm, which hides nothing at a rate"),
        (
            ["pretrain", "--resume", str(run("clm_then_mlm").path), "--budget", "+4steps"],
            "its objective (clm_then_mlm) hangs on its length",
        ),
        (
            ["export", str(run("clm").path), "--to", "huggingface", "--out", str(tmp_path / "d")],
            "no published modernbert",
        ),
        (["evaluate", str(run("clm").path), "--suite", "robustness"], "reads from left to right, and robustness hides"),
    ):
        assert main(words) == 2, words
        assert line in capsys.readouterr().err, words


def test_an_mlm_goes_on_from_a_causal_model_and_is_one_again(run: Run) -> None:
    """What the biphasic recipe does in one run, in two: weights are kept, the direction is the new objective's."""
    first = run("clm")
    then = run("mlm", init=first.path)
    found = resolve(then.path)
    assert (found.config.is_causal, found.config.predicts_next) == (False, False)
    start, end = (load_file(one.checkpoints()[-1] / "model.safetensors") for one in (first, then))
    assert start.keys() == end.keys()
    assert not np.array_equal(start["decoder.bias"], end["decoder.bias"])
    assert np.abs(start["decoder.bias"] - end["decoder.bias"]).max() < 0.2


def test_the_way_through_python_refuses_an_objective_that_is_not_there(made_corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"objective\.mntp_share must be in \[0, 1\], got 2"):
        unmask.pretrain(made_corpus.directory, tmp_path / "run", settings={"objective.mntp_share": 2}, progress=False)
