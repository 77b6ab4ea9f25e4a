"""Are masks that never change worse? The same small text for many epochs, with fresh masks and with frozen ones.

Run: .venv/bin/python benchmarks/static_masks.py --work DIR [--seeds 6] [--epochs 20]. The text is DOCUMENTS docstrings,
half of them held out. The pair of a seed differs in masking.static alone, and both are measured on the same frozen
positions. After one epoch the two are compared to the bit: each text was masked once, so there is nothing to differ.
Runs are kept in DIR as they end, so a second call goes on.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np

import unmask
from unmask.batch import MASKED
from unmask.corpus.directory import Corpus
from unmask.corpus.documents import document_id
from unmask.corpus.readers import read_documents
from unmask.corpus.refusals import Refusals
from unmask.evaluation.masked import freeze, score_frozen
from unmask.inference.resolve import resolve
from unmask.inference.torch_engine import read_model
from unmask.runs import RunDirectory
from unmask.stats import paired_difference, permutation_p
from unmask.stats.figure import mean_of

RESULTS = Path(__file__).parent / "results"
DOCUMENTS = 1000
ROWS = 8
RECIPE = [
    "model.preset=tiny",
    "masking.mlm_probability=0.15",
    "optimizer.learning_rate=3e-3",
    "training.row_length=128",
    f"training.batch_rows={ROWS}",
    "training.threads=1",
]


def small_corpus(work: Path) -> Corpus:
    """Return the corpus of DOCUMENTS docstrings, half of them held out."""
    if not (work / "corpus").exists():
        work.mkdir(parents=True, exist_ok=True)
        found = read_documents("docstrings", name="text", document="paragraph", field="text", refused=Refusals())
        chosen = nsmallest(DOCUMENTS, found, key=lambda document: document_id(document.text))
        (work / "text.jsonl").write_text("".join(json.dumps({"text": one.text}) + "\n" for one in chosen))
        settings = ["corpus.validation=0.45", "corpus.test=0.05", "tokenizer.vocab_size=2000"]
        unmask.build_corpus(work / "text.jsonl", work / "corpus", settings=settings, progress=False)
    return unmask.open_corpus(work / "corpus")


def trained(work: Path, corpus: Corpus, steps: int, seed: int, *, static: bool) -> RunDirectory:
    """Return the run of ``steps`` under ``seed``, trained now unless it is there."""
    out = work / f"{'static' if static else 'fresh'}-{steps}-{seed}"
    if not (out / "report.html").exists():
        settings = [*RECIPE, f"masking.static={str(static).lower()}", f"training.seed={seed}"]
        unmask.pretrain(corpus, out, settings=settings, budget=f"{steps}steps", progress=False)
    return RunDirectory(out)


def per_document(run: RunDirectory, corpus: Corpus) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return (N, 2) the loss at [MASK] and the number of such positions of each held-out document."""
    frozen = freeze(corpus, DOCUMENTS)
    scores = score_frozen(read_model(resolve(run.path)), frozen)
    masked = scores.kind == MASKED
    _, document = np.unique(scores.document[masked], return_inverse=True)
    return np.stack([np.bincount(document, scores.loss[masked]), np.bincount(document)], 1).astype(np.float64)


def training_loss(run: RunDirectory) -> float:
    """Return the mean loss at [MASK] in the last tenth of the training."""
    losses = [line["masked"] for line in run.metrics() if line["kind"] == "train" and line["masked"] is not None]
    return float(np.mean(losses[-max(1, len(losses) // 10) :]))


def best_on_the_way(run: RunDirectory) -> float:
    """Return the least loss at [MASK] among the looks at held-out text that the run took while it trained."""
    return min(line["masked"] for line in run.metrics() if line["kind"] == "evaluation")


def same_weights(runs: Iterable[RunDirectory]) -> bool:
    """Return whether the last weights of the runs are the same bytes."""
    return len({(run.checkpoints()[-1] / "model.safetensors").read_bytes() for run in runs}) == 1


def main() -> None:
    """Train the pairs and write results/static-masks.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=20)
    asked = parser.parse_args()
    corpus = small_corpus(asked.work)
    rows = corpus.rows(128).num_rows
    epoch = rows // ROWS  # whole steps that stay inside the first epoch
    once = [trained(asked.work, corpus, epoch, 0, static=static) for static in (False, True)]
    tables: dict[bool, list[Any]] = {False: [], True: []}
    seen: dict[bool, list[float]] = {False: [], True: []}
    best: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(asked.seeds):
        for static in (False, True):
            run = trained(asked.work, corpus, math.ceil(rows * asked.epochs / ROWS), seed, static=static)
            tables[static].append(per_document(run, corpus))
            seen[static].append(training_loss(run))
            best[static].append(best_on_the_way(run))
            held_out = float(mean_of(tables[static][-1].sum(0)))
            print(f"seed {seed} static={static} held-out {held_out:.4f} training {seen[static][-1]:.4f}")
    values = {static: [float(mean_of(table.sum(0))) for table in found] for static, found in tables.items()}
    apart = [one - other for one, other in zip(values[True], values[False], strict=True)]
    result = {
        "corpus": {
            "train_documents": corpus.split("train").num_documents,
            "rows": rows,
            "fingerprint": corpus.fingerprint,
        },
        "epochs": asked.epochs,
        "one_epoch_bit_equal": same_weights(once),
        "held_out": {"fresh": values[False], "static": values[True]},
        "best_on_the_way": {"fresh": best[False], "static": best[True]},
        "training": {"fresh": seen[False], "static": seen[True]},
        "difference": paired_difference(tables[True], tables[False], mean_of).plain(),
        "p": permutation_p(apart),
    }
    (RESULTS / "static-masks.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
