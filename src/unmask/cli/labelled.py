"""Fine-tuned models and the labelled examples that they are judged by, for diagnosis and gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.errors import DataError, ModelError, SettingError, did_you_mean
from unmask.inference.loading import task_predictor
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.inference.task_predictor import TaskPredictor
from unmask.tasks.block import TaskBlock
from unmask.tasks.examples import AnswerExample, ClassifyExample, EmbedExample, TagExample
from unmask.tasks.formats import read_examples
from unmask.tasks.metrics import Metric
from unmask.tasks.records import records


def open_task(where: Path) -> tuple[Resolved, TaskPredictor]:
    """Return the fine-tuned model that ``where`` names. Raises ModelError where it was not fine-tuned."""
    found = resolve(where)
    if found.task is None:
        raise ModelError(f"{where}: was not fine-tuned to a task; do so with unmask finetune")
    return found, task_predictor(found)


def labelled(block: TaskBlock, path: Path, fields: Mapping[str, str]) -> list[Any]:
    """Return the examples in ``path``. Raises DataError for what is wrong in it, and a label that the model has not."""
    examples = read_examples(block.name, path, multi_label=block.multi_label, fields=fields)
    for example in examples if block.labels else ():
        for label in example.labels if isinstance(example, ClassifyExample) else example.tags:
            if label not in block.labels:
                hint = did_you_mean(label, block.labels)
                raise DataError(example.where, f"the model does not know the label {label!r}{hint}")
    return examples


def values_in(path: Path, field: str) -> npt.NDArray[np.str_]:
    """Return (N,) what each row of a csv, tsv or jsonl file says in ``field``. Raises DataError where it has none."""
    return np.array([str(row.value(field)) for row in records(path, {})], np.str_)


def fields_of(words: Sequence[str] | None) -> dict[str, str]:
    """Return what files call our fields, of words such as ``label=category``. Raises SettingError for another form."""
    found = {}
    for word in words or ():
        ours, equals, theirs = word.partition("=")
        if not equals or not ours or not theirs:
            raise SettingError(f"--field must be OURS=THEIRS, as in label=category, got {word!r}")
        found[ours] = theirs
    return found


def figure_named(metrics: Sequence[Metric], name: str | None) -> Metric:
    """Return the figure ``name``, by default the task's headline. Raises SettingError where the task has none such."""
    if name is None:
        return metrics[0]
    for metric in metrics:
        if metric.name == name:
            return metric
    known = [metric.name for metric in metrics]
    raise SettingError(f"figure must be one of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}")


def asked_of(example: Any) -> tuple[str, str | None]:
    """Return what the model is asked in an example: a text, and what is read with it."""
    if isinstance(example, ClassifyExample):
        return example.text, example.text_pair
    if isinstance(example, TagExample):
        return " ".join(example.tokens), None
    if isinstance(example, AnswerExample):
        return example.question, example.context
    return example.sentence1, example.sentence2


def restyled(examples: Sequence[Any], style: Callable[[str], str]) -> list[Any]:
    """Return ``examples`` of classify, tag or embed with their texts in another style."""
    return [_restyled(example, style) for example in examples]


def _restyled(example: Any, style: Callable[[str], str]) -> Any:
    if isinstance(example, ClassifyExample):
        pair = None if example.text_pair is None else style(example.text_pair)
        return replace(example, text=style(example.text), text_pair=pair)
    if isinstance(example, TagExample):
        return replace(example, tokens=tuple(style(token) for token in example.tokens))
    assert isinstance(example, EmbedExample), "answers stand at places of their text, which another style would move"
    return replace(example, sentence1=style(example.sentence1), sentence2=style(example.sentence2))
