"""The thin line through the command: a run is trained, measured, used; mistakes get one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.made_text import QUALITIES

import unmask
from unmask.cli.main import main
from unmask.corpus.directory import Corpus
from unmask.errors import ModelError
from unmask.inference.predictor import Predictor
from unmask.runs import RunDirectory

SMALL = [
    "model.preset=tiny",
    "model.hidden_size=64",
    "training.row_length=64",
    "training.batch_rows=8",
    "training.threads=1",
]


@pytest.fixture(scope="module")
def run(made_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Return a run that had time to learn that subject and verb hang together."""
    out = tmp_path_factory.mktemp("runs") / "run"
    words = ["--corpus", str(made_corpus.directory), "--out", str(out), "--budget", "240steps", "--quiet"]
    assert (
        main(["pretrain", *words, *SMALL, "optimizer.learning_rate=5e-3", "schedule.warmup=0.2", "training.ema=0.9"])
        == 0
    )
    return RunDirectory(out)


@pytest.fixture(scope="module")
def model(run: RunDirectory) -> Predictor:
    loaded = unmask.load(run.path)
    assert isinstance(loaded, Predictor)
    return loaded


def test_a_run_holds_all_that_it_must(run: RunDirectory) -> None:
    state = run.state
    assert (state["status"], state["step"], state["max_steps"], state["rows_consumed"]) == ("finished", 240, 240, 1920)
    for name in ("settings.yaml", "environment.json", "metrics.jsonl", "tokenizer.json", "corpus.json", "report.html"):
        assert (run.path / name).is_file(), name
    assert [path.name for path in run.checkpoints()] == [f"step-{step:08d}" for step in (144, 216, 240)]
    assert 0.5 < state["packing"] <= 1
    assert state["mask_rates"]["selected"] == pytest.approx(0.3, abs=0.02)
    assert 5e7 < state["peak_memory"] < 1e11
    page = (run.path / "report.html").read_text()
    for words in (
        "Peak memory",
        "Mask rates",
        "Accuracy by how often",
        "passes over the training text",
        "What it fills",
    ):
        assert words in page, words
    assert "was still running" not in page
    assert run.settings["training"]["ema"] == 0.9


def test_it_learned_more_than_frequencies_and_says_so_with_its_control(run: RunDirectory) -> None:
    found = run.read("evaluation.json")
    assert found is not None
    assert (found["format"], found["version"], found["mlm"]["limit"]) == ("unmask-evaluation", 1, None)
    gap = found["mlm"]["gap"]
    assert gap["low"] > 0.3
    difference = found["mlm"]["unigram"]["masked"]["value"] - found["mlm"]["cross_entropy"]["masked"]["value"]
    assert gap["value"] == pytest.approx(difference)


def test_metrics_tell_the_three_categories_apart(run: RunDirectory) -> None:
    lines = run.metrics()
    train = [line for line in lines if line["kind"] == "train"]
    watched = [line for line in lines if line["kind"] == "evaluation"]
    assert [line["step"] for line in watched][:2] == [0, 20]
    assert watched[-1]["step"] == train[-1]["step"] == 240
    assert watched[-1]["masked"] < watched[0]["masked"] - 1
    assert watched[-1]["kept"] < watched[-1]["masked"] < watched[-1]["random"] + 1
    assert train[-1]["tokens"] > 240 * 8 * 50
    assert all(0 <= line["loader_wait"] <= 1 for line in train)


