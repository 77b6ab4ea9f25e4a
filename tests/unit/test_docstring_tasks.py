"""The default tasks: labels follow the markup, offsets are exact, splits do not leak, and nothing hangs on order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from unmask.cli import tasks as command
from unmask.cli.main import main
from unmask.corpus import docstring_tasks
from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.directory import Corpus
from unmask.corpus.docstring_tasks import docstring_task
from unmask.corpus.extract import Documented
from unmask.corpus.markup import clean
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.errors import DataError
from unmask.tasks.formats import read_examples
from unmask.tasks.tags import entities

DOCSTRING = """Return the sum over ``axis`` as :func:`numpy.add` does it.

The result is a :class:`Matrix` of the :attr:`dtype` that was asked for. It may raise :exc:`ValueError` at times.
It is unclear what `this` is meant to be in here.

Parameters
----------
axis : int
    The axis along which the entries of the matrix are summed up.
dtype : str, optional
    The type of the numbers that come out. It is that of the input.
"""


def documented(text: str, name: str = "package.module.total", package: str = "package") -> Documented:
    marked = clean(text)
    return Documented(marked.text, name, package, "function", tuple(marked.spans))


def tagged(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    found = []
    for row in docstring_tasks._tagged(documented(text)):
        spans = [(" ".join(row["tokens"][begin:end]), label) for label, begin, end in entities(row["tags"])]
        found.append((" ".join(row["tokens"]), spans))
    return found


def test_tags_are_those_of_the_markup_and_the_markup_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docstring_tasks, "PLAIN_KEPT", 1.0)
    found = tagged(DOCSTRING)
    assert found[0] == (
        "Return the sum over axis as numpy.add does it .", [("axis", "parameter"), ("numpy.add", "function")],
    )  # fmt: skip
    assert found[1] == (
        "The result is a Matrix of the dtype that was asked for .", [("Matrix", "class"), ("dtype", "attribute")],
    )  # fmt: skip
    assert found[2] == ("It may raise ValueError at times .", [("ValueError", "exception")])
    texts = [text for text, _ in found]
    assert not any("unclear" in text for text in texts)  # what the markup leaves open is no example
    assert "The axis along which the entries of the matrix are summed up ." in texts  # without its head
    assert not any(mark in text for text in texts for mark in "`:")


@pytest.mark.parametrize("head", ["left, right", "left : array_like", "left, right : array_like of shape (n, m)"])
def test_names_at_the_head_of_an_entry_are_not_tagged(monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    monkeypatch.setattr(docstring_tasks, "PLAIN_KEPT", 1.0)
    found = tagged(
        f"Add as :func:`add` does it.\n\nParameters\n----------\n{head}\n    The two that are to be added up.\n"
    )
    assert [text for text, spans in found if spans] == ["Add as add does it ."]
    bare = tagged(f"Add as :func:`add` does it.\n\nParameters\n----------\n{head}\n")
    assert [text for text, spans in bare if spans] == ["Add as add does it ."]


def test_sentences_without_tags_are_thinned_the_same_way_every_time() -> None:
    many = "Call :func:`go` and see what comes.\n" + "".join(
        f"\nPlain sentence number {n} says nothing at all.\n" for n in range(400)
    )
    plain = [text for text, spans in tagged(many) if not spans]
    assert 40 < len(plain) < 110
    assert plain == [text for text, spans in tagged(many) if not spans]


def asked(text: str, number: int) -> list[docstring_tasks.Example]:
    """Return the questions about ``text``; another number is another throw of the dice."""
    return list(docstring_tasks._asked(documented(text, name=f"package.outer._inner.total{number}")))


def test_answers_stand_where_they_say() -> None:
    rows = [row for number in range(30) for row in asked(DOCSTRING, number)]
    said = {row["question"]: [answer["text"] for answer in row["answers"]] for row in rows if row["answers"]}
    for row in rows:
        for answer in row["answers"]:
            assert row["context"][answer["answer_start"] :].startswith(answer["text"])
    about = {"axis": ["The axis along which the entries of the matrix are summed up"]}
    about["dtype"] = ["The type of the numbers that come out"]  # and not what is said after it
    for question, texts in said.items():
        assert texts == about["axis" if "axis" in question else "dtype"]
        assert " outer.total" in question  # people do not say where it is hidden
    assert len({row["id"] for row in rows}) == len(rows)


def test_a_question_without_an_answer_asks_for_what_is_not_there() -> None:
    rows = [row for number in range(60) for row in asked(DOCSTRING, number)]
    absent = [row for row in rows if not row["answers"]]
    assert 5 < len(absent) < 50
    for row in absent:
        about = set(row["question"].strip("?").split()) & set(docstring_tasks._ABSENT)
        assert about
        assert not about & set(row["context"].split())


@pytest.mark.parametrize(
    "entry",
    [
        "what : int\n    One of the following:",
        "{what} : int\n    A name that a template fills in.",
        "what : int\n    Tiny.",
    ],
    ids=["it goes on in a list", "its name is no name", "it is too short"],
)
def test_a_description_that_is_none_is_not_asked_for(entry: str) -> None:
    rows = asked(f"Return what was asked for by the caller.\n\nParameters\n----------\n{entry}\n", 0)
    assert rows == []


def test_a_long_list_of_parameters_gives_few_questions() -> None:
    entries = "".join(f"p{n} : int\n    The parameter with the number {n} of all.\n" for n in range(9))
    found = asked(f"Return what was asked for by the caller.\n\nParameters\n----------\n{entries}", 0)
    assert 0 < len(found) <= docstring_tasks.QUESTIONS_A_DOCSTRING


@pytest.mark.parametrize(
    ("package", "told"),
    [
        ("numpy", "Of course np.dot does the very same thing as well"),
        ("networkx", "A NetworkX graph is what all of this is about today"),
        ("huggingface_hub", "The use_hf_home variable says where all of the files are kept"),
        ("scipy", "See what scipy.linalg has to say about it in the end"),
        ("sympy", "All of SymPyDeprecationWarning is of no use to us at all"),
    ],
)
def test_passages_do_not_name_their_package(package: str, told: str) -> None:
    plain = "No name is told in this long line of many plain words."
    of = documented(f"{told}.\n\n{plain}", package=package)
    assert told in of.text
    assert [row["text"] for row in docstring_tasks._placed(of)] == [plain]


def test_classes_are_balanced_in_every_split() -> None:
    rows = [{"text": str(n), "label": "abc"[min(n % 7, 2)]} for n in range(70)]
    found = docstring_tasks._balanced({"train": rows, "test": rows[:21]})
    assert {name: Counter(row["label"] for row in part) for name, part in found.items()} == {
        "train": {"a": 10, "b": 10, "c": 10},
        "test": {"a": 3, "b": 3, "c": 3},
    }


@pytest.fixture(scope="module")
def docstrings(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Documented], Corpus]:
    """Return made docstrings, and a corpus of them; some sentences stand in several."""
    folder = tmp_path_factory.mktemp("docstrings")
    made = [
        documented(
            f"Return the {number}th part of ``value`` as :func:`part{number % 40}` would do it.\n\n"
            f"Every part is a :class:`Part` with a name of its own.\n\n"
            f"Parameters\n----------\nvalue : int\n    The whole of which part {number} is taken by the function.\n",
            name=f"package{number % 12}.module.part{number}",
            package=f"package{number % 12}",
        )
        for number in range(400)
    ]
    path = folder / "text.txt"
    path.write_text("\n\f\n".join(one.text.replace("\n", " ") for one in made))
    text = folder / "files"
    text.mkdir()
    for number, one in enumerate(made):
        (text / f"{number:03}.txt").write_text(one.text)
    settings = CorpusSettings(document="file", near_duplicates=1, validation=0.1, test=0.1)
    corpus = build_corpus(
        [Source(name="a", where=str(text))], folder / "corpus", settings, TokenizerSettings(vocab_size=300)
    )
    return made, corpus


@pytest.mark.parametrize("task", ["tag", "answer", "classify"])
def test_examples_are_in_the_split_of_their_docstring_and_in_one_only(
    docstrings: tuple[list[Documented], Corpus], monkeypatch: pytest.MonkeyPatch, task: docstring_tasks.DefaultTask
) -> None:
    made, corpus = docstrings
    monkeypatch.setattr(docstring_tasks, "read_docstrings", lambda: iter(made))
    found = docstring_task(task, corpus)
    monkeypatch.setattr(docstring_tasks, "read_docstrings", lambda: reversed(made))
    assert docstring_task(task, corpus) == found
    told = {
        name: {str(row.get("tokens") or row.get("text") or (row["question"], row["context"])) for row in rows}
        for name, rows in found.items()
    }
    assert not told["train"] & told["test"]
    assert not told["train"] & told["validation"]
    assert not told["validation"] & told["test"]
    assert len(told["train"]) > len(told["test"]) > 0
    if task != "classify":
        held_out = {record["text"] for record in corpus.texts("test")}
        for row in found["test"]:
            said = row["context"] if task == "answer" else row["tokens"][1]
            assert any(said in text for text in held_out)


@pytest.mark.parametrize("task", ["tag", "answer", "classify"])
def test_the_command_writes_files_that_are_read(
    docstrings: tuple[list[Documented], Corpus],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: docstring_tasks.DefaultTask,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made, corpus = docstrings
    monkeypatch.setattr(docstring_tasks, "read_docstrings", lambda: iter(made))
    out = tmp_path / "tasks"
    words = ["tasks", "--task", task, "--corpus", str(corpus.directory), "--out", str(out)]
    assert main(words) == 0
    card = json.loads((out / "manifest.json").read_text())
    assert card["corpus"] == corpus.manifest.fingerprint
    for name, split in docstring_task(task, corpus).items():
        of = card["splits"][command.NAMES[name]]
        read = read_examples(task, out / of["file"])
        assert of["examples"] == len(split) == len(read)
        assert sum(of["labels"].values()) >= len(read)
        if task == "answer":
            given = {row["id"]: tuple((one["answer_start"], one["text"]) for one in row["answers"]) for row in split}
            assert {example.id: example.answers for example in read} == given
    assert main(words) == 2
    assert "is already there" in capsys.readouterr().err
    assert main(["tasks", "--task", "sing", "--out", str(tmp_path / "b")]) == 2
    assert "task must be one of tag, answer, classify, got 'sing'" in capsys.readouterr().err


def test_a_corpus_without_docstrings_is_refused(made_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docstring_tasks, "read_docstrings", lambda: iter([documented(DOCSTRING)]))
    with pytest.raises(DataError, match="holds no docstrings of this machine"):
        docstring_task("tag", made_corpus)
