"""What `serve.py` serves and asks: models that were trained for a moment, in every form, and texts of known lengths."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from functools import cache
from itertools import chain, cycle
from pathlib import Path

from serve_load import Asked  # type: ignore[import-not-found]  # beside this file
from tokenizers import Tokenizer

import unmask
from unmask.corpus.directory import open_corpus

SHAPES = {
    "4x256": ["model.preset=mini"],
    "6x384": [
        "model.preset=mini",
        "model.hidden_size=384",
        "model.num_hidden_layers=6",
        "model.num_attention_heads=6",
    ],
    "base": ["model.preset=base", "training.batch_rows=1", "training.row_length=64"],
}
TASKS = {"4x256": "fill", "6x384": "fill", "base": "classify"}
STEPS = {"4x256": "30steps", "6x384": "30steps", "base": "1steps"}
FORMS = ["huggingface", "onnx", "onnx-int8"]
EXAMPLES = 16
TEXTS = 400


def model(folder: Path, corpus: Path, shape: str) -> Path:
    """Return the model directory of ``shape`` in ``folder``; it is made where it is not there."""
    made, run = folder / shape, folder / f"{shape}-run"
    if made.exists():
        return made
    print(f"making {shape}", flush=True)
    if not run.exists():
        changes = [*SHAPES[shape], "evaluation.documents=20"]
        unmask.pretrain(str(corpus), run, settings=changes, budget=STEPS[shape], progress=False)
    if TASKS[shape] == "classify":
        run = _fine_tuned(folder, run, shape)
    unmask.export(run, made, FORMS, progress=False)
    return made


def _fine_tuned(folder: Path, run: Path, shape: str) -> Path:
    tuned, examples = folder / f"{shape}-tuned", folder / "examples.csv"
    if tuned.exists():
        return tuned
    with examples.open("w", newline="", encoding="utf-8") as file:
        rows = [("a good list" if n % 2 else "the bad array", "good" if n % 2 else "bad") for n in range(EXAMPLES)]
        csv.writer(file).writerows([("text", "label"), *rows])
    settings = ["task.max_length=256", "training.epochs=2", "training.batch_rows=8"]
    unmask.finetune(run, "classify", examples, examples, tuned, settings=settings, controls=False, progress=False)
    return tuned


def texts(corpus: Path, low: int, high: int, *, mask: bool, seed: int) -> list[tuple[str, int]]:
    """Return TEXTS pieces of held-out text, as many of each length from ``low`` to ``high`` tokens, and those lengths.

    The two special tokens are counted. With ``mask`` a token in the middle of each is hidden.
    """
    tokenizer = open_corpus(corpus).tokenizer
    chance = random.Random(seed)
    lengths = [round(low + (high - low) * (n + 0.5) / TEXTS) for n in range(TEXTS)]
    chance.shuffle(lengths)
    found = _long_texts(corpus, high)
    return [_piece(tokenizer, found[chance.randrange(len(found))], length, mask=mask) for length in lengths]


@cache
def _long_texts(corpus: Path, tokens: int) -> list[str]:
    """Return stretches of held-out text of ``tokens`` tokens or more."""
    opened = open_corpus(corpus)
    documents = (record["text"] for record in chain(opened.texts("validation"), opened.texts("test")))
    stretches, parts, length = [], list[str](), 0
    for text in documents:
        parts.append(text)
        length += len(opened.tokenizer.encode(text, add_special_tokens=False))
        if length > tokens:
            stretches.append("\n".join(parts))
            parts, length = [], 0
    return stretches


def _piece(tokenizer: Tokenizer, text: str, length: int, *, mask: bool) -> tuple[str, int]:
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets[: length - 2]
    end = offsets[-1][1]
    if not mask:
        return text[:end], length
    begin, behind = offsets[len(offsets) // 2]
    return f"{text[:begin]}[MASK]{text[behind:end]}", length


def requests(found: list[tuple[str, int]], path: str, seed: int) -> Iterator[Asked]:
    """Yield requests for the texts that were ``found``, in an order of ``seed``, again and again."""
    order = random.Random(seed).sample(found, len(found))
    return cycle([Asked(path, {"inputs": text}, tokens) for text, tokens in order])
