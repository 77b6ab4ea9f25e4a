"""Examples of the four tasks from files. A broken row is named by file and line; nothing is skipped in silence.

What bites: a tag file decides its scheme as a whole, so a single S- in the last sentence makes all of it BIOES.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unmask.errors import DataError, did_you_mean
from unmask.tasks.block import TaskName
from unmask.tasks.examples import AnswerExample, ClassifyExample, EmbedExample, Example, TagExample
from unmask.tasks.records import JSON_LINES, Record, columns, kind_of, parse_json, read_text, records
from unmask.tasks.tags import OUTSIDE, scheme_of, split_tag, to_bio

SEVERAL = "|"
"""What stands between the labels of a text in a table."""


def read_examples(
    task: TaskName, path: Path, *, multi_label: bool = False, fields: Mapping[str, str] | None = None
) -> list[Any]:
    """Return the examples of ``task`` in ``path``, of the task's class in :mod:`unmask.tasks.examples`.

    ``fields`` says what the file calls a field, where it is not our name: ``{"label": "category"}``. Raises DataError
    for the first thing that is wrong.
    """
    found: list[Example]
    kind, fields = kind_of(path), fields or {}
    if task == "tag":
        found = _tagged(_json_tags(path, fields) if kind in JSON_LINES else _column_tags(path))
    elif task == "answer" and kind == ".json":
        found = list(_squad(path))
    elif task == "embed":
        found = [_embed(record) for record in records(path, fields)]
        _check_scores(found)
    elif task == "answer":
        found = [_answer(record) for record in records(path, fields)]
    else:
        found = [_classify(record, multi_label=multi_label) for record in records(path, fields)]
    if not found:
        raise DataError(path, "holds no example")
    return found


def _classify(record: Record, *, multi_label: bool) -> ClassifyExample:
    pair = record.text("text_pair") if record.values.get("text_pair") else None
    labels = _labels(record) if multi_label else (_label(record),)
    return ClassifyExample(record.text("text"), pair, labels, record.where)


def _label(record: Record) -> str:
    """Return the label of a record; a whole number is one too."""
    label = record.value("label")
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    if isinstance(label, list):
        raise record.wrong("label is a list; for several labels a text set task.multi_label=true")
    return record.text("label")


def _labels(record: Record) -> tuple[str, ...]:
    """Return the labels of a record: a list, or in a table text with | between; there may be none."""
    labels = record.value("label")
    if isinstance(labels, str):
        labels = [part.strip() for part in labels.split(SEVERAL) if part.strip()]
    if not isinstance(labels, list) or not all(isinstance(label, str | int) and str(label).strip() for label in labels):
        raise record.wrong("label must be a list of labels")
    return tuple(dict.fromkeys(map(str, labels)))


_Tagged = tuple[Path, int, list[str], list[str]]
"""File, first line, words, tags."""


def _tagged(rows: Iterator[_Tagged]) -> list[Example]:
    read = list(rows)
    for path, line, tokens, tags in read:
        if len(tokens) != len(tags):
            raise DataError(path, f"has {len(tokens)} tokens and {len(tags)} tags", line=line)
        for place, (token, tag) in enumerate(zip(tokens, tags, strict=True), start=1):
            if not token.strip():
                raise DataError(path, f"token {place} is empty", line=line)
            try:
                split_tag(tag)
            except ValueError as error:
                raise DataError(path, f"the tag of token {place}, {token!r}: {error}", line=line) from None
    scheme = scheme_of(tags for _, _, _, tags in read)
    return [
        TagExample(tuple(tokens), tuple(to_bio(tags, scheme)), f"{path}:{line}") for path, line, tokens, tags in read
    ]


def _json_tags(path: Path, fields: Mapping[str, str]) -> Iterator[_Tagged]:
    for record in records(path, fields):
        tokens, tags = record.texts("tokens"), record.texts("tags")
        if not tokens:
            raise record.wrong("tokens is empty; leave the row out")
        yield path, record.line, tokens, tags


def _column_tags(path: Path) -> Iterator[_Tagged]:
    for block in columns(path):
        for line, parts in block:
            if len(parts) < 2:  # a word and its tag
                raise DataError(path, f"needs a token and a tag, got {' '.join(parts)!r}", line=line)
        yield path, block[0][0], [parts[0] for _, parts in block], [parts[-1] for _, parts in block]


def _answer(record: Record) -> AnswerExample:
    context = record.text("context")
    answers = _answers(record.path, record.line, record.value("answers"), context)
    identity = str(record.values.get("id", record.line))
    return AnswerExample(identity, record.text("question"), context, answers, record.where)


def _squad(path: Path) -> Iterator[AnswerExample]:
    """Read SQuAD 1.1 and 2.0. A question is named by its id, since all of the file may be one line."""
    whole = parse_json(path, read_text(path))
    for article in _objects(path, whole, "data", "the file"):
        for paragraph in _objects(path, article, "paragraphs", "an article"):
            context = _string(path, paragraph, "context", "a paragraph")
            for question in _objects(path, paragraph, "qas", "a paragraph"):
                identity = str(question.get("id"))
                name = f"question {identity}"
                given = [] if question.get("is_impossible") else question.get("answers")
                where = f"{path} ({name})"
                yield AnswerExample(
                    identity,
                    _string(path, question, "question", name),
                    context,
                    _answers(where, None, given, context),
                    where,
                )


def _objects(path: Path, parent: Any, name: str, of: str) -> list[dict[str, Any]]:
    found = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        raise DataError(path, f"is not of SQuAD's form: {of} needs {name}, a list of objects")
    return found


def _string(path: Path, parent: Mapping[str, Any], name: str, of: str) -> str:
    found = parent.get(name)
    if not isinstance(found, str) or not found.strip():
        raise DataError(path, f"is not of SQuAD's form: {of} needs {name}, a text that is not empty")
    return found


def _answers(path: Path | str, line: int | None, given: Any, context: str) -> tuple[tuple[int, str], ...]:
    """Return (start, text) of the answers ``given``, each checked against the context, each once."""
    if isinstance(given, dict):  # the form of the hub: lists of starts and texts
        starts, texts = (given.get(name) for name in ("answer_start", "text"))
        if not isinstance(starts, list) or not isinstance(texts, list) or len(starts) != len(texts):
            raise DataError(path, "answers needs answer_start and text, lists of the same length", line=line)
        given = [{"answer_start": start, "text": text} for start, text in zip(starts, texts, strict=True)]
    if not isinstance(given, list):
        raise DataError(path, "answers must be a list of objects with answer_start and text", line=line)
    found = []
    for answer in given:
        start, text = (answer.get(name) for name in ("answer_start", "text")) if isinstance(answer, dict) else (0, None)
        if not isinstance(start, int) or not isinstance(text, str) or not text.strip():
            raise DataError(path, "an answer needs answer_start and text", line=line)
        if start < 0 or context[start : start + len(text)] != text:
            stands = context[max(0, start) : max(0, start) + len(text)]
            raise DataError(path, f"the answer {text!r} is not at {start}, where {stands!r} stands", line=line)
        found.append((start, text))
    return tuple(dict.fromkeys(found))


def _embed(record: Record) -> EmbedExample:
    given = record.values.get("score")
    score = None if given is None or given == "" else _score(record, given)
    return EmbedExample(record.text("sentence1"), record.text("sentence2"), score, record.where)


def _score(record: Record, given: Any) -> float:
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise record.wrong(f"score must be a number in [0, 1], got {given!r}; scale it")
    return number


def _check_scores(pairs: Sequence[Any]) -> None:
    """Raise DataError at the first of ``pairs`` without a score where others have one."""
    without = [pair for pair in pairs if pair.score is None]
    if without and len(without) < len(pairs):
        raise DataError(without[0].where, "has no score, but other pairs have; score all of them or none")


def check_trainable(task: TaskName, train: Sequence[Any], held_out: Sequence[Any]) -> None:
    """Raise DataError where nothing can be learned from ``train``, or ``held_out`` holds labels that it does not."""
    for examples, name in ((train, "training"), (held_out, "development")):
        if not examples:
            raise DataError(f"{name} examples", "there are none")
    first = train[0].where
    if len(train) == 1:
        raise DataError(first, "is the only training example; give at least two")
    if task == "answer" and not any(example.answers for example in train):
        raise DataError(first, "no question of the training examples has an answer; give some that have")
    if task in ("classify", "tag"):
        _check_labels(task, train, held_out)


def _check_labels(task: TaskName, train: Sequence[Any], held_out: Sequence[Any]) -> None:
    known = dict.fromkeys(label for example in train for label in _labels_of(example))
    if not known:
        raise DataError(train[0].where, "no training example has a label; there is nothing to learn")
    for label in known if task == "classify" else ():
        if all(example.labels == (label,) for example in train):
            raise DataError(train[0].where, f"every training example has the label {label!r}; two are needed")
    for example in held_out:
        for label in _labels_of(example):
            if label not in known:
                hint = did_you_mean(label, known)
                raise DataError(example.where, f"the label {label!r} does not occur in the training examples{hint}")


def _labels_of(example: Any) -> Sequence[str]:
    if isinstance(example, TagExample):
        return [split_tag(tag)[1] for tag in example.tags if tag != OUTSIDE]
    return tuple(example.labels)
