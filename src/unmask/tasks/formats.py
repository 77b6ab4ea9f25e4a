"""Examples of the four tasks from files. A broken row is named by file and line; nothing is skipped in silence.

What bites: a tag file decides its scheme as a whole, so a single S- in the last sentence makes all of it BIOES.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from unmask.errors import DataError, did_you_mean
from unmask.tasks.block import TaskName
from unmask.tasks.examples import AnswerExample, ClassifyExample, EmbedExample, Example, TagExample
from unmask.tasks.records import JSON_LINES, Record, columns, field, kind_of, parse_json, read_text, records
from unmask.tasks.tags import scheme_of, split_tag, to_bio

SEVERAL = "|"
"""What stands between the labels of a text in a table."""


def read_examples(task: TaskName, path: Path, *, multi_label: bool = False) -> list[Example]:
    """Return the examples of ``task`` in ``path``. Raises DataError for the first thing that is wrong with it."""
    found = list(_READERS[task](path, multi_label))
    if not found:
        raise DataError(path, "holds no example")
    return found


def _classify(path: Path, multi_label: bool) -> Iterator[Example]:
    for record in records(path):
        line, values = record
        pair = field(path, record, "text_pair") if values.get("text_pair") else None
        labels = _several(path, record) if multi_label else (_label(path, record),)
        yield ClassifyExample(field(path, record, "text"), pair, labels, f"{path}:{line}")


def _label(path: Path, record: Record) -> str:
    """Return the label of a record; a number is a label too."""
    line, values = record
    label = values.get("label")
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    if isinstance(label, list):
        raise DataError(path, "label is a list; for several labels a text set task.multi_label=true", line=line)
    return str(field(path, record, "label"))


def _several(path: Path, record: Record) -> tuple[str, ...]:
    """Return the labels of a record: a list, or in a table text with | between; none is allowed."""
    line, values = record
    if "label" not in values:
        field(path, record, "label")
    labels = values["label"]
    if isinstance(labels, str):
        labels = [part.strip() for part in labels.split(SEVERAL) if part.strip()]
    if not isinstance(labels, list) or not all(isinstance(label, str | int) and str(label).strip() for label in labels):
        raise DataError(path, "label must be a list of labels", line=line)
    return tuple(dict.fromkeys(map(str, labels)))


def _tag(path: Path, _: bool) -> Iterator[Example]:
    read = list(_json_tags(path) if kind_of(path) in JSON_LINES else _column_tags(path))
    for line, tokens, tags in read:
        if len(tokens) != len(tags):
            raise DataError(path, f"has {len(tokens)} tokens and {len(tags)} tags", line=line)
        for place, (token, tag) in enumerate(zip(tokens, tags, strict=True)):
            if not token.strip():
                raise DataError(path, f"token {place + 1} is empty", line=line)
            try:
                split_tag(tag)
            except ValueError as error:
                raise DataError(path, f"the tag of {token!r}: {error}", line=line) from None
    scheme = scheme_of([tags for _, _, tags in read])
    for line, tokens, tags in read:
        yield TagExample(tuple(tokens), tuple(to_bio(tags, scheme)), f"{path}:{line}")


def _json_tags(path: Path) -> Iterator[tuple[int, list[str], list[str]]]:
    for record in records(path):
        tokens, tags = (list(map(str, field(path, record, name, list))) for name in ("tokens", "tags"))
        if not tokens:
            raise DataError(path, "tokens is empty; leave the row out", line=record[0])
        yield record[0], tokens, tags


def _column_tags(path: Path) -> Iterator[tuple[int, list[str], list[str]]]:
    for first, block in columns(path):
        for number, parts in block:
            if len(parts) < 2:  # a word and its tag
                raise DataError(path, f"needs a token and a tag, got {' '.join(parts)!r}", line=number)
        yield first, [parts[0] for _, parts in block], [parts[-1].strip() for _, parts in block]


def _answer(path: Path, _: bool) -> Iterator[Example]:
    if kind_of(path) == ".json":
        yield from _squad(path)
        return
    for record in records(path):
        line, values = record
        context = field(path, record, "context")
        answers = _answers(path, line, values.get("answers", []), context)
        yield AnswerExample(
            str(values.get("id", line)), field(path, record, "question"), context, answers, f"{path}:{line}"
        )


def _squad(path: Path) -> Iterator[Example]:
    """Read SQuAD 1.1 and 2.0; a row is named by its question's id, since the file has one line."""
    whole = parse_json(path, read_text(path))
    articles = whole.get("data") if isinstance(whole, dict) else None
    if not isinstance(articles, list):
        raise DataError(path, "is not of SQuAD's form: an object with a list under data")
    try:
        paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
        questions = [(question, paragraph["context"]) for paragraph in paragraphs for question in paragraph["qas"]]
        for question, context in questions:
            identity = str(question["id"])
            where = Path(f"{path} (question {identity})")
            given = [] if question.get("is_impossible") else question.get("answers", [])
            answers = _answers(where, None, given, context)
            yield AnswerExample(identity, question["question"], context, answers, str(where))
    except (KeyError, TypeError) as error:
        raise DataError(path, f"is not of SQuAD's form: no {error} where it belongs") from None


