"""``unmask demo``: from text that is already here to a measured encoder, saying at each stage what it does and why."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.text import Text

from unmask.cli.corpus import open_or_build, print_card
from unmask.cli.figures import print_figures
from unmask.cli.mask import LEGEND, drawn, pieces
from unmask.cli.pretrain import PretrainSettings, pretrain_settings, seeded, start_run
from unmask.cli.terminal import JsonFlag, QuietFlag, SeedOption, Terminal, duration
from unmask.corpus.directory import Corpus
from unmask.corpus.docstrings import SOURCE
from unmask.evaluation.masked import FROZEN_MASKING, FROZEN_SEED
from unmask.masking.mask import mask_rows
from unmask.runs import RunDirectory, refuse_occupied
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

RECIPE = ("model.num_hidden_layers=2", "training.batch_rows=8", "optimizer.learning_rate=1.4e-3")
"""Two layers of mini, small batches: in minutes many tokens teach more than many weights (tuned on validation)."""


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
    out = out or _free_name()
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


def _free_name() -> Path:
    """Return the first of unmask-demo, unmask-demo-2, ... that does not exist."""
    names = (Path("unmask-demo" if number == 1 else f"unmask-demo-{number}") for number in count(1))
    return next(name for name in names if not name.exists())


def _show(terminal: Terminal, run: RunDirectory, chosen: PretrainSettings) -> None:
    evaluation, fills = run.read("evaluation.json") or {}, run.read("fills.json") or {"fills": []}
    state = run.state
    terminal.emit({"run": str(run.path), **evaluation})
    terminal.say(f"\n{MEASURING}")
    print_figures(terminal, evaluation["mlm"])
    terminal.result(
        f"{state['tokens']:,} tokens seen in {duration(state['seconds'])} "
        f"by {state['model']['parameters']:,} parameters, seed {chosen.training.seed}."
    )
    terminal.say(f"\n{FILLS}")
    for fill in fills["fills"][:3]:
        terminal.result(f"\n{_filled(fill['pieces'])}")
    terminal.say(f"\nThe report: {run.path / 'report.html'}")
    terminal.next_step(f'unmask fill {run.path} "Returns the [MASK] of the array."')


def _filled(pieces: list[dict[str, Any]]) -> str:
    text = "".join("[MASK]" if piece["hidden"] else piece["text"] for piece in pieces)
    hidden = next(piece for piece in pieces if piece["hidden"])
    answers = ", ".join(f"{best['token']} {best['probability']:.0%}" for best in hidden["predictions"])
    return f"  {text}\n  was: {hidden['text']}    expects: {answers}"
