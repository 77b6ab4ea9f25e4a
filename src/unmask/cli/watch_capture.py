"""``unmask watch capture`` and ``export``: signals of texts in a file, and all signals as a Parquet file."""

from __future__ import annotations

import sqlite3
import time as clock
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from unmask import files
from unmask.cli.infer import in_groups
from unmask.cli.starting import MODEL
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, Terminal
from unmask.errors import DataError
from unmask.inference.loaded import LoadedModel
from unmask.inference.loading import load
from unmask.inference.task_predictor import TaskPredictor
from unmask.tasks.records import DELIMITERS, JSON_LINES, Record, kind_of, records
from unmask.watch.capture import Told
from unmask.watch.capture import capture as captured
from unmask.watch.keys import key_in
from unmask.watch.signals import whole
from unmask.watch.store import NAME, Captured, append, connect, export_parquet

AT_ONCE = 1024
LOCKED_SECONDS = 30.0

Asked = tuple[str, str | None, float | None]
"""A text, what is read with it, and when it was asked."""


def capture(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file with a text a line, .jsonl, .csv, .tsv or -")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="Where signals are kept.")],
    name: Annotated[str, typer.Option(help="What the model is called there; by default as its folder.")] = "",
    base: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="The language model that it came from, for bits and vectors.")
    ] = None,
    sample: Annotated[bool, typer.Option(help="Measure bits and vectors, of every text.")] = True,
    texts: Annotated[bool, typer.Option(help="Keep the texts too.")] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Keep signals of the texts of a file, as a server would of requests.

    A table or .jsonl may have a column time, in unix seconds; without it they were all asked now.
    """
    terminal, key = Terminal(json=json, quiet=quiet), key_in(into)
    predictor, frozen = load(model), None if base is None else load(base)
    chosen, count = name or model.name, 0
    with terminal.progress() as progress, _written(into) as write:
        for group in _groups(predictor, file):
            asked, pairs, times = zip(*group, strict=True)
            window = captured(
                predictor,
                asked,
                pairs,
                base=frozen,
                sample=sample,
                time=np.array([clock.time() if one is None else one for one in times]),
                key=key,
                told=_told(progress, count),
            )
            kept = [whole(text, pair) for text, pair in zip(asked, pairs, strict=True)] if texts else None
            write([Captured(chosen, task_name(predictor), window, kept)])
            count += len(window)
    terminal.emit({"into": str(into), "model": chosen, "texts": count})
    terminal.result(f"{into}: signals of {count:,} texts, as model {chosen}")
    terminal.next_step(f"unmask watch baseline {into} --model {chosen}")


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where signals are kept.")],
    out: Annotated[Path, typer.Option(help="The .parquet file to write.")],
    model: Annotated[str | None, typer.Option(help="Signals of this model alone.")] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write all signals as a Parquet file."""
    terminal = Terminal(json=json, quiet=quiet)
    files.refuse_unwritable(out)
    with files.answered(out):
        count = export_parquet(folder, out, model)
    terminal.emit({"out": str(out), "rows": count})
    terminal.result(f"{out}: {count:,} rows")


def _told(progress: Report, before: int) -> Told:
    """Return who hears of a group that comes after ``before`` texts, and tells of all of them."""
    return lambda done, _: progress("capturing", before + done, None, "texts")


@contextmanager
def _written(folder: Path) -> Iterator[Callable[[Sequence[Captured]], None]]:
    """Give what writes into the database of ``folder``. Raises DataError where it can not be written to."""
    try:
        with closing(connect(folder, LOCKED_SECONDS)) as connection:
            yield partial(append, connection)
    except sqlite3.Error as error:
        raise DataError(folder / NAME, f"can not be written to ({error})") from None


def task_name(model: LoadedModel) -> str:
    """Return what ``model`` was made for."""
    return model.block.name if isinstance(model, TaskPredictor) else "fill"


def _groups(model: LoadedModel, file: str) -> Iterator[Sequence[Asked]]:
    """Yield what is asked of ``model``, some at a time. Raises DataError."""
    if kind_of(Path(file)) in (*JSON_LINES, *DELIMITERS):
        rows = records(Path(file), {})
        while group := list(islice(rows, AT_ONCE)):
            yield [_asked(model, row) for row in group]
    else:
        for texts in in_groups(file):
            yield [(text, None, None) for text in texts]


def _asked(model: LoadedModel, row: Record) -> Asked:
    if task_name(model) == "answer":
        return row.text("question"), row.text("context"), _time(row)
    return row.text("text"), row.text("text_pair") if row.values.get("text_pair") else None, _time(row)


def _time(row: Record) -> float | None:
    said = row.values.get("time")
    if said is None:
        return None
    try:
        time = float(said)
    except (TypeError, ValueError):
        time = np.nan
    if not np.isfinite(time):
        raise row.wrong(f"time must be unix seconds, got {said!r}")
    return time
