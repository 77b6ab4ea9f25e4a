"""Does pre-training pay? The demo's encoder against the same network from scratch, and both against a bag of words.

Run: .venv/bin/python benchmarks/tasks.py --work DIR --encoders RUN RUN RUN [--data FOLDER] [--only NAME ...]. The
encoders are runs of the demo's recipe under three seeds. Every fine-tuning is kept in DIR as it ends, so a second call
goes on. The default tagging task is measured with seeds nested, 3 of pre-training times 3 of fine-tuning; the public
sets with one encoder. Recipes were chosen on development examples (results/tasks-tuning.md has the tries); test
examples are read by the final fine-tunings alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unmask.corpus.directory import open_corpus
from unmask.corpus.docstring_tasks import docstring_task
from unmask.finetuning.cells import Cell, Cells
from unmask.finetuning.curve import drawn
from unmask.finetuning.fit import Job, from_scratch, job_of
from unmask.finetuning.settings import FinetuneSettings
from unmask.inference.resolve import Resolved, resolve
from unmask.stats import bootstrap, hierarchical, paired_difference
from unmask.tasks.block import TaskName
from unmask.tasks.examples import AnswerExample, ClassifyExample, TagExample
from unmask.tasks.floors import floors
from unmask.tasks.formats import read_examples
from unmask.tasks.metrics import COMBINES

RESULTS = Path(__file__).parent / "results"
LABELS = 500
FINETUNE_SEEDS = 3
Split = tuple[list[Any], list[Any], list[Any]]


def default_tagging(corpus: Path) -> Split:
    """Return train, development and test sentences of the docstrings."""
    found = docstring_task("tag", open_corpus(corpus))
    parts = [
        [TagExample(tuple(row["tokens"]), tuple(row["tags"]), name) for row in found[name]]
        for name in ("train", "validation", "test")
    ]
    return parts[0], parts[1][:800], parts[2]


def banking77(folder: Path) -> Split:
    """Return BANKING77; a tenth of train is set aside for development."""

    def read(name: str) -> list[Any]:
        rows = csv.DictReader((folder / "banking77" / name).open(encoding="utf-8"))
        return [ClassifyExample(row["text"], None, (row["category"],), name) for row in rows]

    return (*_aside(read("train.csv"), 1000), read("test.csv"))


def clinc150(folder: Path) -> Split:
    """Return CLINC150 without its out-of-scope queries; development is cut to 1,500."""
    whole = json.loads((folder / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    train, development, test = (
        [ClassifyExample(text, None, (label,), name) for text, label in whole[name]]
        for name in ("train", "val", "test")
    )
    return train, development[::2], test


def wnut17(folder: Path) -> Split:
    """Return WNUT17 as published."""
    names = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
    train, development, test = (read_examples("tag", folder / "wnut17" / name) for name in names)
    return train, development, test


def restaurant8k(folder: Path) -> Split:
    """Return RESTAURANTS-8K as questions: for every requested slot, or one that is filled, which words give it."""

    def read(name: str) -> list[Any]:
        found = []
        for number, row in enumerate(json.loads((folder / "restaurant8k" / name).read_text(encoding="utf-8"))):
            text = row["userInput"]["text"]
            given = {
                label["slot"]: (label["valueSpan"].get("startIndex", 0), label["valueSpan"]["endIndex"])
                for label in row.get("labels", [])
            }
            for slot in sorted({*given, *row.get("context", {}).get("requestedSlots", [])}):
                start, end = given.get(slot, (0, 0))
                answers = ((start, text[start:end]),) if end > start else ()
                asked = f"What is the {slot.replace('_', ' ')}?"
                found.append(AnswerExample(f"{number}:{slot}", asked, text, answers, name))
        return found

    return (*_aside(read("train.json"), 800), read("test.json"))


def _aside(examples: list[Any], count: int) -> tuple[list[Any], list[Any]]:
    order = np.random.Generator(np.random.Philox(77)).permutation(len(examples))
    return [examples[place] for place in sorted(order[count:])], [examples[place] for place in order[:count]]


SETS: dict[str, tuple[TaskName, Callable[[Path], Split], list[int]]] = {
    "banking77": ("classify", banking77, [1000, 9003]),
    "clinc150": ("classify", clinc150, [1500, 15000]),
    "wnut17": ("tag", wnut17, [500, 3394]),
    "restaurant8k": ("answer", restaurant8k, [500, 4000]),
}


def job_for(task: TaskName, found: Resolved, split: Split, settings: FinetuneSettings) -> Job:
    """Return the job of a set, with all of its training examples."""
    train, development, _ = split
    return job_of(found, task, train, development, settings)


def nested(encoders: list[Resolved], split: Split, settings: FinetuneSettings, cells: Cells) -> dict[str, Any]:
    """Return the default task at LABELS: 3 x 3 seeds an arm, and the difference with nested seeds."""
    arms: dict[str, list[list[Cell]]] = {"pretrained": [], "scratch": []}
    for outer, found in enumerate(encoders):
        job = job_for("tag", found, split, settings)
        bases = {"pretrained": job.base, "scratch": from_scratch(job, 1000 + outer).base}
        for arm, base in bases.items():
            made = []
            for inner in range(FINETUNE_SEEDS):
                seed = 10 * outer + inner
                of_seed = partial(replace, drawn(job, LABELS, seed), base=base)
                made.append(cells.make(f"default-{arm}-{outer}-{inner}", of_seed, split[2], lambda _: None))
                print(f"default {arm} {outer} {inner}: {made[-1].value('entity_f1'):.4f}", flush=True)
            arms[arm].append(made)
    tables = {arm: [[cell.per_item["entity_f1"] for cell in made] for made in outer] for arm, outer in arms.items()}
    combine = COMBINES["entity_f1"]
    job = job_for("tag", encoders[0], split, settings)
    floor = floors(job.block, drawn(job, LABELS, 0).train, split[2])
    return {
        "labels": LABELS,
        "test": len(split[2]),
        "arms": {
            arm: {
                **hierarchical(table, combine).plain(),
                "cells": [[cell.value("entity_f1") for cell in made] for made in arms[arm]],
            }
            for arm, table in tables.items()
        },
        "difference": paired_difference(tables["pretrained"], tables["scratch"], combine).plain(),
        "floors": {name: metrics[0].value for name, metrics in floor.items()},
    }


def public(name: str, found: Resolved, folder: Path, settings: FinetuneSettings, cells: Cells) -> dict[str, Any]:
    """Return the arms on a public set at its two counts."""
    task, read, counts = SETS[name]
    split = read(folder)
    job = job_for(task, found, split, settings)
    rows: dict[str, Any] = {"task": task, "test": len(split[2]), "counts": {}}
    for count in counts:
        chosen = drawn(job, min(count, len(job.train)), 0)
        figures: dict[str, Any] = {}
        tables = {}
        for arm, base in {"pretrained": job.base, "scratch": from_scratch(job, 1000).base}.items():
            cell = cells.make(f"{name}-{arm}-{count}", partial(replace, chosen, base=base), split[2], lambda _: None)
            tables[arm] = cell
            headline = cell.headline
            figures[arm] = {key: bootstrap(value, COMBINES[key]).plain() for key, value in cell.per_item.items()}
            print(f"{name} {arm} {count}: {headline} {cell.value(headline):.4f}", flush=True)
        for floor, metrics in floors(job.block, chosen.train, split[2]).items():
            figures[floor] = {metric.name: bootstrap(metric.per_item, metric.combine).plain() for metric in metrics}
            print(f"{name} {floor} {count}: {metrics[0].value:.4f}", flush=True)
        ours, theirs = ([tables[arm].per_item[headline]] for arm in ("pretrained", "scratch"))
        difference = paired_difference(ours, theirs, COMBINES[headline]).plain()
        rows["counts"][str(len(chosen.train))] = {"headline": headline, "arms": figures, "difference": difference}
    return rows


def page(found: dict[str, Any], tries: str) -> str:
    """Return the results as Markdown."""

    def text(figure: dict[str, Any]) -> str:
        return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"

    lines = ["# Tasks: does pre-training pay?", ""]
    if default := found.get("default"):
        lines += [
            f"Tagging of docstrings, {default['labels']} labelled sentences, {default['test']:,} test sentences,",
            "strict entity F1; 3 seeds of pre-training x 3 of fine-tuning, intervals over both and over sentences.",
            "",
            "| arm | entity F1 | cells |",
            "| --- | --- | --- |",
        ]
        for arm, figure in default["arms"].items():
            cells = "; ".join(", ".join(f"{value:.3f}" for value in row) for row in figure["cells"])
            lines.append(f"| {arm} | {text(figure)} | {cells} |")
        lines += [f"| {name} (floor) | {value:.3f} | |" for name, value in default["floors"].items()]
        lines += ["", f"Pretrained minus scratch: {text(default['difference'])}.", ""]
    for name, rows in found.get("public", {}).items():
        lines += [f"## {name} ({rows['task']}, {rows['test']:,} test examples)", ""]
        for count, at_count in rows["counts"].items():
            lines += [f"{int(count):,} labels", "", f"| arm | {at_count['headline']} | others |", "| --- | --- | --- |"]
            for arm, figures in at_count["arms"].items():
                first, *others = figures.items()
                rest = ", ".join(f"{key} {figure['value']:.3f}" for key, figure in others)
                lines.append(f"| {arm} | {text(first[1])} | {rest} |")
            lines += ["", f"Pretrained minus scratch: {text(at_count['difference'])} (one seed).", ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join([*lines, tries]))


def main() -> None:
    """Measure what was asked for, and write results/tasks.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--encoders", type=Path, nargs="+", required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="*", default=["default", *SETS])
    parser.add_argument("--threads", type=int, default=0)
    chosen = parser.parse_args()
    settings = FinetuneSettings.parse({"training": {"threads": chosen.threads}})
    encoders, cells = [resolve(path) for path in chosen.encoders], Cells(chosen.work)
    target = RESULTS / "tasks.json"
    found = json.loads(target.read_text()) if target.exists() else {}
    if "default" in chosen.only:
        corpus = Path(encoders[0].origin["corpus"]["path"])
        found["default"] = nested(encoders, default_tagging(corpus), settings, cells)
    for name in SETS:
        if name in chosen.only and chosen.data:
            found.setdefault("public", {})[name] = public(name, encoders[0], chosen.data, settings, cells)
    target.write_text(json.dumps(found, indent=1) + "\n")
    tries = RESULTS / "tasks-tuning.md"
    (RESULTS / "tasks.md").write_text(page(found, tries.read_text() if tries.exists() else ""))


if __name__ == "__main__":
    main()
