"""The signals of texts and of the answers to them: lengths and figures, and a keyed hash in place of the text.

What bites: signals of a reference and of traffic are only comparable where they are made the same way. So a server and
``unmask watch capture`` both make them here, of the whole text as the model's own tokenizer reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from tokenizers import Tokenizer

from unmask.corpus.tokenizer import Vocabulary
from unmask.inference.loaded import LoadedModel
from unmask.inference.task_predictor import TaskPredictor
from unmask.tasks.block import TaskBlock
from unmask.watch.answers import Answer, outcome_of
from unmask.watch.keys import hash_of
from unmask.watch.scripts import scripts_of
from unmask.watch.window import OF_SAMPLE, Floats, Window

READ_WHOLE: Final = ("tag", "answer")
"""Tasks that read all of a text, in windows that overlap."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How a model reads texts."""

    model: LoadedModel
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    block: TaskBlock | None
    """What it was fine-tuned to; None where it fills masks."""
    room: int | None
    """Tokens of a text that it reads; None where it reads all of it."""

    @classmethod
    def of(cls, model: LoadedModel, *, in_pieces: bool = False) -> Self:
        """Return how ``model`` reads; ``in_pieces`` where it is handed long texts piece by piece."""
        block = model.block if isinstance(model, TaskPredictor) else None
        longest = model.engine.max_length if block is None else block.max_length
        reads_all = in_pieces or (block is not None and block.name in READ_WHOLE)
        return cls(model, model.tokenizer, model.vocabulary, block, None if reads_all else longest - 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """N texts that a model was asked, and what came of them."""

    texts: Sequence[str]
    answers: Sequence[Answer | None]
    time: Floats
    latency_ms: Floats


def whole(text: str, pair: str | None) -> str:
    """Return the one text that stands for ``text`` and what was read together with it."""
    return text if pair is None else f"{text}\n{pair}"


def signals_of(reader: Reader, seen: Seen, key: bytes) -> Window:
    """Return the signals of ``seen``; those that are measured on a sample are NaN. ``key`` is for the hashes."""
    texts = list(seen.texts)
    encodings = reader.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    tokens = np.array([len(one) for one in encodings], np.float64)
    words = np.array([len(text.split()) for text in texts], np.float64)
    unknown = reader.vocabulary.unk_id
    unknowns = [0] * len(texts) if unknown is None else [one.ids.count(unknown) for one in encodings]
    script, others = scripts_of(texts)
    outcomes = [outcome_of(answer, reader.block) for answer in seen.answers]
    confidence, margin, entropy, abstained = np.array([one[:4] for one in outcomes], np.float64).reshape(-1, 4).T
    nothing = np.full(len(texts), np.nan)
    return Window(
        time=seen.time,
        numbers={
            "characters": np.array([len(text) for text in texts], np.float64),
            "words": words,
            "tokens": tokens,
            "tokens_per_word": _ratio(tokens, words),
            "unknown_share": _ratio(np.array(unknowns, np.float64), tokens),
            "truncated": np.zeros(len(texts)) if reader.room is None else (tokens > reader.room).astype(np.float64),
            "other_script_share": others,
            "confidence": confidence,
            "margin": margin,
            "entropy": entropy,
            "abstained": abstained,
            "latency_ms": seen.latency_ms,
            **dict.fromkeys(OF_SAMPLE, nothing),
        },
        classes={"prediction": np.array([one.prediction for one in outcomes], np.str_), "script": script},
        key=np.array([hash_of(text, key) for text in texts], np.str_),
    )


def _ratio(part: Floats, total: Floats) -> Floats:
    """Return (N,) ``part`` of ``total``, NaN where that is nothing."""
    return np.asarray(np.divide(part, total, out=np.full(len(total), np.nan), where=total > 0))
