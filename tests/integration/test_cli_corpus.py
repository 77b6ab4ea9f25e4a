"""``unmask corpus`` as a person types it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from unmask.cli.corpus import CorpusRecipe, name_sources, open_or_build, parse_words
from unmask.cli.main import main
from unmask.corpus.build import CorpusSettings
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.errors import SettingError

TEXT = "the array of values returned for each given axis holds numbers read from a path when no error is raised"


def write_source(path: Path, seed: int) -> Path:
    chance = random.Random(seed)
    lines = [json.dumps({"text": " ".join(chance.choices(TEXT.split(), k=20))}) for _ in range(120)]
    path.write_text("\n".join([*lines, "not json"]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    source = write_source(folder / "notes.jsonl", 1)
    words = [f"{source}=0.9", "corpus.validation=0.2", "tokenizer.vocab_size=200"]
    assert main(["corpus", "build", *words, "--out", str(folder / "out"), "--quiet"]) == 0
    return folder / "out"


def test_show_prints_what_the_corpus_is_made_of(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "show", str(built)]) == 0
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert rows["notes"][-3:-1] == ["0.9", "120"]
    assert 0 < int(rows["validation"][1]) < int(rows["train"][1])
    assert "broken JSON" in out
    assert "120 documents read, 0 exact copies dropped, 120 kept." in out
    assert err == f"\nNext: unmask pretrain --corpus {built} --out RUN\n"


def test_show_json_is_the_manifest(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "show", str(built), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((built / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere.txt"], "unmask: nowhere.txt: there is no such file or folder"),
        (["nowhere.txt=0.5"], "unmask: nowhere.txt: there is no such file or folder"),
        (["a=lots"], "unmask: the weight of a must be a number above 0, got 'lots'"),
        (["a=-1"], "unmask: the weight of a must be a number above 0, got -1"),
        (["a=nan"], "unmask: the weight of a must be a number above 0, got nan"),
        (["a=2", "b"], "unmask: b has no weight and others have; write b=WEIGHT, or no weight"),
        (["a=1", "b=1e-9"], "unmask: the weight of b is below 1 in 10,000 of all; raise it or leave it out"),
        (["a", "a"], "unmask: there are two sources of the name a; leave one out, or name them apart"),
        (["corpus.test=0.1"], "unmask: there is no source; name a file, a folder, or docstrings"),
        (["a", "tokeniser.kind=bpe"], "unmask: unknown setting tokeniser; did you mean 'tokenizer'?"),
        (["a", "corpus.validaton=0.1"], "unmask: unknown setting corpus.validaton; did you mean 'validation'?"),
        ([], "unmask: Missing argument 'SOURCE|group.key=value'; see unmask corpus build --help"),
    ],
)
def test_mistakes_are_answered(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["corpus", "build", *words, "--out", "out", "--quiet"]) == 2
    assert capsys.readouterr() == ("", f"{line}\n")
    assert list(tmp_path.iterdir()) == []


def test_words_are_sources_with_weights_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for odd in ("a=0.5", "corpus.txt", "corpus.notes=1"):
        (tmp_path / odd).touch()
    words = [
        "wiki.jsonl.gz=0.9",
        "docstrings",
        "a=0.5",
        "a=0.5=0.3",
        "corpus.txt=2",
        "corpus.notes=1",
        "corpus.test=0.2",
    ]
    sources, recipe = parse_words(words)
    assert [(source.where, source.weight) for source in sources] == [
        ("wiki.jsonl.gz", 0.9), ("docstrings", None), ("a=0.5", None), ("a=0.5", 0.3),
        ("corpus.txt", 2.0), ("corpus.notes=1", None),
    ]  # fmt: skip
    assert recipe == CorpusRecipe(corpus=CorpusSettings(test=0.2))


def test_sources_of_one_name_are_told_apart() -> None:
    assert [source.name for source in name_sources([("a/x.txt", 1), ("b/x.txt", 1), ("y.csv.gz", 1), ("-", None)])] == [
        "a/x.txt", "b/x.txt", "y", "-",
    ]  # fmt: skip


def no_progress(stage: str, done: int, total: int | None) -> None:
    """Say nothing."""


def test_a_directory_is_opened_and_a_source_is_built_once(built: Path, tmp_path: Path) -> None:
    assert open_or_build(str(built), CorpusSettings(), TokenizerSettings(), no_progress).directory == built
    source = str(write_source(tmp_path / "other.jsonl", 2))
    settings, tokenizer = CorpusSettings(validation=0.2), TokenizerSettings(vocab_size=200)
    first = open_or_build(source, settings, tokenizer, no_progress)
    stages: list[str] = []
    again = open_or_build(source, settings, tokenizer, lambda stage, done, total: stages.append(stage))
    assert (again.directory, stages) == (first.directory, [])


def test_settings_that_a_directory_was_not_built_with_are_refused(built: Path) -> None:
    open_or_build(str(built), CorpusSettings(validation=0.2), TokenizerSettings(vocab_size=200), no_progress)
    with pytest.raises(SettingError, match=r"^corpus.validation is 0\.1, and .* was built with 0\.2; leave it out"):
        open_or_build(str(built), CorpusSettings(validation=0.1), TokenizerSettings(), no_progress)
