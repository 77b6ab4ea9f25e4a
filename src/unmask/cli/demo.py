"""``unmask demo``: from text that is already here to a measured encoder, saying at each stage what it does and why."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.text import Text

from unmask import files
from unmask.cli.corpus import open_or_build, print_card
from unmask.cli.figures import print_figures, print_task
from unmask.cli.mask import LEGEND, drawn, pieces
from unmask.cli.planning import PretrainSettings, pretrain_settings, seeded
from unmask.cli.pretrain import start_run
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, SeedOption, Terminal, duration
from unmask.corpus.directory import Corpus
from unmask.corpus.docstring_tasks import docstring_task
from unmask.corpus.docstrings import SOURCE
from unmask.evaluation.masked import FROZEN_MASKING, FROZEN_SEED, evaluation_object
from unmask.finetuning.cells import Cells
from unmask.finetuning.curve import Curve, Start, fill_cells, summary
from unmask.finetuning.fit import from_scratch, job_of
from unmask.finetuning.settings import FinetuneSettings
from unmask.inference.resolve import resolve
from unmask.masking.mask import mask_rows
from unmask.report.curve_page import render_curve
from unmask.runs import RunDirectory, refuse_occupied
from unmask.settings import read_settings
from unmask.tasks.examples import TagExample
from unmask.training.budget import parse_budget

TEXT = """1. Text
The docstrings of Python and of the packages beside it: real technical English that is
already on this machine. Markup and code are taken out, exact duplicates vanish, and near
duplicates stay together on one side of the split, so that held-out text is really held out."""
MASKING = """2. Masking
A share of the tokens is hidden and the network has to restore them from both sides. Of the
hidden ones most show [MASK], some a random token, some themselves. A held-out text at 15 %:"""
TRAINING = """3. Training ({budget})
A {preset} encoder, shaped like ModernBERT. Watch the three losses apart: "kept" falls first,
that is copying and worth little; "masked" is the figure that counts, and it is measured
against the unigram line: what guessing by word frequency alone would score."""
MEASURING = """4. Measuring
The same held-out windows and the same masks for every model, averages over tokens, 95 %
intervals over documents."""
FILLS = """5. Three filled masks
Held-out sentences, one word hidden, and what the encoder expects in its place."""

SKETCH = """6. Was it worth it? (a sketch)
The encoder is fine-tuned to tag names in docstrings (functions, classes, parameters) with 50
and with 200 labelled sentences, and so is the same network without pre-training. Two seeds
and 300 test sentences show a direction, not a figure to quote: unmask finetune --labels does
it in earnest."""

RECIPE = ("model.num_hidden_layers=2", "training.batch_rows=8", "optimizer.learning_rate=1.4e-3")
"""Two layers of mini, small batches: in minutes many tokens teach more than many weights (tuned on validation)."""

SKETCHED = (50, 200)
"""Labelled sentences of the sketch."""


def demo(
    settings: Annotated[list[str] | None, typer.Argument(metavar="group.key=value", help="Settings.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the run is written; by default unmask-demo here.")] = None,
    budget: Annotated[str, typer.Option(help="NUMBER(s|m|h|d|tok|steps): how long to train.")] = "5m",
    seed: SeedOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Tell the whole story on text that is already on this machine."""
    terminal = Terminal(json=json, quiet=quiet)
    chosen, parsed = pretrain_settings([*RECIPE, *(settings or []), *seeded(seed)]), parse_budget(budget)
    out = out or free_name("unmask-demo")
    refuse_occupied(out)

    terminal.say(f"{TEXT}\n")
    with terminal.progress() as progress:
        corpus = open_or_build(SOURCE, chosen.corpus, chosen.tokenizer, progress)
    print_card(terminal, corpus)

    terminal.say(f"\n{MASKING}\n")
    terminal.say(masked_example(corpus))

    terminal.say(f"\n{TRAINING.format(budget=budget, preset=chosen.model.preset)}\n")
    with terminal.progress() as progress:
        run = start_run(corpus, out, chosen, parsed, progress)
    _show(terminal, run, chosen)

    terminal.say(f"\n{SKETCH}\n")
    with terminal.progress() as progress:
        curve = sketch(corpus, run, progress)
    print_task(terminal, curve)
    terminal.emit({"run": str(run.path), **run.evaluation, "sketch": curve["curve"]})
    terminal.say(f"\nThe reports: {run.path / 'report.html'} and {run.path / 'sketch.html'}")
    terminal.next_step(f'unmask fill {run.path} "Returns the [MASK] of the array."')


