"""The suites of unmask evaluate, from the command to its JSON and page, on a model of three seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.made_text import SUBJECTS, VERBS, sentences

import unmask
from unmask.cli.main import main
from unmask.corpus.directory import Corpus
from unmask.evaluation.calibration import calibration
from unmask.evaluation.masked import freeze, score_frozen
from unmask.evaluation.pieces import plain_reader
from unmask.evaluation.robustness import MaskedRobustness, asked_words
from unmask.inference.resolve import resolve
from unmask.inference.torch_engine import read_model
from unmask.runs import RunDirectory
from unmask.tasks.block import TaskName

SMALL = ["model.preset=tiny", "model.hidden_size=64", "training.row_length=64", "training.batch_rows=8"]


@pytest.fixture(scope="module")
def run(made_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = [*SMALL, "training.threads=1", "optimizer.learning_rate=5e-3", "schedule.warmup=0.2"]
    return unmask.pretrain(made_corpus, out, settings=settings, budget="200steps", progress=False)


def evaluated(capsys: pytest.CaptureFixture[str], run: RunDirectory, *words: str) -> dict[str, Any]:
    assert main(["evaluate", str(run.path), "--quiet", "--json", *words]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_several_suites_stand_beside_mlm_and_on_the_page(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "pages" / "suites.html"
    names = ["mlm", "likelihood", "calibration", "robustness"]
    words = [word for name in names for word in ("--suite", name)]
    found = evaluated(capsys, run, *words, "--documents", "12", "--report", str(page))
    assert {*names, "format", "version", "model", "frozen"} == found.keys()
    assert found["likelihood"]["documents"] == 12
    assert 0 < found["likelihood"]["pll"]["bits_per_character"]["value"] < 5
    assert found["robustness"]["kinds"].keys() == {"typos", "case", "whitespace", "accents", "homoglyphs"}
    for words_on_page in ("Pseudo-log-likelihood", "Errors in the text", "Calibration error", "first guess"):
        assert words_on_page in page.read_text()
    assert main(["evaluate", str(run.path), "--suite", "likelihood", "--documents", "3", "--quiet"]) == 0
    assert "bits a character" in capsys.readouterr().out


def test_errors_cost_the_model_and_none_cost_nothing(run: RunDirectory) -> None:
    found = resolve(run.path)
    measure = MaskedRobustness(read_model(found), plain_reader(found.tokenizer), found.vocabulary, 128)
    documents = [[sentence] for sentence in sentences(60, seed=9)]
    kinds = measure.measure(documents, lambda done, total: None)["kinds"]
    for kind in ("typos", "case", "homoglyphs"):
        slope = kinds[kind]["slope"]
        assert slope["value"] > 0, kind
        assert kinds[kind]["lost_words"] == 0, kind
        assert kinds[kind]["at"]["0.1"]["value"] > kinds[kind]["clean"]["value"], kind
    assert len({of["clean"]["value"] for of in kinds.values()}) == 1


def test_the_loss_at_hidden_words_is_that_of_a_slow_twin(run: RunDirectory) -> None:
    found = resolve(run.path)
    model, reader = read_model(found), plain_reader(found.tokenizer)
    measure = MaskedRobustness(model, reader, found.vocabulary, 128)
    documents = [[sentence] for sentence in sentences(20, seed=10)]
    asked = asked_words(documents)
    losses = measure._losses(asked, None, 0.0)
    predictor, number = unmask.load(run.path), 0
    assert isinstance(predictor, unmask.Predictor)
    for one in asked:
        encoding = reader.encode(one.text, add_special_tokens=False)
        ids, truth, owner = list(encoding.ids), [], []
        for word, (start, end) in enumerate(one.words):
            for place, (first, last) in enumerate(encoding.offsets):
                if first >= start and last <= end:
                    truth.append((place, ids[place]))
                    owner.append(word)
        window = np.array([found.vocabulary.cls_id, *ids, found.vocabulary.sep_id], np.int32)
        window[[place + 1 for place, _ in truth]] = found.vocabulary.mask_id
        logits = predictor.engine.logits([window] * len(truth), [place + 1 for place, _ in truth])
        logs = torch.log_softmax(torch.from_numpy(logits).double(), 1).numpy()
        expected = np.zeros(len(one.words))
        np.add.at(expected, owner, [-logs[row, token] for row, (_, token) in enumerate(truth)])
        assert np.allclose(losses[number : number + len(one.words), 0], expected, atol=1e-4)
        assert losses[number : number + len(one.words), 1].tolist() == np.bincount(owner).tolist()
        number += len(one.words)
    assert number == len(losses)


def test_calibration_agrees_with_the_frozen_scores(run: RunDirectory, made_corpus: Corpus) -> None:
    model, frozen = read_model(resolve(run.path)), freeze(made_corpus, 50)
    found, scores = calibration(model, frozen), score_frozen(model, frozen)
    masked = scores.kind == 0
    assert found["positions"] == masked.sum()
    assert found["accuracy"]["value"] == pytest.approx((scores.rank[masked] == 0).mean(), abs=0.01)
    assert 0 < found["confidence"]["value"] < 1
    assert found["brier"]["value"] > (1 - np.exp(-scores.loss[masked])).mean() ** 2
    assert sum(part["count"] for part in found["bins"]) == masked.sum()


def pairs_file(folder: Path) -> Path:
    """Write pairs in which the subject has a verb that belongs to it, or one that never follows it."""
    rows = [
        {
            "sentence_good": f"The small {SUBJECTS[n]} {VERBS[n]} the large array in memory 7 times.",
            "sentence_bad": f"The small {SUBJECTS[n]} {VERBS[(n + 5) % 10]} the large array in memory 7 times.",
            "UID": f"verb_{n % 2}",
        }
        for n in range(10)
    ]
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_minimal_pairs_beside_their_floors(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(pairs_file(tmp_path))
    found = evaluated(capsys, run, "--suite", "minimal-pairs", "--file", path)["minimal_pairs"]
    accuracy = {name: one["value"] for name, one in found["accuracy"].items()}
    assert accuracy["trigrams"] == 1.0  # it has seen which verb follows which subject
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    good, bad = (unmask.load(run.path).score([row[name] for row in rows]) for name in ("sentence_good", "sentence_bad"))
    assert accuracy["pll"] == np.mean([one["score"] > other["score"] for one, other in zip(good, bad, strict=True)])
    assert found["by_paradigm"]["verb_1"]["pairs"] == 5
    assert main(["evaluate", str(run.path), "--suite", "minimal-pairs", "--file", path, "--quiet"]) == 0
    assert "trigrams" in capsys.readouterr().out


def test_canaries_go_from_text_to_exposure(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(sentences(700, seed=2)))
    out = tmp_path / "planted"
    assert main(["corpus", "canaries", str(text), "--out", str(out), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["copies"] == 8 * 63
    lines = [json.loads(line) for line in (out / "canaries.jsonl").read_text().splitlines()]
    short = [line for n, line in enumerate(lines) if line["role"] != "reference" or n % 10 == 0]
    (out / "few.jsonl").write_text("".join(json.dumps(line) + "\n" for line in short))
    built = unmask.build_corpus(
        out / "text.jsonl", tmp_path / "corpus", settings=["corpus.near_duplicates=1"], progress=False
    )
    held_out = " ".join(record["text"] for split in ("validation", "test") for record in built.texts(split))
    assert not any(line["text"] in held_out for line in lines)
    found = evaluated(capsys, run, "--suite", "memorisation", "--file", str(out / "few.jsonl"))["memorisation"]
    assert found["exposure"].keys() == {"0", "1", "2", "4", "8", "16", "32"}
    assert found["control"]["uniform_p"] > 1e-4  # this model has never seen any of them


def examples_of(task: TaskName, count: int, seed: int) -> list[dict[str, Any]]:
    """Return rows in which the subject decides the class, or subjects are what is tagged."""
    found: list[dict[str, Any]] = []
    for text in sentences(count, seed):
        words = text.split()
        if task == "classify":
            found.append({"text": text, "label": "data" if SUBJECTS.index(words[2]) < 5 else "flow"})
        else:
            found.append({"tokens": words, "tags": ["B-thing" if word in SUBJECTS else "O" for word in words]})
    return found


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_errors_in_the_examples_of_a_task_lower_its_figure(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: TaskName
) -> None:
    train, dev = tmp_path / "train.jsonl", tmp_path / "dev.jsonl"
    for path, count, seed in ((train, 200, 1), (dev, 60, 2)):
        path.write_text("".join(json.dumps(row) + "\n" for row in examples_of(task, count, seed)))
    fast = {"training.threads": 1, "training.epochs": 3, "training.batch_rows": 16}
    tuned = unmask.finetune(
        run.path, task, train, dev, tmp_path / "task", settings=fast, controls=False, progress=False
    )
    found = evaluated(capsys, tuned, "--suite", "robustness", "--file", str(dev))["robustness"]
    stored = tuned.read("evaluation.json")
    assert stored is not None
    assert found["documents"] == 60
    assert ("whitespace" in found["kinds"]) == (task == "classify")
    typos = found["kinds"]["typos"]
    assert typos["clean"]["value"] == pytest.approx(stored["task"]["figures"][found["figure"]]["value"])
    assert typos["clean"]["value"] > 0.8
    assert typos["slope"]["high"] < 0
    assert main(["evaluate", str(tuned.path), "--suite", "likelihood", "--file", str(dev), "--quiet"]) == 2
    assert "was fine-tuned to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--suite", "liklihood"],
            "calibration, robustness, memorisation, got 'liklihood'; did you mean 'likelihood'?",
        ),
        (["--suite", "minimal-pairs"], "--suite minimal-pairs needs --file FILE, jsonl with sentence_good"),
        (["--suite", "memorisation"], "--suite memorisation needs --file FILE, the canaries"),
        (["--file", "x.txt"], "--file is read by the suites likelihood"),
        (["--suite", "likelihood", "--file", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_a_mistake_gets_one_line(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert main(["evaluate", str(run.path), *words, "--quiet"]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
