"""Mistakes and damaged input: each is answered in one line, with the pinned exit code, and nothing is touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.reliability.hostile import ask, flip, inventory, new_run, write_hostile_files

from unmask.cli.main import main
from unmask.corpus.cache import user_cache
from unmask.corpus.directory import Corpus
from unmask.runs import RunDirectory


@pytest.fixture(scope="module")
def finished(made_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny run."""
    out = tmp_path_factory.mktemp("hostile") / "run"
    assert main([*new_run(made_corpus.directory, out), "--quiet"]) == 0
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, made_corpus: Corpus, finished: Path) -> Path:
    """Return a folder of hostile files, with a good corpus and a good run among them, and damaged copies of both."""
    folder = tmp_path_factory.mktemp("work")
    write_hostile_files(folder)
    shutil.copytree(made_corpus.directory, folder / "corpus")
    shutil.copytree(finished, folder / "run")
    for name, act in DAMAGE.items():
        whole = folder / name.partition("-")[0]
        act(Path(shutil.copytree(whole, folder / name)))
    return folder


def without_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def of_another_place(run: Path) -> None:
    directory = RunDirectory(run)
    directory.update(status="stopped", corpus={**directory.state["corpus"], "path": "/nowhere/corpus"})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def miscount(corpus: Path) -> None:
    """Change a number that nothing else would notice."""
    manifest = corpus / "manifest.json"
    flip(manifest, manifest.read_bytes().index(b'"kept": ') + len(b'"kept": '))


def damage_every_checkpoint(run: Path) -> None:
    for checkpoint in (run / "checkpoints").iterdir():
        flip(checkpoint / "model.safetensors", -5)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "run-without-checkpoint": without_checkpoints,
    "run-of-a-vanished-corpus": of_another_place,
    "run-flipped-weights": damage_every_checkpoint,
    "run-cut-state": lambda run: cut(run / "run.json"),
    "run-flipped-state": lambda run: flip(run / "run.json", 40),
    "run-flipped-tokenizer": lambda run: flip(run / "tokenizer.json", 3000),
    "run-cut-settings": lambda run: cut(run / "settings.yaml"),
    "run-lost-tokenizer": lambda run: (run / "tokenizer.json").unlink(),
    "corpus-cut-manifest": lambda corpus: cut(corpus / "manifest.json"),
    "corpus-flipped-manifest": miscount,
    "corpus-flipped-shard": lambda corpus: flip(corpus / "train-00000.safetensors", 4000),
    "corpus-cut-shard": lambda corpus: cut(corpus / "validation-00000.safetensors"),
    "corpus-lost-shard": lambda corpus: (corpus / "test-00000.safetensors").unlink(),
    "corpus-flipped-tokenizer": lambda corpus: flip(corpus / "tokenizer.json", 3000),
    "corpus-cut-text": lambda corpus: cut(corpus / "text-validation.jsonl.zst"),
}

BUILD = [
    ("empty.txt", "empty.txt: there is no document in it (1 refused: empty, first at empty.txt:1); give some text"),
    ("blank.txt", "blank.txt: there is no document in it"),
    ("no-files", "no-files: this folder holds no file that is not hidden"),
    ("no-text", "no-text: there is no document in it (2 refused: empty, first at no-text/a.txt:1)"),
    ("picture.png", "picture.png: there is no document in it (1 refused: NUL bytes, first at picture.png:1)"),
    ("latin.txt", "latin.txt: there is no document in it (1 refused: not UTF-8, first at latin.txt:1)"),
    ("nul.txt", "nul.txt: there is no document in it (1 refused: NUL bytes, first at nul.txt:1)"),
    ("plain.txt.gz", "plain.txt.gz: its compression is broken"),
    ("cut.txt.gz", "cut.txt.gz: its compression is broken"),
    ("plain.txt.zst", "plain.txt.zst: its compression is broken"),
    ("cut.txt.zst", "cut.txt.zst: its compression is broken"),
    ("prose.jsonl", "prose.jsonl:1: this line is no JSON object, nor is any other; write one object a line"),
    ("field.jsonl", "field.jsonl:1: no field 'text' here; did you mean 'txet'?; set corpus.field"),
    (
        "numbers.jsonl",
        "numbers.jsonl: there is no document in it (1 refused: field not text, first at numbers.jsonl:1)",
    ),
    ("field.csv", "field.csv:1: no field 'text' here; there are title, body; set corpus.field"),
    ("plain.parquet", "plain.parquet:1: is no sound parquet file"),
    ("numbers.parquet", "numbers.parquet: the field 'text' holds int64, not text; set corpus.field"),
    ("god.txt", "god.txt: there is no such file or folder; did you mean 'good.txt'?"),
    ("*.docx", "*.docx: no file fits this pattern"),
    ("few.txt", "few.txt: 1 documents leave none for"),
    ("good.txt=-2", "the weight of good.txt must be a number above 0, got -2"),
    ("good.txt corpus.validaton=0.1", "unknown setting corpus.validaton; did you mean 'validation'?"),
    ("good.txt corpus.validation=lots", "corpus.validation must be a number, got 'lots'"),
    ("good.txt corpus.validation=1.5", "corpus.validation must be in (0, 1), got 1.5"),
    ("good.txt corpus.validation=0.6 corpus.test=0.5", "validation and test leave nothing to train on"),
    ("good.txt corpus.document=page", "corpus.document must be one of 'file', 'paragraph' or 'line', got 'page'"),
    ("good.txt tokenizer.vocab_size=3", "tokenizer.vocab_size must be"),
    ("good.txt tokenizer.path=none.json", "none.json: there is no such tokenizer"),
    ("good.txt tokenizer.path=bad-tokenizer.json", "bad-tokenizer.json: can not be read as a tokenizer.json"),
    ("good.txt --out mine", "mine: is already there; choose another --out or remove it"),
    ("good.txt --out good.txt/in/it", "good.txt/in/it: "),
    ("corpus.test=0.1", "there is no source; name a file, a folder, or docstrings"),
]

