"""Masking beside the collator of transformers: from stored ids to a finished batch of 64 x 512, interleaved.

Run: .venv/bin/python benchmarks/masking.py --corpus DIR [--rounds 30]. Every round gives each way a turn, in a new
order, so that whatever else the machine does hits all of them; a turn is three batches, of which the fastest counts,
and ratios are taken within a round. Times are the processor's, of one thread: on a busy machine the longer of two ways
is interrupted more often, and the clock on the wall would flatter the shorter. The collator is given what it is given
in practice: a dictionary for each sequence, of lists or of ready arrays, with its special-tokens mask (and, for whole
words, its offsets) made beforehand.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

import unmask
from unmask.cli.planning import pretrain_settings, step_batches
from unmask.corpus.directory import Corpus, open_corpus
from unmask.masking.mask import UNITS
from unmask.model.config import ModelSettings, resolve
from unmask.model.heads import new_masked_lm
from unmask.objectives import OBJECTIVES
from unmask.training.optim import OptimizerSettings, make_optimizer

ROWS, LENGTH = 64, 512
STEP_ROWS, STEP_LENGTH = 32, 128
TURN = 3
RESULTS = Path(__file__).parent / "results"
PHRASES = "data frame\nreturn value\ndefault value\nkeyword arguments\nregular expression\n"

Way = Callable[[int], Any]


def ours(corpus: Corpus, unit: str, rows: int, length: int, folder: Path) -> Way:
    """Return what makes the n-th batch by ``unit``."""
    words = [f"masking.unit={unit}", f"training.batch_rows={rows}", f"training.row_length={length}"]
    if unit == "phrase":
        (folder / "phrases.txt").write_text(PHRASES)
        words.append(f"masking.phrases={folder / 'phrases.txt'}")
    return step_batches(corpus, pretrain_settings([*words, "masking.mlm_probability=0.15"]))


def theirs(corpus: Corpus, *, whole_words: bool, arrays: bool) -> Way:
    """Return what collates the n-th batch there, from sequences that were prepared beforehand."""
    names = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=corpus.tokenizer, **names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whole words turn the mix into 100 % [MASK], and it says so
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, whole_word_mask=whole_words)
    packed = corpus.rows(LENGTH)
    batches = []
    for number in range(4):
        rows = packed.gather(np.arange(number * ROWS, (number + 1) * ROWS) % packed.num_rows)
        begins = np.ones(rows.word.shape, bool)
        begins[:, 1:] = (rows.word[:, 1:] != rows.word[:, :-1]) | rows.special[:, 1:]
        ends = np.cumsum(1 + begins, axis=1)  # a gap before every word, as WordPiece leaves it
        examples = []
        for row in range(ROWS):
            example = {"input_ids": rows.input_ids[row].astype(np.int64), "special_tokens_mask": rows.special[row] * 1}
            if whole_words:
                example["offset_mapping"] = np.stack([ends[row] - 1, ends[row]], 1)
            examples.append(example if arrays else {name: value.tolist() for name, value in example.items()})
        batches.append(examples)
    return lambda number: collator([dict(example) for example in batches[number % len(batches)]])


def training_step(corpus: Corpus, folder: Path) -> tuple[Way, Way]:
    """Return a step of mini on 32 x 128, and the making of its batch alone."""
    make = ours(corpus, "span", STEP_ROWS, STEP_LENGTH, folder)
    config = resolve(ModelSettings(), corpus.vocabulary.size, corpus.vocabulary.pad_id)
    model = new_masked_lm(config, torch.Generator().manual_seed(0)).train()
    optimizer = make_optimizer(model, OptimizerSettings())

    def step(number: int) -> None:
        [batch] = make(number)
        with torch.autocast("cpu", torch.bfloat16):
            [term] = OBJECTIVES["mlm"].terms(model, batch)
        (term.loss_sum / term.weight_sum).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        optimizer.zero_grad()

    return step, make


def interleaved(ways: dict[str, Way], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each way in each round."""
    order = list(ways)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for name in order:
        ways[name](0)
    for number in range(rounds):
        random.Random(number).shuffle(order)
        for name in order:
            found[name].append(1e3 * min(timed(ways[name], TURN * number + part) for part in range(TURN)))
    return found


def timed(way: Way, number: int) -> float:
    """Return the processor's seconds of one batch."""
    start = time.process_time()
    way(number)
    return time.process_time() - start


def spread(values: list[float]) -> dict[str, float]:
    """Return median and the middle 80 %."""
    low, high = np.quantile(values, [0.1, 0.9])
    return {"median": statistics.median(values), "low": float(low), "high": float(high)}


def measure(corpus: Corpus, rounds: int) -> dict[str, Any]:
    """Return times and ratios of all ways."""
    with tempfile.TemporaryDirectory() as folder:
        ways = {f"unmask {unit}": ours(corpus, unit, ROWS, LENGTH, Path(folder)) for unit in UNITS}
        for whole in (False, True):
            for arrays in (False, True):
                what = f"transformers {'whole word' if whole else 'token'}, {'arrays' if arrays else 'lists'}"
                ways[what] = theirs(corpus, whole_words=whole, arrays=arrays)
        times = interleaved(ways, rounds)
        step, batch = training_step(corpus, Path(folder))
        of_step = interleaved({"step": step, "batch": batch}, max(10, rounds // 2))
    ratios = {}
    for unit, kind in (("token", "token"), ("word", "whole word"), ("span", "whole word"), ("phrase", "whole word")):
        for given in ("lists", "arrays"):
            pairs = zip(times[f"transformers {kind}, {given}"], times[f"unmask {unit}"], strict=True)
            ratios[f"{unit} against {kind}, {given}"] = spread([one / other for one, other in pairs])
    share = [one / other for one, other in zip(of_step["batch"], of_step["step"], strict=True)]
    return {
        "command": "benchmarks/masking.py",
        "unmask": unmask.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "shape": [ROWS, LENGTH],
        "rounds": rounds,
        "milliseconds": {name: spread(values) for name, values in times.items()},
        "times_as_fast": ratios,
        "share_of_a_step_of_mini": spread(share),
    }


def page(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""

    def table(title: str, values: dict[str, dict[str, float]], unit: str) -> list[str]:
        rows = [f"| {name} | {of['median']:.4g} | {of['low']:.4g} to {of['high']:.4g} |" for name, of in values.items()]
        return [f"| {title} | {unit} | middle 80 % |", "| --- | ---: | ---: |", *rows, ""]

    share = found["share_of_a_step_of_mini"]
    return "\n".join(
        [
            "# Masking beside the collator of transformers",
            "",
            f"`{found['command']}`, {found['rounds']} interleaved rounds, {ROWS} x {LENGTH}, from stored ids to a",
            f"finished batch, processor time of one thread, {found['machine']}, torch {found['torch']},",
            f"transformers {found['transformers']}. Its whole-word masking turns the mix into 100 % [MASK] and takes",
            "words from gaps in the offsets, which it is given ready-made.",
            "",
            *table("Way", found["milliseconds"], "ms"),
            *table("unmask is so many times as fast", found["times_as_fast"], "median ratio"),
            f"Making the batch (span) is {share['median']:.2%} [{share['low']:.2%}, {share['high']:.2%}] of a training",
            f"step at mini, {STEP_ROWS} x {STEP_LENGTH}; in a run it happens in a thread beside the step.",
            "",
        ]
    )


def main() -> None:
    """Measure, and write results/masking.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=30)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(open_corpus(chosen.corpus), chosen.rounds)
    (RESULTS / "masking.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "masking.md").write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
