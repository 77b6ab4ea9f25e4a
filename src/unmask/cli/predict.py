"""``unmask predict``: a line of JSON for every row of a file, with what a fine-tuned model makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask import files
from unmask.cli.streams import print_line
from unmask.errors import ModelError
from unmask.finetuning.data import joined
from unmask.inference.loading import load
from unmask.inference.task_predictor import TaskPredictor
from unmask.tasks.records import Record, records

ROWS_AT_ONCE = 256

Predicted = dict[str, Any]


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run of unmask finetune.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A csv, tsv or jsonl file; labels are not needed.")],
    out: Annotated[Path | None, typer.Option(help="The .jsonl file to write; standard output otherwise.")] = None,
) -> None:
    """Print what a fine-tuned model makes of every row of a file."""
    predictor = load(model)
    if not isinstance(predictor, TaskPredictor):
        raise ModelError(f"{model}: was not fine-tuned to a task; do so with unmask finetune, or use unmask fill")
    if out is not None:
        files.refuse_unwritable(out)
    lines = (json.dumps(row, ensure_ascii=False) for row in predicted(predictor, file))
    if out is None:
        for line in lines:
            print_line(line)
    else:
        with files.answered(out):
            out.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(out, "".join(f"{line}\n" for line in lines).encode())


def predicted(predictor: TaskPredictor, file: Path) -> Iterator[Predicted]:
    """Yield the fields of every row of ``file`` with ``prediction`` and, where the task has one, ``score``.

    classify reads ``text`` and perhaps ``text_pair``, tag ``tokens`` or ``text``, answer ``question`` and ``context``,
    embed ``text``, or ``sentence1`` and ``sentence2``. Raises DataError for a row that lacks what its task reads.
    """
    rows = records(file, {})
    while group := list(islice(rows, ROWS_AT_ONCE)):
        made = _PREDICT[predictor.block.name](predictor, group)
        yield from ({**row.values, **answer} for row, answer in zip(group, made, strict=True))


def _classify(predictor: TaskPredictor, rows: Sequence[Record]) -> list[Predicted]:
    pairs = [row.text("text_pair") if row.values.get("text_pair") else None for row in rows]
    found = predictor.classify([row.text("text") for row in rows], pairs if any(pairs) else None)
    least = predictor.block.threshold
    if not predictor.block.multi_label:  # null where it abstains
        return [
            {"prediction": best["label"] if best["score"] >= (least or 0) else None, "score": best["score"]}
            for best, *_ in found
        ]
    least = 0.5 if least is None else least
    return [{"prediction": [one["label"] for one in labels if one["score"] >= least]} for labels in found]


def _tag(predictor: TaskPredictor, rows: Sequence[Record]) -> list[Predicted]:
    if "tokens" not in rows[0].values:
        return [{"prediction": entities} for entities in predictor.tag([row.text("text") for row in rows])]
    texts, words = zip(*(joined(row.texts("tokens")) for row in rows), strict=True)
    return [{"prediction": tags} for tags in predictor.tags(texts, words)]


def _answer(predictor: TaskPredictor, rows: Sequence[Record]) -> list[Predicted]:
    found = predictor.answer([row.text("question") for row in rows], [row.text("context") for row in rows])
    return [
        {"prediction": best["answer"], "score": best["score"], "start": best["start"], "end": best["end"]}
        for best, *_ in found
    ]


def _embed(predictor: TaskPredictor, rows: Sequence[Record]) -> list[Predicted]:
    if "sentence1" not in rows[0].values:
        return [{"prediction": vector.tolist()} for vector in predictor.embed([row.text("text") for row in rows])]
    one, two = ([row.text(name) for row in rows] for name in ("sentence1", "sentence2"))
    return [{"prediction": float(cosine)} for cosine in predictor.similarity(one, two)]


_PREDICT: dict[str, Callable[[TaskPredictor, Sequence[Record]], list[Predicted]]] = {
    "classify": _classify,
    "tag": _tag,
    "answer": _answer,
    "embed": _embed,
}
