"""``unmask tasks``: the default tasks as files, made of the docstrings on this machine."""

from __future__ import annotations

import json as to_json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from unmask import files
from unmask.cli.corpus import CorpusRecipe, open_or_build
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal, count
from unmask.corpus.directory import Corpus
from unmask.corpus.docstring_tasks import DefaultTask, Example, docstring_task
from unmask.corpus.docstrings import SOURCE, docstrings_key
from unmask.errors import DataError, SettingError

NAMES = {"train": "train", "validation": "dev", "test": "test"}
"""What the file of each split is called."""
SUFFIXES: dict[DefaultTask, str] = {"tag": "jsonl", "answer": "json", "classify": "jsonl"}


def tasks(
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    task: Annotated[str, typer.Option(help=f"One of {', '.join(get_args(DefaultTask))}.")] = "tag",
    corpus: Annotated[str, typer.Option(help="The corpus of docstrings whose splits count.")] = SOURCE,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write train, dev and test examples of a default task."""
    terminal = Terminal(json=json, quiet=quiet)
    chosen = _checked(task)
    if out.exists():
        raise DataError(out, "is already there; choose another --out or remove it")
    recipe = CorpusRecipe()
    with terminal.progress() as progress:
        opened = open_or_build(corpus, recipe.corpus, recipe.tokenizer, progress)
        progress("examples", 0)
        found = docstring_task(chosen, opened)
    card = _card(chosen, opened, found)
    with files.answered(out), files.working_folder(out) as aside:
        for split, rows in found.items():
            text = _squad(rows) if chosen == "answer" else "".join(map(_line, rows))
            files.write_bytes(aside / card["splits"][NAMES[split]]["file"], text.encode())
        files.write_json(aside / "manifest.json", card)
        files.publish_folder(aside, out)
    terminal.emit({"out": str(out), **card})
    _show(terminal, out, card)


def _checked(task: str) -> DefaultTask:
    for known in SUFFIXES:
        if task == known:
            return known
    raise SettingError(f"task must be one of {', '.join(SUFFIXES)}, got {task!r}")


def _card(task: DefaultTask, corpus: Corpus, found: dict[str, list[Example]]) -> dict[str, Any]:
    """Return what the examples are made of, and how many there are of each label."""
    splits = {
        NAMES[split]: {
            "file": f"{NAMES[split]}.{SUFFIXES[task]}",
            "examples": len(rows),
            "labels": dict(sorted(Counter(label for row in rows for label in _labels(row)).items())),
        }
        for split, rows in found.items()
    }
    return {
        "format": "unmask-task",
        "version": 1,
        "task": task,
        "corpus": corpus.manifest.fingerprint,
        "docstrings": docstrings_key(),
        "splits": splits,
    }


def _labels(row: Example) -> list[str]:
    """Return the labels that a row counts under: its entities', its class, or whether there is an answer."""
    if "tags" in row:
        return [tag[2:] for tag in row["tags"] if tag.startswith("B-")] or ["none"]
    return [row["label"]] if "label" in row else ["answered" if row["answers"] else "no answer"]


def _line(row: Example) -> str:
    return to_json.dumps(row, ensure_ascii=False) + "\n"


def _squad(rows: Sequence[Example]) -> str:
    """Return the file of SQuAD 2.0 that holds ``rows``, the questions about a text together."""
    asked: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        question = {key: row[key] for key in ("id", "question", "answers")}
        asked.setdefault(row["context"], []).append({**question, "is_impossible": not row["answers"]})
    paragraphs = [{"context": context, "qas": questions} for context, questions in asked.items()]
    return _line({"version": "v2.0", "data": [{"title": SOURCE, "paragraphs": paragraphs}]})


def _show(terminal: Terminal, out: Path, card: dict[str, Any]) -> None:
    splits = card["splits"]
    names = sorted({name for split in splits.values() for name in split["labels"]})
    lines = [("examples", *(count(split["examples"]) for split in splits.values()))]
    lines += [(name, *(count(split["labels"].get(name, 0)) for split in splits.values())) for name in names]
    terminal.table(["", *splits], lines)
    given = " ".join(f"--{name} {out / split['file']}" for name, split in splits.items())
    terminal.next_step(f"unmask finetune RUN --task {card['task']} {given} --out TASK_RUN")