def test_evaluate_says_the_same_as_the_run_and_json_is_one_object(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run.path), "--json"]) == 0
    found, stored = json.loads(capsys.readouterr().out), run.read("evaluation.json")
    assert stored is not None
    assert found["frozen"] == stored["frozen"]
    assert found["mlm"] == stored["mlm"]
    assert main(["evaluate", str(run.path), "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frozen"]["fingerprint"] != stored["frozen"]["fingerprint"]


def test_fill_finds_what_the_text_makes_likely(model: Predictor) -> None:
    text = "The [MASK] array returns the large matrix in memory 7 times."
    [answer] = model.fill([text], top_k=3)
    assert set(answer[0]) == {"score", "token", "token_str", "sequence"}
    assert answer[0]["score"] >= answer[1]["score"] >= answer[2]["score"]
    assert answer[0]["token_str"] in QUALITIES
    assert answer[0]["sequence"] == text.replace("[MASK]", answer[0]["token_str"])
    [chosen] = model.fill([text], targets=["times", "large"])
    assert [choice["token_str"] for choice in chosen] == ["large", "times"]
    assert chosen[0]["score"] > 10 * chosen[1]["score"]


def test_fill_with_several_masks_and_several_lengths_is_the_same_alone_and_together(model: Predictor) -> None:
    texts = ["The [MASK] array copies the [MASK] parser in place.", "The [MASK].", "In silence [MASK] times " * 5]
    together, alone = model.fill(texts), [model.fill([text])[0] for text in texts]
    assert [len(together[0]), len(together[2])] == [2, 5]
    for one, other in zip(np.ravel(together[0]), np.ravel(alone[0]), strict=True):
        assert one["token"] == other["token"]
        assert one["score"] == pytest.approx(other["score"], rel=1e-4)
    assert together[1][0]["token"] == alone[1][0]["token"]


def test_scores_prefer_order_to_disorder_and_agree_with_fill(model: Predictor) -> None:
    good, bad = "The small array returns the large matrix in memory.", "memory matrix The returns in small the array."
    scored = model.score([good, bad, ""])
    assert scored[0]["score"] / scored[0]["tokens"] > scored[1]["score"] / scored[1]["tokens"]
    assert scored[2] == {"score": 0.0, "tokens": 0, "bits_per_character": 0.0}
    [alone] = model.score([good])
    assert alone["score"] == pytest.approx(scored[0]["score"], rel=1e-4)
    [one] = model.score(["array"])
    [filled] = model.fill(["[MASK]"], targets=["array"])
    assert one["tokens"] == 1
    assert one["score"] == pytest.approx(float(np.log(filled[0]["score"])), abs=1e-3)


def test_hiding_the_rest_of_a_word_never_flatters_it(model: Predictor) -> None:
    [plain], [left_to_right] = model.score(["arrayarray"]), model.score(["arrayarray"], method="word_l2r")
    assert plain["tokens"] > 1
    assert left_to_right["score"] != plain["score"]
    [one], [same] = model.score(["array"]), model.score(["array"], method="word_l2r")
    assert one["score"] == pytest.approx(same["score"], abs=1e-5)


def test_embeddings_are_the_mean_of_a_texts_own_states(model: Predictor) -> None:
    texts = ["The small array.", "The small array copies the parser in memory 7 times.", "The small array."]
    vectors = model.embed(texts)
    assert vectors.shape == (3, 64)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors[0], vectors[2], atol=1e-5)
    assert np.allclose(vectors[1], model.embed([texts[1]])[0], atol=1e-4)
    assert model.embed([]).shape == (0, 64)


def test_targets_of_one_token_and_of_several_are_ranked_together(model: Predictor) -> None:
    text, targets = "The [MASK] array.", ["small", "qqq", "parser"]
    [found] = model.fill([text], targets=targets)
    assert len(found) == 3
    chances = {one["token_str"].replace(" ", "").replace("#", ""): one["score"] for one in found}
    single = {one["token_str"]: one["score"] for one in model.fill([text], top_k=300)[0]}
    assert chances["small"] == pytest.approx(single["small"], rel=1e-5)
    [several] = [one for one in found if len(one.get("tokens", [])) > 1]
    assert several["sequence"].replace(" ", "").startswith("Theqqqarray")
    first, second, third = model.fill(["The [MASK] [MASK] [MASK] array."], top_k=300)[0]
    assert 0 < several["score"] < {one["token"]: one["score"] for one in first}[several["tokens"][0]]
    assert len(second) == len(third) == len(first)
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)


def test_text_that_only_says_mask_is_ordinary_outside_fill(model: Predictor) -> None:
    assert model.score(["say [MASK] now"])[0]["tokens"] > 3


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda model: model.fill(["no gap here"]), r"text 1 has no \[MASK\]"),
        (lambda model: model.fill(["a [MASK]"], targets=[""]), "target '' can not be written"),
        (lambda model: model.fill("a [MASK]"), "texts must be a list of texts"),
        (lambda model: model.score(["a"], method="ppl"), "method must be one of pll, word_l2r, got 'ppl'"),
        (lambda model: model.embed(["a " * 9000]), "text 1 has 9000 tokens; the model reads 8190"),
    ],
)
def test_what_can_not_be_answered_is_said_in_a_line(model: Predictor, call: object, line: str) -> None:
    with pytest.raises(ModelError, match=line):
        call(model)  # type: ignore[operator]  # one of the lambdas above


