"""Files of examples: every form read to the letter, and what is broken named by file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from unmask.errors import DataError
from unmask.tasks.block import TaskName
from unmask.tasks.examples import AnswerExample, ClassifyExample, EmbedExample, TagExample
from unmask.tasks.formats import check_trainable, read_examples

TRICKY = "  Cafe\u0301 \U0001f469\U0001f3fd\u200d\U0001f680 \u05e9\u05dc\u05d5\u05dd,\r\nsecond \u2028 \x85 line "
CONTEXT = "Cafe\u0301 \U0001f600 opens\r\nat \u05e9\u05dc\u05d5\u05dd nine."


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def squad(*questions: dict[str, Any], context: str = CONTEXT) -> str:
    return json.dumps(
        {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": questions}]}]}
    )


def question(**more: Any) -> dict[str, Any]:
    return {"id": "q1", "question": "When?", "answers": [{"answer_start": 23, "text": "nine"}], **more}


def test_texts_of_a_table_stay_as_they_stand(tmp_path: Path) -> None:
    quoted = '"' + TRICKY.replace('"', '""') + '"'
    for suffix, mark in ((".csv", ","), (".tsv", "\t"), (".csv.gz", ",")):
        for before, end in (("", "\n"), ("\ufeff", "\r\n")):  # a spreadsheet writes a mark first, and CRLF
            rows = [mark.join(("text", "label")), mark.join((quoted, "a b")), "", mark.join(("plain", "7"))]
            path = put(tmp_path, f"t{suffix}", before + end.join(rows) + end)
            assert read_examples("classify", path) == [
                ClassifyExample(TRICKY, None, ("a b",), f"{path}:2"),
                ClassifyExample("plain", None, ("7",), f"{path}:5"),
            ]


def test_texts_of_json_lines_stay_as_they_stand(tmp_path: Path) -> None:
    records = {"text": TRICKY, "label": "x", "text_pair": " y "}, {"text": "b", "label": 3, "more": None}
    for text in (lines(*records), "\ufeff" + lines(*records).replace("\n", "\r\n") + "\r\n"):
        path = put(tmp_path, "t.jsonl", text)
        assert read_examples("classify", path) == [
            ClassifyExample(TRICKY, " y ", ("x",), f"{path}:1"),
            ClassifyExample("b", None, ("3",), f"{path}:2"),
        ]


def test_a_field_may_have_a_name_of_its_own(tmp_path: Path) -> None:
    path = put(tmp_path, "bank.csv", "text,category\nwhere is it,card\n")
    (found,) = read_examples("classify", path, fields={"label": "category"})
    assert (found.text, found.labels) == ("where is it", ("card",))
    with pytest.raises(DataError, match=r"bank\.csv:2: has no field categorie; did you mean 'category'\?"):
        read_examples("classify", path, fields={"label": "categorie"})


def test_several_labels_are_a_list_or_stand_between_bars(tmp_path: Path) -> None:
    table = put(tmp_path, "t.csv", "text,label\na, x | y|x\nb,\n")
    assert [found.labels for found in read_examples("classify", table, multi_label=True)] == [("x", "y"), ()]
    jsonl = put(tmp_path, "t.jsonl", lines({"text": "a", "label": ["x|y", 2]}, {"text": "b", "label": []}))
    assert [found.labels for found in read_examples("classify", jsonl, multi_label=True)] == [("x|y", "2"), ()]
    assert read_examples("classify", put(tmp_path, "u.csv", "text,label\na,x|y\n"))[0].labels == ("x|y",)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_columns_are_words_and_tags(tmp_path: Path, end: str) -> None:
    rows = ["-DOCSTART- -X- O", "", "EU NNP B-ORG", "nice\u2028one JJ O", "", " ", "He PRP B-PER", "\u00a0x NN O"]
    path = put(tmp_path, "t.conll", end.join(rows) + end)
    assert read_examples("tag", path) == [
        TagExample(("EU", "nice\u2028one"), ("B-ORG", "O"), f"{path}:3"),
        TagExample(("He", "\u00a0x"), ("B-PER", "O"), f"{path}:7"),
    ]
    tabs = put(tmp_path, "t.txt", end.join(["New York\tB-LOC", "\t", "x\tO"]))  # a word may hold a space here
    assert [found.tokens for found in read_examples("tag", tabs)] == [("New York",), ("x",)]


def test_tags_of_other_schemes_are_read_as_bio(tmp_path: Path) -> None:
    path = put(tmp_path, "t.conll", "a I-X\nb I-X\nc B-X\n\nd O\n")
    assert [found.tags for found in read_examples("tag", path)] == [("B-X", "I-X", "B-X"), ("O",)]
    path = put(tmp_path, "t.jsonl", lines({"tokens": ["a", "b", "c"], "tags": ["B-X", "E-X", "S-Y"]}))
    assert [found.tags for found in read_examples("tag", path)] == [("B-X", "I-X", "B-Y")]


def test_squad_is_read_with_and_without_answers(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "t.json",
        squad(
            question(answers=[{"answer_start": 0, "text": "Cafe\u0301"}, {"answer_start": 0, "text": "Cafe\u0301"}]),
            question(
                id="q2",
                is_impossible=True,
                answers=[{"answer_start": 0, "text": "Cafe"}],
                plausible_answers=[{"answer_start": 0, "text": "C"}],
            ),
        ),
    )
    assert read_examples("answer", path) == [
        AnswerExample("q1", "When?", CONTEXT, ((0, "Cafe\u0301"),), f"{path} (question q1)"),
        AnswerExample("q2", "When?", CONTEXT, (), f"{path} (question q2)"),
    ]


def test_answers_are_read_from_json_lines(tmp_path: Path) -> None:
    start = CONTEXT.index("\u05e9")
    text = CONTEXT[start : start + 4]
    row = {"question": "What?", "context": CONTEXT}
    path = put(
        tmp_path,
        "t.jsonl",
        lines(
            {**row, "answers": [{"answer_start": start, "text": text}]},
            {**row, "answers": {"answer_start": [start], "text": [text]}, "id": 7},
            {**row, "answers": []},
        ),
    )
    found = read_examples("answer", path)
    assert [(one.id, one.answers) for one in found] == [("1", ((start, text),)), ("7", ((start, text),)), ("3", ())]


def test_pairs_may_have_scores(tmp_path: Path) -> None:
    path = put(tmp_path, "t.tsv", "sentence1\tsentence2\tscore\na\tb\t0.5\nc\td\t1\n")
    assert read_examples("embed", path) == [
        EmbedExample("a", "b", 0.5, f"{path}:2"),
        EmbedExample("c", "d", 1.0, f"{path}:3"),
    ]
    path = put(tmp_path, "t.jsonl", lines({"sentence1": "a", "sentence2": "b"}))
    assert read_examples("embed", path) == [EmbedExample("a", "b", None, f"{path}:1")]


TABLE = "text,label\na,x\n"
ROW = {"question": "q", "context": CONTEXT}
BROKEN: list[tuple[TaskName, str, str | bytes, str]] = [
    ("classify", "t.csv", "", ": is empty"),
    ("classify", "t.csv", "\ufeff \r\n", ": is empty"),
    ("classify", "t.csv", "text,label\n", ": holds no example"),
    ("classify", "t.csv", "text,labels\na,x\n", ":2: has no field label; did you mean 'labels'?; it has text, labels"),
    ("classify", "t.csv", "text\nonly this\n", ":2: has no field label; it has text"),
    ("classify", "t.csv", TABLE + '" ",x\n', ":3: text is empty; fill it or leave the row out"),
    ("classify", "t.csv", TABLE + "b,\n", ":3: label is empty; fill it or leave the row out"),
    ("classify", "t.csv", TABLE + '"b\nb",x\nc\n', ":5: has 1 columns, the header has 2 (text, label)"),
    ("classify", "t.csv", TABLE + '"b,x\n', ":3: is not a table (unexpected end of data); a text that holds a quote"),
    ("classify", "t.csv", b"text,label\na,x\n\xff,y\n", ":3: is not UTF-8; save it as UTF-8"),
    ("classify", "t.parquet", TABLE, ": must be csv, tsv or jsonl for this task, got .parquet"),
    ("classify", "noname", TABLE, ": must be csv, tsv or jsonl for this task, got no suffix"),
    ("classify", "t.jsonl", lines({"text": "a", "label": "x"}) + "{", ":2: is not JSON"),
    ("classify", "t.jsonl", "\n[1]\n", ":2: a line must hold a JSON object, this holds a list"),
    ("classify", "t.jsonl", '{"text": "\\ud83d", "label": "x"}', ":1: holds half of a surrogate pair"),
    ("classify", "t.jsonl", "[" * 100_000, ":1: is not JSON of a sane depth"),
    ("classify", "t.jsonl", lines({"text": None, "label": "x"}), ":1: text must be text, got null"),
    ("classify", "t.jsonl", lines({"text": "a", "label": True}), ":1: label must be text, got true or false"),
    ("classify", "t.jsonl", lines({"text": "a", "label": 0.5}), ":1: label must be text, got a number"),
    ("classify", "t.jsonl", lines({"text": "a", "label": ["x"]}), ":1: label is a list; for several labels"),
    ("classify", "t.jsonl", lines({"text": "a", "label": "x", "text_pair": 1}), ":1: text_pair must be text"),
    ("tag", "t.conll", "a B-X\n\nb\n", ":3: needs a token and a tag, got 'b'"),
    ("tag", "t.conll", "a O\nb B\n", ":1: the tag of token 2, 'b': 'B' is not O or one of B-, I-, E-, S- and a label"),
    ("tag", "t.conll", "a\tO\n \tO\n", ":1: token 2 is empty"),
    ("tag", "t.conll", "-DOCSTART- O\n\n", ": holds no example"),
    ("tag", "t.jsonl", lines({"tokens": ["a", "b"], "tags": ["O"]}), ":1: has 2 tokens and 1 tags"),
    ("tag", "t.jsonl", lines({"tokens": [], "tags": []}), ":1: tokens is empty; leave the row out"),
    ("tag", "t.jsonl", lines({"tokens": ["a"], "tags": [0]}), ":1: tags must be a list of text"),
    ("tag", "t.jsonl", lines({"tokens": "a", "tags": ["O"]}), ":1: tokens must be a list of text"),
    ("answer", "t.jsonl", lines({**ROW, "answer": []}), ":1: has no field answers; did you mean 'answer'?"),
    ("answer", "t.jsonl", lines({**ROW, "answers": "nine"}), ":1: answers must be a list of objects"),
    ("answer", "t.jsonl", lines({**ROW, "answers": ["nine"]}), ":1: an answer needs answer_start and text"),
    ("answer", "t.jsonl", lines({**ROW, "answers": [{"text": "nine"}]}), ":1: an answer needs answer_start and text"),
    (
        "answer",
        "t.jsonl",
        lines({**ROW, "answers": {"answer_start": [1], "text": []}}),
        ":1: answers needs answer_start",
    ),
    (
        "answer",
        "t.jsonl",
        lines({**ROW, "answers": [{"answer_start": 0, "text": "afe"}]}),
        ":1: the answer 'afe' is not at 0, where 'Caf' stands",
    ),
    (
        "answer",
        "t.jsonl",
        lines({**ROW, "answers": [{"answer_start": -5, "text": "nine"}]}),
        ":1: the answer 'nine' is",
    ),
    ("answer", "t.json", "{\n]", ":2: is not JSON"),
    ("answer", "t.json", "[]", ": is not of SQuAD's form: the file needs data, a list of objects"),
    ("answer", "t.json", json.dumps({"data": [{}]}), ": is not of SQuAD's form: an article needs paragraphs"),
    ("answer", "t.json", json.dumps({"data": []}), ": holds no example"),
    ("answer", "t.json", squad(question(), context=" "), ": is not of SQuAD's form: a paragraph needs context"),
    ("answer", "t.json", squad(question(question=None)), ": is not of SQuAD's form: question q1 needs question"),
    ("answer", "t.json", squad({"id": "q1", "question": "?"}), " (question q1): answers must be a list"),
    (
        "answer",
        "t.json",
        squad(question(answers=[{"answer_start": 5, "text": "nine"}])),
        " (question q1): the answer 'nine' is not at 5, where",
    ),
    (
        "embed",
        "t.csv",
        "sentence1,sentence2,score\na,b,nan\n",
        ":2: score must be a number in [0, 1], got 'nan'; scale it",
    ),
    ("embed", "t.csv", "sentence1,sentence2,score\na,b,inf\n", ":2: score must be a number in [0, 1], got 'inf'"),
    ("embed", "t.csv", "sentence1,sentence2,score\na,b,4.5\n", ":2: score must be a number in [0, 1], got '4.5'"),
    ("embed", "t.csv", "sentence1,sentence2,score\na,b,-1\n", ":2: score must be a number in [0, 1], got '-1'"),
    ("embed", "t.csv", "sentence1,sentence2,score\na,b,high\n", ":2: score must be a number in [0, 1], got 'high'"),
    ("embed", "t.csv", "sentence1,sentence2,score\na,b,1\nc,d,\n", ":3: has no score, but other pairs have"),
    ("embed", "t.csv", "sentence1,sentence2,score\na,b,\nc,d,1\n", ":2: has no score, but other pairs have"),
    ("embed", "t.csv", "sentence1,sentence2\na,\n", ":2: sentence2 is empty"),
    (
        "embed",
        "t.jsonl",
        '{"sentence1": "a", "sentence2": "b", "score": NaN}',
        ":1: is not JSON (NaN is no number of JSON)",
    ),
]


@pytest.mark.parametrize(("task", "name", "data", "says"), BROKEN)
def test_what_is_broken_is_named_by_file_and_line(
    tmp_path: Path, task: TaskName, name: str, data: str | bytes, says: str
) -> None:
    path = put(tmp_path, name, data)
    with pytest.raises(DataError) as error:
        read_examples(task, path)
    assert str(error.value).startswith(f"{path}{says}")
    assert "\n" not in str(error.value)


def test_files_that_are_not_there_or_damaged_are_answered(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: there is no such file"):
        read_examples("classify", tmp_path / "gone.csv")
    whole = gzip.compress(TABLE.encode() * 100)
    for damaged in (whole[:40], whole[:10] + b"\xff" * 20, b"no gzip"):
        (tmp_path / "t.csv.gz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"t\.csv\.gz: can not be read"):
            read_examples("classify", tmp_path / "t.csv.gz")


def text(*labels: str, where: str = "t:1") -> ClassifyExample:
    return ClassifyExample("a", None, labels, where)


def words(*tags: str) -> TagExample:
    return TagExample(("w",) * len(tags), tags, "t:1")


def asked(*answers: tuple[int, str]) -> AnswerExample:
    return AnswerExample("1", "q", "c", answers, "t:1")


PAIR = EmbedExample("a", "b", None, "t:1")


@pytest.mark.parametrize(
    ("task", "train", "held_out", "says"),
    [
        ("classify", [], [text("x")], "training examples: there are none"),
        ("classify", [text("x"), text("y")], [], "development examples: there are none"),
        ("classify", [text("x")], [text("x")], "t:1: is the only training example; give at least two"),
        ("classify", [text("x")] * 2, [text("x")], "t:1: every training example has the label 'x'; two are needed"),
        ("classify", [text(), text()], [text("x")], "t:1: no training example has a label; there is nothing to learn"),
        (
            "classify",
            [text("card"), text("cash")],
            [text("cash"), text("Card", where="d:9")],
            "d:9: the label 'Card' does not occur in the training examples; did you mean 'card'?",
        ),
        ("tag", [words("O"), words("O", "O")], [words("O")], "t:1: no training example has a label"),
        ("tag", [words("B-X")] * 2, [words("O", "B-Y")], "t:1: the label 'Y' does not occur in the training examples"),
        ("answer", [asked(), asked()], [asked()], "t:1: no question of the training examples has an answer"),
        ("embed", [PAIR], [PAIR], "t:1: is the only training example"),
    ],
)
def test_what_teaches_nothing_is_refused(task: TaskName, train: list[Any], held_out: list[Any], says: str) -> None:
    with pytest.raises(DataError) as error:
        check_trainable(task, train, held_out)
    assert str(error.value).startswith(says)


def test_what_teaches_something_is_not_refused() -> None:
    check_trainable("classify", [text("x"), text("y")], [text("x")])
    check_trainable("classify", [text("x"), text()], [text("x"), text()])  # several labels, of which there is one
    check_trainable("tag", [words("B-X"), words("B-X")], [words("O", "B-X")])
    check_trainable("answer", [asked((0, "c")), asked()], [asked()])
    check_trainable("embed", [PAIR, PAIR], [PAIR])
