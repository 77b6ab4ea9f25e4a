"""Fine-tuning from a real small run: all four tasks, controls, curves, resumption, and what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.made_text import PLACES, QUALITIES, SUBJECTS, VERBS, sentences

import unmask
from unmask.cli.main import main
from unmask.corpus.directory import Corpus
from unmask.errors import DataError, ModelError, RunError, SettingError, Stopped, UserError
from unmask.finetuning import finish
from unmask.finetuning.cells import Cells
from unmask.finetuning.fit import Job, job_of, planned
from unmask.finetuning.settings import FinetuneSettings, rate_for, scales_of, steps_for
from unmask.inference.resolve import resolve
from unmask.inference.task_predictor import TaskPredictor
from unmask.runs import RunDirectory
from unmask.tasks.formats import read_examples
from unmask.training import loop
from unmask.training.optim import make_optimizer

FAST = {
    "training.threads": 1,
    "training.epochs": 3,
    "training.batch_rows": 16,
    "training.eval_every": 10,
    "training.dtype": "float32",
}


@pytest.fixture(scope="module")
def base(made_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pre-trained run of two small layers."""
    out = tmp_path_factory.mktemp("base") / "run"
    shape = {"preset": "tiny", "hidden_size": 64, "num_attention_heads": 2}
    settings = {"model": shape, "training.row_length": 32, "training.threads": 1}
    unmask.pretrain(made_corpus, out, settings=settings, budget="60steps", progress=False)
    return out


