"""Is the 80/10/10 mix needed here? Linear probes on frozen states of encoders that saw the mix, or [MASK] alone.

Run: .venv/bin/python benchmarks/probe_mixed.py --work DIR [--seeds 3] [--steps 1200]. The pair of a seed differs in the
mix alone: 80 % [MASK], 10 % random, 10 % kept, or 100 % [MASK]. The probe tags parts of docstrings (the default task)
from the states of a text in which nothing is hidden, which the second encoder has never been asked about. Runs are kept
in DIR as they end, so a second call goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import unmask
from unmask.cli.corpus import open_or_build
from unmask.cli.terminal import Terminal
from unmask.corpus.build import CorpusSettings
from unmask.corpus.docstring_tasks import docstring_task
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.finetuning.fit import job_of
from unmask.finetuning.probe import probe
from unmask.finetuning.settings import FinetuneSettings
from unmask.inference.resolve import resolve
from unmask.runs import RunDirectory
from unmask.stats import hierarchical, paired_difference
from unmask.tasks.examples import TagExample
from unmask.tasks.metrics import COMBINES

RESULTS = Path(__file__).parent / "results"
LABELS, TESTED = 2000, 1000
RECIPE = ["model.preset=tiny", "training.row_length=128", "training.batch_rows=8", "training.threads=1"]
MIXES = {
    "80/10/10": ["masking.mask_replace_prob=0.8", "masking.random_replace_prob=0.1"],
    "100/0/0": ["masking.mask_replace_prob=1.0", "masking.random_replace_prob=0.0"],
}


def main() -> None:
    """Train the pairs, probe them and write results/probe-mixed.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1200)
    asked = parser.parse_args()
    with Terminal(quiet=True).progress() as progress:
        corpus = open_or_build("docstrings", CorpusSettings(), TokenizerSettings(), progress)
    rows = docstring_task("tag", corpus)
    train, development, test = (
        [TagExample(tuple(row["tokens"]), tuple(row["tags"]), name) for row in rows[name]][:most]
        for name, most in (("train", LABELS), ("validation", 100), ("test", TESTED))
    )
    tables: dict[str, dict[str, list[Any]]] = {mix: {} for mix in MIXES}
    masked: dict[str, list[float]] = {mix: [] for mix in MIXES}
    for seed in range(asked.seeds):
        for mix, settings in MIXES.items():
            out = asked.work / f"{mix.replace('/', '-')}-{asked.steps}-{seed}"
            if not (out / "report.html").exists():
                chosen = [*RECIPE, *settings, f"training.seed={seed}"]
                unmask.pretrain(corpus, out, settings=chosen, budget=f"{asked.steps}steps", progress=False)
            evaluation = RunDirectory(out).read("evaluation.json")
            assert evaluation is not None, "a finished run has its evaluation"
            masked[mix].append(evaluation["mlm"]["cross_entropy"]["masked"]["value"])
            for metric in probe(job_of(resolve(out), "tag", train, development, FinetuneSettings()), test):
                tables[mix].setdefault(metric.name, []).append(metric.per_item)
            print(
                seed, mix, f"{masked[mix][-1]:.3f}", {n: f"{one(t, n):.4f}" for n, t in tables[mix].items()}, flush=True
            )
    mixed, alone = tables.values()
    result = {
        "steps": asked.steps,
        "labels": len(train),
        "test": len(test),
        "cross_entropy_masked": masked,
        "probe": {
            mix: {n: hierarchical(t, COMBINES[n]).plain() for n, t in found.items()} for mix, found in tables.items()
        },
        "difference": {n: paired_difference(mixed[n], alone[n], COMBINES[n]).plain() for n in mixed},
    }
    (RESULTS / "probe-mixed.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["difference"], indent=1))


def one(seeds: list[Any], name: str) -> float:
    """Return the figure ``name`` of the last of ``seeds``."""
    return float(np.asarray(COMBINES[name](seeds[-1].sum(0))))


if __name__ == "__main__":
    main()
