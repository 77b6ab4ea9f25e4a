"""The self-check of ``unmask doctor``: text, corpus, training, resuming and evaluation, small, with their figures.

What bites: it trains in this process, and so sets torch's threads and determinism for it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from unmask.cli.checks import Check
from unmask.cli.measure import evaluate_model
from unmask.cli.pretrain import pretrain
from unmask.cli.terminal import duration, rate
from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.directory import Corpus
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.errors import UserError
from unmask.inference.resolve import resolve
from unmask.runs import RunDirectory

DOCUMENTS, STEPS, SAVED_AT = 300, 24, 12
SETTINGS = {
    "model": {"preset": "tiny", "hidden_size": 64, "intermediate_size": 192},
    "training": {"row_length": 64, "batch_rows": 8, "save_every": SAVED_AT, "threads": 1},
    "optimizer": {"learning_rate": 3e-3},
}
NAMES = ("corpus", "training", "resuming", "evaluation")
AGAIN = "please report it, with the output of unmask doctor --json"

_THINGS = ["array", "matrix", "parser", "server", "reader", "writer", "kernel", "buffer", "window", "cursor"]
_DEEDS = ["returns", "copies", "reads", "sorts", "joins", "splits", "checks", "stores", "counts", "moves"]
_QUALITIES = ["small", "large", "sorted", "empty", "remote", "hidden", "shared", "frozen", "broken", "simple"]


def self_check() -> Iterator[Check]:
    """Yield a check for each of NAMES as it is done, until one says no."""
    with TemporaryDirectory(prefix="unmask-doctor-") as folder:
        steps = _steps(Path(folder))
        for name in NAMES:
            try:
                check = next(steps)
            except UserError as error:
                check = Check(name, "no", str(error), AGAIN)
            yield check
            if check.state == "no":
                return


def made_text() -> str:
    """Return DOCUMENTS paragraphs of English-like text in which subject and verb hang together."""
    paragraphs = []
    for number in range(DOCUMENTS):
        thing, quality = number % 10, _QUALITIES[number * 7 % 10]
        deed = _DEEDS[(thing + number // 10 % 2) % 10]
        sentence = f"The {quality} {_THINGS[thing]} {deed} the {_THINGS[number * 3 % 7]} in {number} steps."
        paragraphs.append(f"{sentence} Then the {_THINGS[thing]} {deed} a {_QUALITIES[number % 9]} one.")
    return "\n\n".join(paragraphs)


def _steps(folder: Path) -> Iterator[Check]:
    start = time.perf_counter()
    corpus = _build(folder)
    tokens = corpus.manifest.splits["train"]["tokens"]
    seconds = time.perf_counter() - start
    yield Check(
        "corpus", "ok", f"{corpus.manifest.documents['kept']} documents, {tokens:,} tokens in {duration(seconds)}",
        figures={"tokens": tokens, "seconds": seconds},
    )  # fmt: skip
    run = pretrain(corpus.directory, folder / "run", settings=SETTINGS, budget=f"{STEPS}steps", progress=False)
    yield _learned(run)
    yield _resumed(run, folder / "again")
    yield _evaluated(run, corpus)


def _build(folder: Path) -> Corpus:
    text = folder / "text.txt"
    text.write_text(made_text(), encoding="utf-8")
    settings = CorpusSettings(validation=0.1, near_duplicates=1)
    return build_corpus([Source("made", str(text))], folder / "corpus", settings, TokenizerSettings(vocab_size=300))


def _learned(run: RunDirectory) -> Check:
    lines = run.metrics()
    first, *_, last = (line["masked"] for line in lines if line["kind"] == "evaluation")
    speed = max(line["tokens_per_second"] for line in lines if line["kind"] == "train")
    seconds = run.state["seconds"]
    return Check(
        "training",
        "ok" if last < first else "no",
        f"{STEPS} steps in {duration(seconds)}, {rate(speed, 'tok')} at best; "
        f"[MASK] from {first:.2f} to {last:.2f} nats",
        "" if last < first else f"the loss did not fall; {AGAIN}",
        {"seconds": seconds, "tokens_per_second": speed, "masked_before": first, "masked_after": last},
    )


def _resumed(run: RunDirectory, folder: Path) -> Check:
    """Take a copy of the run back to its first checkpoint, go on from there, and compare the ends to the bit."""
    shutil.copytree(run.path, folder)
    again = RunDirectory(folder)
    shutil.rmtree(again.checkpoints()[-1])
    again.update(status="stopped", step=SAVED_AT)
    pretrain(resume=folder, progress=False)
    ends = [RunDirectory(path).checkpoints()[-1] for path in (run.path, folder)]
    names = ("model.safetensors", "optimizer.safetensors")
    unequal = [name for name in names if len({(end / name).read_bytes() for end in ends}) > 1]
    size = sum((ends[0] / name).stat().st_size for name in names)
    found = f"{', '.join(unequal)} differ" if unequal else f"{size:,} bytes equal to the bit"
    return Check(
        "resuming",
        "no" if unequal else "ok",
        f"from step {SAVED_AT} to {STEPS} again: {found}",
        f"resumed runs will differ a little from unbroken ones; {AGAIN}" if unequal else "",
        {"bytes": size, "unequal": unequal},
    )


def _evaluated(run: RunDirectory, corpus: Corpus) -> Check:
    start = time.perf_counter()
    found = evaluate_model(resolve(run.path), corpus, run.settings["evaluation"]["documents"])["mlm"]
    seconds = time.perf_counter() - start
    stored: dict[str, Any] = run.evaluation["mlm"]
    same, masked = found == stored, found["cross_entropy"]["masked"]
    return Check(
        "evaluation",
        "ok" if same else "no",
        f"[MASK] {masked['value']:.2f} [{masked['low']:.2f}, {masked['high']:.2f}] nats, unigram "
        f"{found['unigram']['masked']['value']:.2f}; {'the same twice' if same else 'not the same twice'}",
        "" if same else AGAIN,
        {"seconds": seconds, "masked": masked},
    )
