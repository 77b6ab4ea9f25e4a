"""Model cards of real runs and exports: true to what the run holds, silent on what it read, and their code works."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, ModelCardData
from tests.made_text import SUBJECTS, sentences
from tests.published import fine_tuned, publish

import unmask
from unmask.cli.model_card import card_of, check_license, facts_of
from unmask.corpus.directory import Corpus
from unmask.errors import SettingError
from unmask.exporting.hugging_face import write_hugging_face
from unmask.inference.model_directory import NAME, ModelManifest, described
from unmask.inference.resolve import resolve
from unmask.model.tasks import TaskName
from unmask.report.model_card import model_card
from unmask.runs import RunDirectory


@pytest.fixture(scope="module")
def run(made_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    shape = {"preset": "tiny", "hidden_size": 64, "num_attention_heads": 2}
    settings = {"model": shape, "training.row_length": 32, "training.threads": 1, "evaluation.documents": 40}
    return unmask.pretrain(
        made_corpus, tmp_path_factory.mktemp("card") / "run", settings=settings, budget="10steps", progress=False
    )


@pytest.fixture(scope="module")
def tuned(run: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("tuned")
    for name, seed in (("train", 1), ("dev", 2)):
        rows = [{"text": text, "label": str(text.split()[2] in SUBJECTS[:5])} for text in sentences(40, seed)]
        (folder / name).with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fast = {"training.epochs": 1, "training.threads": 1}
    return unmask.finetune(
        run, "classify", folder / "train.jsonl", folder / "dev.jsonl", folder / "run",
        settings=fast, controls=False, progress=False,
    )  # fmt: skip


def test_the_card_of_a_run_says_what_the_run_holds(run: RunDirectory) -> None:
    card = ModelCard(card_of(resolve(run.path), "team/encoder", license="mit"))
    assert isinstance(card.data, ModelCardData)
    masked, hits = run.evaluation["mlm"]["cross_entropy"]["masked"], run.evaluation["mlm"]["accuracy"]["masked"]["1"]
    values = {one.metric_type: one.metric_value for one in card.data.eval_results or []}
    assert values == {
        "cross_entropy": pytest.approx(masked["value"], abs=1e-4),
        "accuracy": pytest.approx(hits["value"], abs=1e-4),
    }
    assert f"{masked['value']:.2f} \\[{masked['low']:.2f}, {masked['high']:.2f}\\]" in card.text
    state, manifest = run.state, run.read("corpus.json") or {}
    for words in (
        "2 layers of width 64",
        f"{state['model']['parameters']:,} parameters",
        f"| kept | {manifest['documents']['kept']:,} |",
        "| Steps | 10, of",
        "| Hidden | tokens, 30\u202f%",
        "| Seed | 0 |",
        "| made | natural |",
        "Near duplicates were not looked for",
    ):
        assert words in card.text, words


def test_a_fine_tuned_model_tells_of_both_its_runs(run: RunDirectory, tuned: RunDirectory) -> None:
    text = card_of(resolve(tuned.path), "team/encoder")
    for words in (
        "classification of texts",
        "Labels: False, True.",
        "These examples also chose its weights",
        "the best on the development examples",
        "### Pre-training, the run before",
        "| Steps | 10, of",
        "| made | natural |",
    ):
        assert words in text, words
    assert facts_of(resolve(tuned.path), "x").is_whole


def test_a_run_that_is_gone_or_another_one_is_not_told_of(
    run: RunDirectory, tuned: RunDirectory, tmp_path: Path
) -> None:
    found, parent = resolve(tuned.path), tuned.state["parent"]
    for changed in ({"path": str(tmp_path / "gone")}, {"corpus": {**parent["corpus"], "fingerprint": "another"}}):
        tuned.update(parent={**parent, **changed})
        facts = facts_of(found, "x")
        assert len(facts.runs) == 1
        assert not facts.is_whole
        assert "not at hand" in model_card(facts)
    tuned.update(parent=parent)


def test_a_card_gives_away_neither_folders_nor_text(
    made_corpus: Corpus, run: RunDirectory, tuned: RunDirectory, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    publish("bert", tmp_path / "base")
    cards = [card_of(resolve(path), "out") for path in (run.path, tuned.path, tmp_path / "base")]
    documents = [record["text"] for split in ("validation", "test") for record in made_corpus.texts(split)]
    documents += [json.loads(line)["text"] for line in (tuned.path.parent / "train.jsonl").read_text().splitlines()]
    for card in cards:
        for folder in (tmp_path, run.path, tuned.path, made_corpus.directory, Path.home(), Path.cwd()):
            assert str(folder.parent) not in card
        words = " ".join(re.findall(r"\w+", card))
        assert not any(" ".join(re.findall(r"\w+", text)[:6]) in words for text in documents)
    assert "Its weights are those of base, written in other forms" in cards[-1]
    assert not ModelCard(cards[-1]).data.get("base_model")


def test_a_model_of_the_hub_is_named_and_a_folder_of_such_a_name_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some" / "model").mkdir(parents=True)
    publish("bert", tmp_path / "some" / "model")
    here = facts_of(resolve(Path("some/model")), "out")
    monkeypatch.chdir(tmp_path.parent)
    assert (here.base, here.is_on_hub) == ("model", False)
    monkeypatch.setattr("unmask.inference.published._fetched", lambda *_: tmp_path / "some" / "model")
    there = facts_of(resolve(Path("some/model")), "out")
    assert (there.base, there.is_on_hub) == ("some/model", True)
    assert ModelCard(model_card(there)).data.get("base_model") == "some/model"


@pytest.mark.parametrize("license_name", ["Apache 2.0", "", "MIT", "my licence\n", "-x"])
def test_a_licence_that_the_hub_can_not_read_is_refused(license_name: str) -> None:
    with pytest.raises(SettingError, match="--license must be as the hub writes it"):
        check_license(license_name)
    check_license("apache-2.0")
    check_license(None)


def code_of(card: str) -> Iterator[str]:
    yield from re.findall(r"```python\n(.*?)```", card, re.DOTALL)


@pytest.mark.parametrize("task", ["fill", "classify", "tag", "answer", "embed"])
def test_the_code_of_a_card_works(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    if task == "fill":
        (tmp_path / "base").mkdir()
        publish("modernbert", tmp_path / "base")
        found = resolve(tmp_path / "base")
    else:
        name: TaskName = task  # type: ignore[assignment]  # one of the others
        found = fine_tuned("modernbert", name, tmp_path)
    out.mkdir()
    write_hugging_face(found, out)
    manifest = ModelManifest(task=found.task, tokenizer=described(found.tokenizer), files={})
    (out / NAME).write_text(json.dumps(manifest.plain()))
    monkeypatch.chdir(tmp_path)
    blocks = list(code_of(card_of(found, "out")))
    assert len(blocks) == {"fill": 3}.get(task, 2)
    for block in blocks:
        said = StringIO()
        with redirect_stdout(said):
            exec(compile(block, task, "exec"), {})
        assert said.getvalue().strip() or task == "answer", block
