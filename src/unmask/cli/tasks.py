"""``unmask tasks``: the default tasks as files, made of the docstrings on this machine."""

from __future__ import annotations

import json as to_json
from pathlib import Path
from typing import Annotated, get_args

import typer

from unmask import files
from unmask.cli.corpus import CorpusRecipe, open_or_build
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal, count
from unmask.corpus.docstring_tasks import DefaultTask, docstring_task
from unmask.corpus.docstrings import SOURCE
from unmask.errors import DataError, SettingError

NAMES = {"train": "train", "validation": "dev", "test": "test"}
"""What the file of each split is called."""


def tasks(
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    task: Annotated[str, typer.Option(help=f"One of {', '.join(get_args(DefaultTask))}.")] = "tag",
    corpus: Annotated[str, typer.Option(help="The corpus of docstrings whose splits count.")] = SOURCE,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write train, dev and test examples of a default task."""
    terminal = Terminal(json=json, quiet=quiet)
    if task not in get_args(DefaultTask):
        raise SettingError(f"task must be one of {', '.join(get_args(DefaultTask))}, got {task!r}")
    if out.exists():
        raise DataError(out, "is already there; choose another --out or remove it")
    recipe = CorpusRecipe()
    with terminal.progress() as progress:
        opened = open_or_build(corpus, recipe.corpus, recipe.tokenizer, progress)
        progress("examples", 0)
        found = docstring_task(task, opened)  # type: ignore[arg-type]  # it is one of them
    with files.answered(out), files.working_folder(out) as aside:
        for split, rows in found.items():
            text = "".join(to_json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            files.write_bytes(aside / f"{NAMES[split]}.jsonl", text.encode())
        files.publish_folder(aside, out)
    counts = {NAMES[split]: len(rows) for split, rows in found.items()}
    terminal.emit({"out": str(out), "task": task, "examples": counts})
    terminal.table(["file", "examples"], [(f"{out / name}.jsonl", count(number)) for name, number in counts.items()])
    terminal.next_step(
        f"unmask finetune RUN --task {task} --train {out}/train.jsonl --dev {out}/dev.jsonl --test {out}/test.jsonl "
        "--out TAGGER"
    )
