"""``unmask diagnose`` and ``unmask gate`` over a real small run: lists, pages, exit codes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.made_text import SUBJECTS, sentences

import unmask
from unmask.cli.diagnose import diagnose
from unmask.cli.gate import gate
from unmask.cli.main import main
from unmask.corpus.directory import Corpus
from unmask.errors import DataError, ModelError, SettingError, UserError

FAST = {"training.threads": 1, "training.batch_rows": 16, "training.dtype": "float32", "training.epochs": 5,
        "optimizer.learning_rate": 2e-3}  # fmt: skip


def rows_of(count: int, seed: int) -> list[dict[str, Any]]:
    """Return rows whose label the subject decides, half of them from a shop and half from a desk."""
    found = []
    for number, text in enumerate(sentences(count, seed)):
        label = "data" if SUBJECTS.index(text.split()[2]) < 5 else "flow"
        found.append({"text": text, "label": label, "channel": ("shop", "desk")[number % 2]})
    return found


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("examples")
    counts = {"train": 240, "dev": 240, "traffic": 200}
    return {
        name: write(folder / f"{name}.jsonl", rows_of(count, 40 + place))
        for place, (name, count) in enumerate(counts.items())
    }


@pytest.fixture(scope="module")
def base(made_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "run"
    shape = {"preset": "tiny", "hidden_size": 64, "num_attention_heads": 2}
    settings = {"model": shape, "training.row_length": 32, "training.threads": 1}
    unmask.pretrain(made_corpus, out, settings=settings, budget="60steps", progress=False)
    return out


@pytest.fixture(scope="module")
def tuned(base: Path, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuned") / "run"
    unmask.finetune(base, "classify", files["train"], files["dev"], out, settings=FAST, controls=False, progress=False)
    return out


def test_a_diagnosis_says_what_it_lacks_and_writes_a_page(
    tuned: Path,
    files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = tmp_path / "pages" / "why.html"
    words = ["--dev", str(files["dev"]), "--traffic", str(files["traffic"]), "--report", str(page), "--quiet"]
    code = main(["diagnose", str(tuned), *words])
    said = capsys.readouterr()
    assert code == 1, said.err  # one word decides here, so a bag of words is as good
    assert "floor" in said.err
    assert "FAILS" in said.out
    assert max(len(line) for line in said.out.splitlines() if "unmask " not in line) <= 80  # commands are copied whole
    assert "Can the figure be believed?" in page.read_text()
    assert main(["diagnose", str(tuned), *words[:-3], "--quiet", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "unmask-diagnosis"
    states = {one["check"]: one["state"] for one in (*found["believed"], *found["raise"])}
    assert states["floor"] == "found"
    assert states["leakage"] == "clear"
    assert states["shift"] == "clear"
    assert states["forgetting"] == "skipped"
    assert found["believed"][0]["check"] == "floor"  # what fails stands first


def test_a_leak_is_found_and_stands_first(tuned: Path, files: dict[str, Path], tmp_path: Path) -> None:
    leaked = write(tmp_path / "leaked.jsonl", [*rows_of(240, 40), *rows_of(240, 41)])
    found = diagnose(tuned, files["dev"], train=leaked, figure="macro_f1")
    assert found["believed"][0]["check"] == "leakage"
    assert found["believed"][0]["facts"]["share"] == 1.0
    assert found["figure"]["name"] == "macro_f1"


def tagged(row: dict[str, Any]) -> dict[str, Any]:
    words = row["text"].split()
    return {"tokens": words, "tags": ["B-thing" if word in SUBJECTS else "O" for word in words]}


def paired(row: dict[str, Any]) -> dict[str, Any]:
    is_same = row["channel"] == "shop"
    return {
        "sentence1": row["text"],
        "sentence2": row["text"] if is_same else "Nothing alike.",
        "score": float(is_same),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("task", "row"), [("tag", tagged), ("embed", paired)])
def test_other_tasks_are_diagnosed_as_far_as_it_goes(
    base: Path, tmp_path: Path, task: str, row: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    examples = [row(one) for one in rows_of(200, 50)]
    train, dev = write(tmp_path / "train.jsonl", examples[:100]), write(tmp_path / "dev.jsonl", examples[100:])
    run = unmask.finetune(
        base,
        task,
        train,
        dev,
        tmp_path / "run",
        settings={**FAST, "training.epochs": 1},
        controls=False,
        progress=False,
    )
    found = diagnose(run, dev, traffic=dev)
    states = {one["check"]: one["state"] for one in (*found["believed"], *found["raise"])}
    assert states["label noise"] == states["confusion"] == "skipped"
    assert states["leakage"] == "clear"
    assert (states["calibration"] == "skipped") == (task == "embed")


def test_a_gate_lets_the_same_model_pass_and_says_what_it_takes(
    tuned: Path, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "gate.html"
    words = ["--against", str(tuned), "--dev", str(files["dev"])]
    more = [
        "slices.field=channel",
        "slices.fewest=60",
        "calibration.margin=0.05",
        "robustness.margin=0.1",
        "size.margin=0",
    ]
    assert main(["gate", str(tuned), *words, *more, "size.margin=0", "--report", str(page), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "channel desk: accuracy" in said
    assert "STOPS" not in said
    assert "It passes" in page.read_text()
    strict = tmp_path / "gate.yaml"
    strict.write_text("headline:\n  margin: 0.005\n")
    assert main(["gate", str(tuned), *words, "--policy", str(strict), "--json", "--quiet"]) == 1
    answer = capsys.readouterr()
    found = json.loads(answer.out)
    assert found["passed"] is False
    assert found["needed"] == 598  # of models that never differ: ln 0.05 / ln 0.995
    assert "does not pass: headline: accuracy" in answer.err


@pytest.mark.slow
def test_a_gate_stops_what_is_worse_and_compares_forms(
    tuned: Path, base: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    settings = {**FAST, "training.epochs": 1, "optimizer.learning_rate": 1e-5}
    worse = unmask.finetune(
        base,
        "classify",
        files["train"],
        files["dev"],
        tmp_path / "worse",
        settings=settings,
        controls=False,
        progress=False,
    )
    found = gate(worse, tuned, files["dev"], settings={"latency.margin": 5.0})
    assert found["passed"] is False
    assert [one["name"] for one in found["criteria"]] == ["headline: accuracy", "latency"]
    assert found["criteria"][0]["difference"]["high"] < 0
    with pytest.raises(ModelError, match="unmask export"):
        gate(tuned, tuned, files["dev"], settings={"parity.margin": 0.05})
    with pytest.raises(SettingError, match="lower slices.fewest"):
        gate(tuned, tuned, files["dev"], settings={"slices.field": "channel", "slices.fewest": 200})


@pytest.mark.parametrize(("change", "error", "words"), [
    ({"figure": "acuracy"}, SettingError, "did you mean 'accuracy'"),
    ({"dev": "nowhere.jsonl"}, DataError, "there is no such file"),
    ({"traffic": "nowhere.jsonl"}, DataError, "there is no such file"),
])  # fmt: skip
def test_what_can_not_be_diagnosed_is_answered_in_a_line(
    tuned: Path, files: dict[str, Path], change: dict[str, str], error: type[UserError], words: str
) -> None:
    given: dict[str, Any] = {"dev": files["dev"], **change}
    with pytest.raises(error, match=words):
        diagnose(tuned, given.pop("dev"), **given)


def test_labels_and_models_that_do_not_fit_are_refused(
    tuned: Path, base: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    odd = write(tmp_path / "odd.jsonl", [{"text": "One.", "label": "dta"}])
    with pytest.raises(DataError, match=r"odd.jsonl:1: the model does not know the label 'dta'; did you mean 'data'"):
        diagnose(tuned, odd)
    with pytest.raises(ModelError, match="was not fine-tuned"):
        gate(base, tuned, files["dev"])
