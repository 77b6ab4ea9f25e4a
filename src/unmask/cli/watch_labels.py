"""``unmask watch labels``: what labels say of a model that is watched, beside what was estimated without them."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from unmask import files
from unmask.cli.starting import MODEL
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal
from unmask.cli.watch_baseline import BaselineOption, beside, when
from unmask.cli.watch_capture import task_name
from unmask.errors import DataError, ModelError, UserError
from unmask.inference.loading import load
from unmask.tasks.records import records
from unmask.watch.alarms import Judged
from unmask.watch.baseline import read_baseline
from unmask.watch.capture import capture
from unmask.watch.estimate import BackTest, Labelled, back_test, estimates, refusal
from unmask.watch.features import GROUP_OF
from unmask.watch.window import Window

FORMAT, VERSION = "unmask-labelled", 1
_SEEN_TO_CHANGE = 0.05
"""The p-value up to which a signal is taken to have changed at all."""


def labels(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A csv, tsv or jsonl file with text and label.")],
    model: Annotated[Path, typer.Option(metavar="MODEL", help=MODEL)],
    baseline: BaselineOption = Path("baseline.safetensors"),
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Hold estimates against the labels of a file, and estimate by these labels from now on."""
    terminal, path = Terminal(json=json, quiet=quiet), beside(baseline, "labels")
    read_baseline(baseline)
    before, now = read_labelled(path), labelled_by(model, file, terminal)
    tested = back_test(joined(before), now)
    entry = {
        "file": file.name,
        "time": clock.time(),
        "confidence": now.confidence.tolist(),
        "right": now.right.tolist(),
        "back_test": None if tested is None else plain_test(tested),
    }
    files.write_json(path, files.sealed({"format": FORMAT, "version": VERSION, "windows": [*before, entry]}))
    accuracy = float(now.right.mean())
    found = {"format": FORMAT, "version": VERSION, "file": str(file), "texts": len(now), "accuracy": accuracy}
    terminal.emit({**found, "back_test": entry["back_test"]})
    terminal.result(f"{file}: {len(now):,} texts, {accuracy:.1%} right")
    terminal.result("No estimate to compare with yet." if tested is None else f"Back-test: {tested.words}.")
    if tested is not None and not tested.held:
        terminal.result("The estimate was off, so none is made until one holds again.")


def labelled_by(model: Path, file: Path, terminal: Terminal) -> Labelled:
    """Return how sure ``model`` is of the texts of ``file``, and where it is right. Raises DataError, ModelError."""
    predictor = load(model)
    block = getattr(predictor, "block", None)
    if task_name(predictor) != "classify" or block is None or block.multi_label:
        raise ModelError(f"{model}: accuracy is estimated for a model that gives each text one label")
    rows = list(records(file, {}))
    for row in rows:
        if row.text("label") not in block.labels:
            raise row.wrong(f"label {row.text('label')!r} is none of the model's: {', '.join(block.labels)}")
    pairs = [row.text("text_pair") if row.values.get("text_pair") else None for row in rows]
    if not rows:
        raise DataError(file, "holds no labelled text")
    with terminal.progress() as progress:
        window = capture(
            predictor,
            [row.text("text") for row in rows],
            pairs if any(pairs) else None,
            sample=False,
            told=lambda done, total: progress("asking", done, total, "texts"),
        )
    truth = np.array([row.text("label") for row in rows])
    return Labelled(window.numbers["confidence"], window.classes["prediction"] == truth)


def read_labelled(path: Path) -> list[dict[str, Any]]:
    """Return the labelled windows in the file ``path``, none where it is missing. Raises DataError."""
    if not path.is_file():
        return []
    values = files.read_object(path, UserError)
    if files.sealed(values) != values or (values.get("format"), values.get("version")) != (FORMAT, VERSION):
        raise DataError(path, f"is damaged or not of {FORMAT} {VERSION}; remove it to begin anew")
    windows: list[dict[str, Any]] = values["windows"]
    return windows


def joined(windows: list[dict[str, Any]]) -> Labelled:
    """Return all labelled requests."""
    return Labelled.joined([Labelled(np.array(one["confidence"]), np.array(one["right"], bool)) for one in windows])


def plain_test(tested: BackTest) -> dict[str, Any]:
    """Return a back-test as JSON writes it."""
    return {
        "estimates": tested.estimates,
        "accuracy": tested.accuracy,
        "count": tested.count,
        "held": tested.held,
        "words": tested.words,
    }


def quality(baseline: Path, window: Window, judged: Judged) -> Mapping[str, Any] | None:
    """Return what is estimated of ``window``, or why nothing is; None where nobody has labelled anything."""
    windows = read_labelled(beside(baseline, "labels"))
    if not windows:
        return None
    labelled = joined(windows)
    confidence = window.numbers["confidence"][np.isfinite(window.numbers["confidence"])]
    changed = {
        name: effect
        for name, effect in judged.effect.items()
        if GROUP_OF[name] != "service" and judged.p[name] <= _SEEN_TO_CHANGE
    }
    tests = [
        BackTest(one["back_test"]["estimates"], one["back_test"]["accuracy"], one["back_test"]["count"])
        for one in windows
        if one["back_test"]
    ]
    refused = refusal(labelled, confidence, changed, tests)
    return {
        "refused": refused,
        "estimates": None if refused else estimates(labelled, confidence),
        "labelled": len(labelled),
        "newest_labels": when(windows[-1]["time"]),
    }
