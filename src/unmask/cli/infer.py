"""``unmask fill``, ``score`` and ``embed``: one text on the command line, or a file with a text a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from unmask import files
from unmask.cli.starting import MODEL
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal
from unmask.corpus.readers import read_documents
from unmask.corpus.refusals import Refusals
from unmask.errors import DataError
from unmask.inference.loading import load
from unmask.inference.resolved import Attention

ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)]
FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="A file with a text a line, .jsonl, .csv ... or - for standard input.")
]
TEXTS_AT_ONCE = 256

ONE_WAY = "This model reads from left to right: what stands behind [MASK] was not looked at."


def fill(
    model: ModelArgument,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help='A text with [MASK] in it, as in "The [MASK] of the array."')
    ],
    top_k: Annotated[int, typer.Option(min=1, help="How many answers.")] = 5,
    targets: Annotated[str | None, typer.Option(help="Choose among these words alone, separated by commas.")] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Say what a model expects under [MASK]."""
    terminal = Terminal(json=json, quiet=quiet)
    loaded = load(model)
    [answer] = loaded.fill([text], top_k=top_k, targets=targets.split(",") if targets else None)
    terminal.emit({"text": text, "fills": answer})
    for number, best in enumerate(answer if isinstance(answer[0], list) else [answer], start=1):
        title = f"mask {number}" if isinstance(answer[0], list) else ""
        rows = [(f"{choice['score']:.1%}", choice["token_str"], choice["sequence"]) for choice in best]
        terminal.table([title or "chance", "token", "text"], rows, words=3)
    if loaded.info["model"]["is_causal"]:
        terminal.say(ONE_WAY)
    terminal.next_step(f"unmask score {model} FILE")


def score(
    model: ModelArgument,
    file: FileArgument,
    method: Annotated[
        Literal["pll", "word_l2r"], typer.Option(help="Hide a token, or also the rest of its word.")
    ] = "pll",
) -> None:
    """Print a line of JSON for every text: its pseudo-log-likelihood in nats."""
    predictor = load(model)
    for texts in in_groups(file):
        for text, found in zip(texts, predictor.score(texts, method), strict=True):
            Terminal(json=True).emit({"text": text, **found})


def embed(
    model: ModelArgument,
    file: FileArgument,
    out: Annotated[Path, typer.Option(help="The .npy file to write: float32, a row for every text.")],
    attention: Annotated[
        Attention, typer.Option(help="What a token sees: as in training, what stands before it, or all.")
    ] = "trained",
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write a vector for every text."""
    terminal = Terminal(json=json, quiet=quiet)
    if out.suffix != ".npy":
        raise DataError(out, "vectors are written as .npy; give a name that ends so")
    files.refuse_unwritable(out)
    predictor = load(model, attention=attention)
    vectors = np.concatenate([predictor.embed(texts) for texts in in_groups(file)])
    with files.answered(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    files.write_array(out, vectors)
    terminal.emit({"out": str(out), "texts": len(vectors), "dimensions": vectors.shape[1]})
    terminal.result(f"{out}: {len(vectors):,} vectors of {vectors.shape[1]} numbers")
    terminal.next_step(f"numpy.load('{out}'), a row for every text in its order")


def in_groups(source: str) -> Iterator[list[str]]:
    """Yield the texts of ``source`` in their order, a few at a time.

    Raises DataError where there is none, or one that can not be used: every text must have its answer.
    """
    refused, group, seen = Refusals(), [], False
    for document in read_documents(source, name="texts", document="line", field="text", refused=refused):
        if refused:
            break
        seen = True
        group.append(document.text)
        if len(group) == TEXTS_AT_ONCE:
            yield group
            group = []
    for reason, refusal in refused.items():
        raise DataError(refusal.first, f"a text that can not be used ({reason}); mend or remove it")
    if not seen:
        raise DataError(source, "holds no text")
    if group:
        yield group
