"""``unmask corpus canaries``: text with random numbers planted in it, for a corpus that shows what a model remembers.

What bites: never train a model that will be used on such text.
"""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from unmask import files
from unmask.cli.infer import in_groups
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal
from unmask.corpus.documents import document_id
from unmask.corpus.recipe import CorpusSettings
from unmask.corpus.split import TRAIN, split_of
from unmask.errors import DataError
from unmask.evaluation.memorisation import make_canaries, plant


def canaries(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A file with a document a line, .jsonl, .csv ...")],
    out: Annotated[Path, typer.Option(help="The folder for text.jsonl and canaries.jsonl.")],
    seed: Annotated[int, typer.Option(min=0, help="Where chance starts.")] = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Plant random numbers in text, 1 to 32 copies of each, all of them in what will be trained on."""
    terminal = Terminal(json=json, quiet=quiet)
    if out.exists():
        raise DataError(out, "is already there; choose another --out or remove it")
    made, settings = make_canaries(seed=seed), CorpusSettings()

    def is_trained_on(document: str) -> bool:
        return bool(split_of([document_id(document)], settings.validation, settings.test)[0] == TRAIN)

    documents = (document for group in in_groups(text) for document in group)
    planted = list(plant(documents, made, is_trained_on, seed))
    with files.answered(out):
        out.mkdir(parents=True)
    for name, lines in (
        ("text.jsonl", [{"text": document} for document in planted]),
        ("canaries.jsonl", [canary.plain() for canary in made]),
    ):
        files.write_bytes(
            out / name, "".join(jsonlib.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        )
    copies = sum(canary.copies for canary in made)
    terminal.emit({"out": str(out), "documents": len(planted), "copies": copies})
    terminal.result(f"{out}: {len(planted):,} documents, {copies:,} copies of canaries planted in them")
    terminal.next_step(f"unmask corpus build {out / 'text.jsonl'} --out DIR corpus.near_duplicates=1")