NEW = "pretrain --corpus corpus --out new --budget 2steps"
COMMANDS = [
    ("pretrian", "there is no command 'pretrian'; did you mean 'pretrain'?"),
    ("pretrain --corpsu corpus", "No such option: --corpsu"),
    ("pretrain --corpus corpus", "give --corpus DIR|SOURCE and --out RUN for a new run, or --resume RUN"),
    (f"{NEW} none.yaml", "none.yaml: there is no such recipe"),
    (f"{NEW} broken.yaml", "broken.yaml:4: is not YAML"),
    (f"{NEW} binary.yaml", "binary.yaml: can not be read as a recipe"),
    (f"{NEW} list.yaml", "list.yaml: a recipe is a mapping of groups, this is a list"),
    (f"{NEW} flat.yaml", "training"),
    (f"{NEW} group.yaml", "unknown setting modle; did you mean 'model'?"),
    (f"{NEW} key.yaml", "unknown setting training.bacth_rows; did you mean 'batch_rows'?"),
    (f"{NEW} type.yaml", "training.batch_rows must be a whole number, got 'many'"),
    (f"{NEW} key.yaml type.yaml", "one recipe at most, got key.yaml, type.yaml"),
    (f"{NEW} training.batch_rows=0", "training.batch_rows must be at least 1, got 0"),
    (f"{NEW} training.threads=100000", "training.threads must be in [0, 1,024], got 100000"),
    (f"{NEW} training.seed=99999999999999999999", "training.seed must be in [0, 9,223,372,036,854,775,808), got"),
    (f"{NEW} masking.mlm_probability=1.5", "masking.mlm_probability must be in "),
    (f"{NEW} optimizer.learning_rate=nan", "optimizer.learning_rate must be"),
    (f"{NEW} schedule.warmup=0.9", "warmup + decay must be at most 1, got 1.3"),
    (f"{NEW} model.preset=huge", "model.preset must be"),
    (f"{NEW} model.hidden_size=65", "hidden_size"),
    (f"{NEW} model.preset=bert-tiny training.row_length=600", "600"),
    (f"{NEW} tokenizer.vocab_size=999", "tokenizer.vocab_size is 999, and corpus was built with 300; leave it out"),
    (
        "pretrain --corpus corpus --out new --budget soon",
        "budget must be a number above 0 and s, m, h, d, tok or steps",
    ),
    ("pretrain --corpus corpus --out new --budget 0steps", "budget must be a number above 0"),
    ("pretrain --corpus corpus --out run", "run: holds a run already; go on with it by --resume run"),
    ("pretrain --corpus corpus --out mine", "mine: is in the way; give an --out that does not exist or is empty"),
    ("pretrain --corpus corpus --out words.txt/new", "words.txt/new: "),
    ("pretrain --corpus none --out new", "none: there is no such file or folder"),
    ("pretrain --resume none", "none: holds no run (there is no run.json in it)"),
    ("pretrain --resume mine", "mine: holds no run"),
    (
        "pretrain --resume run",
        "run: is finished (2 steps); make it longer with --budget +10m, or start a new one with --out",
    ),
    ("pretrain --resume run training.seed=3", "a run that is resumed has its own settings"),
    (
        "pretrain --resume run-of-a-vanished-corpus",
        "/nowhere/corpus: is gone, and run-of-a-vanished-corpus was trained",
    ),
    ("pretrain --resume run-cut-state", "run-cut-state/run.json: is damaged (it is not a JSON object)"),
    ("pretrain --resume run-flipped-state", "run-flipped-state/run.json: is "),
    ("pretrain --resume run-cut-settings", "run-cut-settings/settings.yaml: is damaged (its checksum does not hold)"),
    ("evaluate none", "none: there is no such model; give a run, a Hugging Face folder, or ORG/NAME on its hub"),
    ("evaluate mine", "mine: is not a model (there is no run.json in it, and no config.json)"),
    ("evaluate run --documents 0", "Invalid value for '--documents'"),
    ("evaluate run --split train", "Invalid value for '--split'"),
    ("evaluate run --corpus mine", "mine: is not a corpus, it has no manifest.json"),
    ("evaluate run-of-a-vanished-corpus", "/nowhere/corpus: is gone"),
    (
        "fill run-without-checkpoint [MASK]",
        "run-without-checkpoint: has no model that can be used: it has no checkpoint",
    ),
    ("fill run-flipped-weights [MASK]", "model.safetensors: is damaged (its checksum does not hold)"),
    ("fill run-flipped-tokenizer [MASK]", "tokenizer.json: is damaged (its checksum does not hold)"),
    ("fill run-lost-tokenizer [MASK]", "tokenizer.json: is missing"),
    ("fill run words", "text 1 has no [MASK]; write [MASK] where a word is to be found"),
    ("fill run [MASK] --top-k 0", "Invalid value for '--top-k'"),
    ("fill run [MASK] --top-k 999999", "top_k must be in [1, 300], the size of the vocabulary, got 999999"),
    ("fill run [MASK] --targets ,", "target '' can not be written in this vocabulary"),
    ("score run none.txt", "none.txt: there is no such file or folder"),
    ("score run empty.txt", "empty.txt:1: a text that can not be used (empty)"),
    ("score run nul.txt", "nul.txt:1: a text that can not be used (NUL bytes)"),
    ("embed run words.txt --out vectors.txt", "vectors.txt: vectors are written as .npy; give a name that ends so"),
    ("embed run words.txt --out words.txt/v.npy", "words.txt/v.npy: words.txt is a file, not a folder"),
    ("corpus show mine", "mine: is not a corpus, it has no manifest.json; make one with unmask corpus build"),
    *(
        (f"{command} corpus-{name}", f"corpus-{name}/{line}")
        for command in ("corpus show", "evaluate run --corpus", "pretrain --out new --corpus")
        for name, line in (
            ("cut-manifest", "manifest.json: is damaged"),
            ("flipped-manifest", "manifest.json: is damaged"),
            ("flipped-shard", "train-00000.safetensors: is damaged (its checksum does not hold)"),
            ("cut-shard", "validation-00000.safetensors: is damaged (its checksum does not hold)"),
            ("lost-shard", "test-00000.safetensors: is missing; build the corpus again"),
            ("flipped-tokenizer", "tokenizer.json: is damaged (its checksum does not hold)"),
            ("cut-text", "text-validation.jsonl.zst: is damaged (its checksum does not hold)"),
        )
    ),
]