def rows_of(task: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Return rows with something to learn: the subject decides the class, nouns are entities, places are answers."""
    found: list[dict[str, Any]] = []
    for number, text in enumerate(sentences(count, seed)):
        words = text.rstrip(".").split()
        subject, place = words[2], words[words.index("in") + 1]
        if task == "classify":
            found.append({"text": text, "label": "data" if SUBJECTS.index(subject) < 5 else "flow"})
        elif task == "tag":
            tags = ["B-thing" if word in SUBJECTS else "B-act" if word in VERBS else "O" for word in words]
            found.append({"tokens": words, "tags": tags})
        elif task == "answer":
            answers = [] if number % 4 == 0 else [{"text": place, "answer_start": text.index(f" {place} ") + 1}]
            asked = "Where does it happen?" if answers else "Who wrote this?"
            found.append({"question": asked, "context": text, "answers": answers})
        else:
            found.append({"sentence1": text, "sentence2": f"It is about the {subject}.", "score": 1.0 - number % 2})
            if number % 2:
                found[-1]["sentence2"] = f"It is about the {SUBJECTS[(SUBJECTS.index(subject) + 5) % 10]}."
    return found


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Path]]:
    folder = tmp_path_factory.mktemp("data")

    def of(task: str) -> dict[str, Path]:
        counts = {"train": 160, "dev": 60, "test": 60}
        return {
            name: write(folder / f"{task}-{name}.jsonl", rows_of(task, count, 10 + place))
            for place, (name, count) in enumerate(counts.items())
        }

    return of


@pytest.mark.parametrize(("task", "figure", "least"), [
    ("classify", "accuracy", 0.8), ("tag", "entity_f1", 0.8), ("answer", "f1", 0.25), ("embed", "spearman", 0.0),
])  # fmt: skip
def test_every_task_is_learned_and_answers_as_it_was_measured(
    base: Path, data: Callable[[str], dict[str, Path]], tmp_path: Path, task: str, figure: str, least: float,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    files = data(task)
    run = unmask.finetune(
        base, task, files["train"], files["dev"], tmp_path / "run", test=files["test"],
        settings={**FAST, "training.epochs": 8, "optimizer.learning_rate": 2e-3}, controls=False, progress=False,
    )  # fmt: skip
    found = run.evaluation["task"]
    assert (found["headline"], found["held_out"]) == (figure, "test")
    reached = found["figures"][figure]
    assert reached["low"] <= reached["value"] <= reached["high"]
    assert reached["value"] >= least
    assert run.state["status"] == "finished"
    assert "held-out examples" in (run.path / "report.html").read_text()
    model = unmask.load(run)
    assert isinstance(model, TaskPredictor)
    assert main(["predict", str(run.path), str(files["test"])]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 60
    if task == "classify":
        right = np.mean([line["prediction"] == line["label"] for line in lines])
        assert right == pytest.approx(reached["value"])
    elif task == "answer":
        assert all(line["context"][line["start"] : line["end"]] == line["prediction"] for line in lines)
    elif task == "tag":
        assert all(len(line["prediction"]) == len(line["tokens"]) for line in lines)
    else:
        assert all(-1.001 <= line["prediction"] <= 1.001 for line in lines)


def test_controls_and_floors_stand_beside_the_model(
    base: Path, data: Callable[[str], dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = data("classify")
    words = [f"{key}={value}" for key, value in FAST.items()]
    out = tmp_path / "run"
    code = main([
        "finetune", str(base), "--task", "classify", "--train", str(files["train"]), "--dev", str(files["dev"]),
        "--out", str(out), *words, "training.epochs=8", "optimizer.learning_rate=2e-3", "--quiet", "--json",
    ])  # fmt: skip
    assert code == 0
    found = json.loads(capsys.readouterr().out)["task"]
    assert set(found["controls"]) == {"scratch", "shuffled"}
    assert set(found["floors"]) == {"majority", "tfidf"}
    assert found["controls"]["shuffled"]["value"] < 0.75  # chance is a half: the interval of 60 examples
    assert found["floors"]["tfidf"]["accuracy"]["value"] > 0.9
    assert found["floors"]["majority"]["accuracy"]["value"] == pytest.approx(0.5, abs=0.15)
    assert found["probe"]["accuracy"]["value"] > 0.5
    assert found["trust"]["fitted"]["temperature"] > 0
    assert found["held_out"] == "development"
    assert main(["runs", "show", str(out)]) == 0
    assert "scratch (control)" in capsys.readouterr().out
    assert not list((out / "controls").glob("*.run"))


def small_job(base: Path, files: dict[str, Path], task: Any, **settings: Any) -> Job:
    found = resolve(base)
    chosen = FinetuneSettings.parse({"training": {"dtype": "float32", "epochs": 2, "threads": 1, **settings}})
    train, development = (read_examples(task, files[name]) for name in ("train", "dev"))
    return job_of(found, task, train, development, chosen)


@pytest.mark.parametrize("task", ["classify", "tag", "answer", "embed"])
def test_micro_batches_change_no_gradient(base: Path, data: Callable[[str], dict[str, Path]], task: str) -> None:
    gradients = []
    for size in (0, 3):
        plan = planned(small_job(base, data(task), task, micro_batch_rows=size))
        loop.train_step(plan, make_optimizer(plan.model, plan.optimizer, plan.scales), plan.make_batches(1), 1)
        gradients.append({name: value.grad for name, value in plan.model.named_parameters() if value.grad is not None})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=2e-6), name


def test_a_run_that_is_stopped_and_resumed_ends_bit_equal(
    base: Path, data: Callable[[str], dict[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, step = data("tag"), loop.train_step

    def go(name: str) -> RunDirectory:
        return unmask.finetune(
            base, "tag", files["train"], files["dev"], tmp_path / name, settings=FAST, controls=False, progress=False
        )

    whole = go("whole")

    def interrupted(plan: Any, optimizer: Any, batches: Any, number: int) -> Any:
        if number == 13:
            raise KeyboardInterrupt
        return step(plan, optimizer, batches, number)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", interrupted)
        with pytest.raises((Stopped, KeyboardInterrupt)):
            go("parts")
    parts = unmask.finetune(resume=tmp_path / "parts", progress=False)
    for name in ("model.safetensors", "optimizer.safetensors"):
        one, other = (load_file(run.last_good_checkpoint()[0].path / name) for run in (whole, parts))  # type: ignore[union-attr]
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert whole.evaluation["task"]["figures"] == parts.evaluation["task"]["figures"]
    write(files["train"], rows_of("tag", 160, 99))
    parts.update(status="stopped")
    with pytest.raises(RunError, match="was started on other train examples"):
        unmask.finetune(resume=tmp_path / "parts", progress=False)
    data("tag")


def test_a_curve_is_paired_resumable_and_says_what_it_is_worth(
    base: Path,
    data: Callable[[str], dict[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files, made = data("classify"), []
    make = Cells.make

    def counted(self: Cells, name: str, *rest: Any) -> Any:
        if self.get(name) is None:
            made.append(name)
            if len(made) == 3 and "stopped" not in made:
                made.append("stopped")
                raise KeyboardInterrupt
        return make(self, name, *rest)

    monkeypatch.setattr(Cells, "make", counted)
    settings = {**FAST, "training.epochs": 2}
    with pytest.raises(Stopped, match=r"unmask finetune --resume"):
        unmask.finetune(
            base, "classify", files["train"], files["dev"], tmp_path / "curve", settings=settings, labels="20,all",
            seeds=2, progress=False,
        )  # fmt: skip
    assert main(["runs", "list", str(tmp_path)]) == 0
    assert f"unmask finetune --resume {tmp_path / 'curve'}" in capsys.readouterr().err
    run = unmask.finetune(resume=tmp_path / "curve", progress=False)
    assert len(made) == 8 + 2  # the third is made again, and nothing else
    found = run.evaluation["curve"]
    assert found["counts"] == [20, 160]
    assert set(found["arms"]) == {"pretrained", "scratch"}
    assert len(found["arms"]["scratch"]["20"]["seeds"]) == 2
    few = found["arms"]["scratch"]["20"]
    assert (few["low"], few["high"]) == (min(few["seeds"]), max(few["seeds"]))  # two seeds carry no interval
    assert few["method"] == "range of 2 seeds, no interval"
    assert set(found["differences"]) == {"pretrained - scratch at 20", "pretrained - scratch at 160"}
    assert found["floors"]["tfidf"]["160"] > 0.9
    assert "by the number of labels" in (run.path / "report.html").read_text()
    assert main(["runs", "show", str(run.path)]) == 0
    assert main(["runs", "list", str(run.path.parent)]) == 0
    assert "pretrained - scratch at 20" in capsys.readouterr().out
    assert main(["fill", str(run.path), "a [MASK]"]) == 2


def test_examples_of_a_draw_are_nested_and_the_same_for_all_arms(
    base: Path, data: Callable[[str], dict[str, Path]]
) -> None:
    from unmask.finetuning.curve import drawn

    job = small_job(base, data("classify"), "classify")
    few, many, again = (drawn(job, count, 4).train for count in (20, 60, 20))
    assert {example.where for example in few} < {example.where for example in many}
    assert few == again
    assert drawn(job, 20, 5).train != few


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a", "label": "x"}] * 3, "every training example has the label 'x'"),
        ([{"text": "a", "label": "x"}], "is the only training example; give at least two"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "z"}], "does not occur in the training examples"),
        ([{"text": "a", "label": "x"}, {"text": " ", "label": "y"}], ":2: text is empty"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": ""}], ":2: label is empty"),
        ([{"text": "a", "labels": "x"}], "has no field label; did you mean 'labels'?"),
    ],
)
def test_examples_that_can_not_be_used_get_one_line(
    base: Path, data: Callable[[str], dict[str, Path]], tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    train = write(tmp_path / "train.jsonl", rows)
    with pytest.raises(DataError) as caught:
        unmask.finetune(base, "classify", train, data("classify")["dev"], tmp_path / "run", progress=False)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def tagger(
    base: Path, data: Callable[[str], dict[str, Path]], tmp_path_factory: pytest.TempPathFactory
) -> RunDirectory:
    """Return a finished tagger."""
    files, out = data("tag"), tmp_path_factory.mktemp("tagger") / "run"
    settings = {**FAST, "training.epochs": 1}
    return unmask.finetune(
        base, "tag", files["train"], files["dev"], out, settings=settings, controls=False, progress=False
    )


def test_a_model_that_can_not_be_used_gets_one_line(
    base: Path, data: Callable[[str], dict[str, Path]], tagger: RunDirectory, tmp_path: Path
) -> None:
    files, run = data("tag"), tagger
    refused: list[tuple[type[UserError], str, Callable[[], object]]] = [
        (ModelError, "was fine-tuned to tag", lambda: unmask.finetune(
            run.path, "tag", files["train"], files["dev"], tmp_path / "b", progress=False)),
        (ModelError, "was fine-tuned to tag, not to classify", lambda: unmask.load(run).classify(["a"])),
        (SettingError, "task must be one of", lambda: unmask.finetune(
            base, "summarise", files["train"], files["dev"], tmp_path / "b", progress=False)),
        (SettingError, "labels must be counts from 2 to 160, or all, got '900'", lambda: unmask.finetune(
            base, "tag", files["train"], files["dev"], tmp_path / "b", labels="900", progress=False)),
        (RunError, "is finished", lambda: unmask.finetune(resume=run.path, progress=False)),
        (SettingError, "has its own task", lambda: unmask.finetune(task="tag", resume=run.path, progress=False)),
    ]  # fmt: skip
    for kind, message, call in refused:
        with pytest.raises(kind, match=message):
            call()
    assert main(["fill", str(run.path), "a [MASK]"]) == 2
    assert main(["predict", str(base), str(files["test"])]) == 2


def test_defaults_follow_size_and_width() -> None:
    assert rate_for(768) == pytest.approx(5e-5)
    assert rate_for(256) == pytest.approx(4.5e-4)
    assert rate_for(64) == 1e-3
    training = FinetuneSettings().training
    assert steps_for(50, training) == 200
    assert steps_for(500, training) == round(20 * 500 / 16)
    assert steps_for(50, FinetuneSettings.parse({"training": {"epochs": 2}}).training) == 6
    assert steps_for(100_000, training) == round(3 * 100_000 / 16)


def test_layers_learn_slower_the_lower_they_stand(base: Path, data: Callable[[str], dict[str, Path]]) -> None:
    plan = planned(small_job(base, data("tag"), "tag"))
    scales = scales_of(plan.model, 2, 0.5)
    assert scales["model.embeddings.tok_embeddings.weight"] == 0.125
    assert scales["model.layers.0.attn.Wqkv.weight"] == 0.25
    assert scales["model.layers.1.attn.Wqkv.weight"] == 0.5
    assert scales["task.tag.classifier.weight"] == 1


def test_rare_labels_weigh_more_where_it_was_asked(base: Path, tmp_path: Path) -> None:
    rows = [
        {"text": f"the {QUALITIES[n % 10]} thing in {PLACES[n % 9]}", "label": "rare" if n % 8 == 0 else "common"}
        for n in range(80)
    ]
    random.Random(0).shuffle(rows)
    train = write(tmp_path / "train.jsonl", rows)
    job = small_job(base, {"train": train, "dev": train}, "classify")
    balanced = job.settings.task.model_copy(update={"class_weights": "balanced"})
    job = replace(job, settings=job.settings.model_copy(update={"task": balanced}))
    [batch] = planned(job).make_batches(0)
    assert batch.weights is not None
    asked = batch.targets[: batch.num_asked]
    by_label = {
        label: set(batch.weights[: batch.num_asked][asked == place].tolist())
        for place, label in enumerate(job.block.labels)
    }
    assert {label: next(iter(weights)) for label, weights in by_label.items()} == {
        "common": pytest.approx(80 / (2 * 70)),
        "rare": pytest.approx(80 / (2 * 10)),
    }
    assert batch.weights[batch.num_asked :].sum() == 0


def quick(base: Path, task: str, rows: list[dict[str, Any]], out: Path, **settings: Any) -> RunDirectory:
    train, dev = (
        write(out.with_name(f"{out.name}-{name}.jsonl"), rows[part::2]) for part, name in enumerate(("a", "b"))
    )
    chosen = {**FAST, "training.epochs": 10, "optimizer.learning_rate": 2e-3, **settings}
    return unmask.finetune(base, task, train, dev, out, settings=chosen, controls=False, progress=False)


def test_a_text_may_have_several_labels_or_none(base: Path, tmp_path: Path) -> None:
    rows = []
    for row in rows_of("classify", 240, 3):
        labels = [word for word in ("array", "kernel", "memory") if f" {word}" in row["text"]]
        rows.append({"text": row["text"], "label": labels})
    run = quick(base, "classify", rows, tmp_path / "run", **{"task.multi_label": True})
    found = run.evaluation["task"]
    assert set(found["figures"]) == {"accuracy", "macro_f1", "micro_f1"}
    assert found["floors"]["tfidf"]["micro_f1"]["value"] > 0.7
    assert "probe" not in found
    model = unmask.load(run)
    texts = [row["text"] for row in rows]
    chance = np.array([{one["label"]: one["score"] for one in answer}["array"] for answer in model.classify(texts)])
    says = np.array(["array" in row["label"] for row in rows])
    assert chance[says].mean() > chance[~says].mean() + 0.05
    assert not np.allclose([sum(one["score"] for one in answer) for answer in model.classify(texts[:9])], 1, atol=0.01)


def test_two_texts_are_read_as_a_pair(base: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    rows = []
    for text in sentences(300, 5):
        subject = text.split()[2]
        same = chance.random() < 0.5
        asked = subject if same else SUBJECTS[(SUBJECTS.index(subject) + 1 + chance.randrange(8)) % 10]
        rows.append({"text": f"The {subject}", "text_pair": f"the {asked}", "label": "same" if same else "other"})
    run = quick(base, "classify", rows, tmp_path / "run", **{"training.epochs": 3})
    model = unmask.load(run)
    alone, paired = model.classify(["The array"]), model.classify(["The array"], ["the array"])
    assert alone[0][0]["score"] != paired[0][0]["score"]
    assert run.evaluation["task"]["figures"]["accuracy"]["value"] > 0.4


def test_pairs_without_scores_are_contrasted(base: Path, tmp_path: Path) -> None:
    rows = [
        {"sentence1": text, "sentence2": f"about {text.split()[2]} and {text.split()[-2]}"}
        for text in sentences(200, 6)
    ]
    run = quick(base, "embed", rows, tmp_path / "run")
    found = run.evaluation["task"]
    assert found["headline"] == "accuracy"
    assert found["figures"]["accuracy"]["value"] > 0.05  # by chance one in a hundred
    vectors = unmask.load(run).embed([row["sentence1"] for row in rows[:4]])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_it_abstains_where_it_is_less_sure_than_the_risk_asks(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of("classify", 400, 8)
    chance = random.Random(1)
    for row in rows:
        if any(f" in {place} " in row["text"] for place in PLACES[:4]):  # what these say is open
            row["label"] = chance.choice(("data", "flow"))
    run = quick(base, "classify", rows, tmp_path / "run", **{"task.risk": 0.1, "training.epochs": 4})
    assert 0.5 < run.state["task"]["threshold"] <= 1
    assert main(["predict", str(run.path), str(tmp_path / "run-b.jsonl")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line for line in lines if line["prediction"] is not None]
    assert 0 < len(told) < len(lines)
    assert all(line["score"] >= run.state["task"]["threshold"] for line in told)
    assert np.mean([line["prediction"] != line["label"] for line in told]) <= 0.1


def test_texts_that_hold_next_to_nothing_have_an_answer(tagger: RunDirectory) -> None:
    model = unmask.load(tagger)
    assert model.tag([]) == []
    assert model.tag(["", " \n", "\u200d"])[:2] == [[], []]
    long = "The small array returns the large array in order. " * 400
    assert len(long) == 20_000
    for entity in model.tag([long])[0]:
        assert long[entity["start"] : entity["end"]] == entity["word"]


def test_development_figures_are_those_of_the_fitted_model(
    base: Path, data: Callable[[str], dict[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "fitted_block", lambda block, *_: replace(block, null_margin=1e9))  # never an answer
    files = data("answer")
    run = unmask.finetune(
        base, "answer", files["train"], files["dev"], tmp_path / "run", controls=False, progress=False,
        settings={**FAST, "training.epochs": 8, "optimizer.learning_rate": 2e-3},
    )  # fmt: skip
    found = run.evaluation["task"]
    assert found["figures"]["f1"]["value"] == found["floors"]["no_answer"]["f1"]["value"]
    assert found["development"] == found["figures"]  # the same examples, the same margin


def test_a_risk_is_not_taken_for_the_threshold_of_several_labels(base: Path, tmp_path: Path) -> None:
    rows = [{**row, "label": [row["label"]]} for row in rows_of("classify", 80, 4)]
    settings = {"task.multi_label": True, "task.risk": 0.1, "training.epochs": 1}
    assert quick(base, "classify", rows, tmp_path / "run", **settings).state["task"]["threshold"] is None


def test_contrasted_pairs_refuse_micro_batches(base: Path, tmp_path: Path) -> None:
    rows = [{"sentence1": text, "sentence2": text[:20]} for text in sentences(40, 6)]
    with pytest.raises(SettingError, match=r"training\.micro_batch_rows must be 0 where pairs have no scores"):
        quick(base, "embed", rows, tmp_path / "run", **{"training.micro_batch_rows": 4})


def test_decay_rates_of_the_moments_have_bounds() -> None:
    with pytest.raises(SettingError, match=r"optimizer\.betas"):
        FinetuneSettings.parse({"optimizer": {"betas": [2.0, 0.9]}})