def masked_example(corpus: Corpus) -> Text:
    """Return a held-out window under the frozen masks, drawn."""
    rows = corpus.rows(64, split="validation", max_documents=1).gather(np.arange(1))
    masked = mask_rows(
        rows,
        FROZEN_MASKING,
        mask_id=corpus.vocabulary.mask_id,
        ordinary_ids=corpus.vocabulary.ordinary_ids,
        seed=FROZEN_SEED,
        epoch=np.zeros(1, np.int64),
        rate=FROZEN_MASKING.mlm_probability,
    )
    return drawn([*pieces(corpus, rows, masked, 0), ("\n\n", ""), *LEGEND])


def sketch(corpus: Corpus, run: RunDirectory, progress: Report) -> dict[str, Any]:
    """Return a small label curve of the default tagging task, and write its page beside the run's report."""
    split = docstring_task("tag", corpus)
    train, development, test = (
        [TagExample(tuple(row["tokens"]), tuple(row["tags"]), name) for row in split[name][:most]]
        for name, most in (("train", 4 * max(SKETCHED)), ("validation", 100), ("test", 300))
    )
    settings = read_settings(FinetuneSettings, overrides={"training.eval_every": 100})
    found = resolve(run.path)
    job = job_of(found, "tag", train, development, settings)
    arms: dict[str, Start] = {"pretrained": lambda job, _: job, "scratch": from_scratch}
    curve = Curve(job=job, held_out=test, arms=arms, counts=SKETCHED, seeds=2)
    cells = run.path / "sketch"
    found_curve = {"task": "tag", **summary(curve, fill_cells(curve, Cells(cells), progress))}
    shutil.rmtree(cells)
    evaluation = evaluation_object(found.origin, curve=found_curve)
    files.write_json(run.path / "sketch.json", evaluation)
    page = render_curve(run.state, settings.plain(), evaluation, is_sketch=True)
    files.write_bytes(run.path / "sketch.html", page.encode())
    return evaluation


def free_name(stem: str) -> Path:
    """Return the first of STEM, STEM-2, ... that does not exist here."""
    names = (Path(stem if number == 1 else f"{stem}-{number}") for number in count(1))
    return next(name for name in names if not name.exists())


def _show(terminal: Terminal, run: RunDirectory, chosen: PretrainSettings) -> None:
    evaluation, fills = run.read("evaluation.json") or {}, run.read("fills.json") or {"fills": []}
    state = run.state
    terminal.say(f"\n{MEASURING}")
    print_figures(terminal, evaluation["mlm"])
    terminal.result(
        f"{state['tokens']:,} tokens seen in {duration(state['seconds'])} "
        f"by {state['model']['parameters']:,} parameters, seed {chosen.training.seed}."
    )
    terminal.say(f"\n{FILLS}")
    for fill in fills["fills"][:3]:
        terminal.result(f"\n{_filled(fill['pieces'])}")


def _filled(pieces: list[dict[str, Any]]) -> str:
    text = "".join("[MASK]" if piece["hidden"] else piece["text"] for piece in pieces)
    hidden = next(piece for piece in pieces if piece["hidden"])
    answers = ", ".join(f"{best['token']} {best['probability']:.0%}" for best in hidden["predictions"])
    return f"  {text}\n  was: {hidden['text']}    expects: {answers}"