def words_of(line: str) -> list[str]:
    words = line.split()
    return words if "--out" in words else [*words, "--out", "out"]


@pytest.mark.parametrize(
    ("words", "line"),
    [(["corpus", "build", *words_of(words)], line) for words, line in BUILD]
    + [(words.split(), line) for words, line in COMMANDS],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_in_one_line_and_touches_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    monkeypatch.chdir(folder)
    before = inventory(folder)
    quiet = [] if words[0] in ("score", "pretrian") or words[1:2] == ["--corpsu"] else ["--quiet"]
    answer = ask(capsys, *words, *quiet)
    assert (answer.code, answer.out) == (2, "")
    assert line in answer.err
    assert answer.err.startswith("unmask: ")
    assert answer.err.count("\n") == 1
    assert inventory(folder) == before
    assert not list(user_cache().rglob(".*.aside"))


def test_a_corpus_of_another_tokenizer_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    other = tmp_path / "other"
    assert main(["corpus", "build", "good.txt", "--out", str(other), "tokenizer.vocab_size=100", "--quiet"]) == 0
    answer = ask(capsys, "evaluate", "run", "--corpus", other)
    assert answer.code == 2
    assert answer.err == (
        f"unmask: {other}: was made with another tokenizer than the model; build it with the model's: "
        "unmask corpus build SOURCE --out DIR tokenizer.path=run/tokenizer.json\n"
    )