def test_the_commands_that_use_a_model(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: Predictor
) -> None:
    assert main(["fill", str(run.path), "The [MASK] array.", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["fills"]) == 5
    texts = tmp_path / "texts.txt"
    texts.write_text("The small array.\nThe large parser copies.\n")
    assert main(["score", str(run.path), str(texts)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["The small array.", "The large parser copies."]
    assert main(["embed", str(run.path), str(texts), "--out", str(tmp_path / "v.npy"), "--quiet"]) == 0
    assert np.allclose(np.load(tmp_path / "v.npy"), model.embed([line["text"] for line in lines]), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--resume", "{run}"],
            "is finished (240 steps); make it longer with --budget +10m, or start a new one with --out",
        ),
        (["--corpus", "{corpus}", "--out", "{run}"], "holds a run already; go on with it by --resume"),
        (["--corpus", "{corpus}"], "give --corpus DIR|SOURCE and --out RUN"),
        (["--corpus", "{corpus}", "--out", "{new}", "--budget", "soon"], "budget must be a number above 0"),
        (["--corpus", "{corpus}", "--out", "{new}", "model.hiden_size=3"], "did you mean 'hidden_size'?"),
        (["--corpus", "{corpus}", "--out", "{new}", "a.yaml", "b.yaml"], "one recipe at most"),
        (["--corpus", "{new}", "--out", "{new}"], "{new}"),
        (["--corpus", "{corpus}", "--out", "{new}", "model.preset=bert-tiny", "training.row_length=600"], "600"),
        (["--corpus", "{corpus}", "--out", "{new}", "tokenizer.vocab_size=999"], "tokenizer.vocab_size is 999"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    run: RunDirectory,
    made_corpus: Corpus,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    line: str,
) -> None:
    names = {"run": str(run.path), "corpus": str(made_corpus.directory), "new": str(tmp_path / "new")}
    assert main(["pretrain", *(word.format(**names) for word in words), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert line.format(**names) in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_the_seed_of_the_command_is_the_seed_of_training(made_corpus: Corpus, tmp_path: Path) -> None:
    words = ["--corpus", str(made_corpus.directory), "--budget", "2steps", "--quiet", *SMALL]
    assert main(["pretrain", *words, "--out", str(tmp_path / "one"), "--seed", "7"]) == 0
    assert main(["pretrain", *words, "--out", str(tmp_path / "two"), "training.seed=7"]) == 0
    one, two = (RunDirectory(tmp_path / name).checkpoints()[-1] / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert RunDirectory(tmp_path / "one").settings["training"]["seed"] == 7


def test_an_engine_that_is_not_there_is_refused(run: RunDirectory) -> None:
    with pytest.raises(ModelError, match="holds no onnx/model.onnx; make one: unmask export"):
        unmask.load(run.path, engine="onnx")


def test_a_loss_that_is_not_finite_ends_the_run_in_a_line(
    made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["--corpus", str(made_corpus.directory), "--out", str(out), "--budget", "50steps", "--quiet"]
    assert main(["pretrain", *words, *SMALL, "optimizer.learning_rate=1e30", "optimizer.clip=0"]) == 2
    said = capsys.readouterr().err
    assert "the loss is not finite at step" in said
    assert "optimizer.learning_rate" in said
    assert RunDirectory(out).state["status"] == "failed"


def test_another_corpus_on_resume_is_refused(
    run: RunDirectory, made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["--corpus", str(made_corpus.directory), "--out", str(out), "--budget", "2steps", "--quiet", *SMALL]
    assert main(["pretrain", *words]) == 0
    interrupted = RunDirectory(out)
    interrupted.update(status="running", corpus={**interrupted.state["corpus"], "fingerprint": "another"})
    assert main(["pretrain", "--resume", str(out)]) == 2
    assert "is not the corpus that" in capsys.readouterr().err