def _answers(path: Path, line: int | None, given: Any, context: str) -> tuple[tuple[int, str], ...]:
    """Return (start, text) of the answers ``given``, each checked against the context, each once."""
    if isinstance(given, dict):  # the form of the hub: lists of starts and texts
        given = [
            {"answer_start": start, "text": text}
            for start, text in zip(given.get("answer_start", []), given.get("text", []), strict=False)
        ]
    if not isinstance(given, list):
        raise DataError(path, "answers must be a list of objects with answer_start and text", line=line)
    found = []
    for answer in given:
        start, text = (answer.get(name) for name in ("answer_start", "text")) if isinstance(answer, dict) else (0, None)
        if not isinstance(start, int) or not isinstance(text, str) or not text:
            raise DataError(path, "an answer needs answer_start and text", line=line)
        if start < 0 or context[start : start + len(text)] != text:
            stands = context[max(0, start) : max(0, start) + len(text)]
            raise DataError(path, f"the answer {text!r} is not at {start}, where {stands!r} stands", line=line)
        found.append((start, text))
    return tuple(dict.fromkeys(found))


def _embed(path: Path, _: bool) -> Iterator[Example]:
    scored = 0
    for number, record in enumerate(records(path)):
        line, values = record
        score = values.get("score")
        value = None if score in (None, "") else _number(path, line, score)
        scored += value is not None
        if 0 < scored < number + 1:
            raise DataError(path, "some pairs have a score and this or an earlier one has none", line=line)
        yield EmbedExample(field(path, record, "sentence1"), field(path, record, "sentence2"), value, f"{path}:{line}")


def _number(path: Path, line: int, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise DataError(path, f"score must be a number in [0, 1], got {value!r}; scale it", line=line)
    return number


_READERS: dict[TaskName, Callable[[Path, bool], Iterator[Example]]] = {
    "classify": _classify,
    "tag": _tag,
    "answer": _answer,
    "embed": _embed,
}


def check_trainable(task: TaskName, train: Sequence[Any], held_out: Sequence[Any]) -> None:
    """Raise DataError where nothing can be learned from ``train``, or ``held_out`` has labels that it does not know."""
    if task not in ("classify", "tag"):
        if len(train) < 2:  # one row has no other to be told from
            raise DataError(train[0].where, "is the only example; give at least two")
        return
    known = dict.fromkeys(label for example in train for label in _labels(example))
    if len(train) < 2 or not known:
        raise DataError(train[0].where, "gives nothing to learn: one example, or no label at all")
    if task == "classify" and len(known) < 2:
        raise DataError(train[0].where, f"every example has the label {next(iter(known))!r}; two are needed")
    for example in held_out:
        for label in _labels(example):
            if label not in known:
                hint = did_you_mean(label, known)
                raise DataError(example.where, f"the label {label!r} does not occur in the training examples{hint}")


def _labels(example: Any) -> list[str]:
    if isinstance(example, TagExample):
        return [split_tag(tag)[1] for tag in example.tags if tag != "O"]
    return list(example.labels)
