"""Masked cross entropy on a frozen set: the same windows and the same masks, whatever a model was trained with.

What bites: kept positions show the answer, so the average over all that is asked flatters whoever copies. The headline
is cross entropy at [MASK] positions, and the unigram line beside it is measured at the same positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import nn

from unmask.batch import IGNORE_INDEX, KINDS, MASKED, Batch, Rows, collate
from unmask.corpus.directory import Corpus
from unmask.errors import DataError
from unmask.evaluation.asking import Precision, asked_logits
from unmask.evaluation.limit import LimitScores, best_answers, known_source, limit_figures, limit_means, limit_scores
from unmask.masking.mask import Masked, MaskingSettings, mask_rows
from unmask.masking.onward import uncovered
from unmask.model.config import EncoderConfig
from unmask.objectives import cross_entropies
from unmask.settings import Count, Settings
from unmask.stats import Figure, mean_by_cluster

FROZEN_MASKING = MaskingSettings(mlm_probability=0.15, mask_replace_prob=0.8, random_replace_prob=0.1)
"""15 %, 80 / 10 / 10, by token (law 7)."""
FROZEN_SEED = 0x756E6D61736B
FROZEN_WINDOW = 128
ROWS_AT_ONCE = 32
TOP = (1, 5)

FREQUENCIES = (0, 1, 10, 100, 1_000, 10_000)
"""Where the buckets of token frequency begin: occurrences in the training text."""

HeldOut = Literal["validation", "test"]
AnySplit = Literal["train", "validation", "test"]


class EvaluationSettings(Settings):
    """What a model is measured on."""

    documents: Count = 1000
    """How many held-out documents, at most."""


@dataclass(frozen=True, slots=True)
class FrozenSet:
    """Windows of held-out documents with masks that never change."""

    rows: Rows
    masked: Masked
    counts: npt.NDArray[np.int64]
    """(V,) how often each token occurs in the training text."""
    source: npt.NDArray[np.int32]
    """(R,) the number of the source that each row's text is from."""
    source_names: tuple[str, ...]
    fingerprint: str
    num_documents: int
    characters_per_token: float
    best: npt.NDArray[np.float64] | None = None
    """(N, V) what the best possible model answers at each asked position, where the source of the text is known."""
    read_before: bool = False
    """Whether the place before a label answers for it."""
    is_hidden: bool = True
    """Whether tokens are hidden; a causal model is asked for the same ones, and sees what stands before them."""

    def batches(self) -> Iterator[Batch]:
        """Yield the set in batches of ROWS_AT_ONCE rows."""
        for first in range(0, len(self.rows.input_ids), ROWS_AT_ONCE):
            part = slice(first, first + ROWS_AT_ONCE)
            masked = self.masked
            yield collate(
                input_ids=masked.input_ids[part],
                segment=self.rows.segment[part],
                labels=masked.labels[part],
                kind=masked.kind[part],
                read_before=self.read_before,
            )

    def plain(self) -> dict[str, Any]:
        """Return what names the set, and how it was made."""
        return {
            "fingerprint": self.fingerprint,
            "window": FROZEN_WINDOW,
            "documents": self.num_documents,
            "mlm_probability": FROZEN_MASKING.mlm_probability,
            "mask_replace_prob": FROZEN_MASKING.mask_replace_prob,
            "random_replace_prob": FROZEN_MASKING.random_replace_prob,
            "is_hidden": self.is_hidden,
        }


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model made of a frozen set: one entry for each asked position, in the set's order."""

    loss: npt.NDArray[np.float64]
    rank: npt.NDArray[np.int64]
    """How many other tokens the model held at least as likely as the true one."""
    unigram: npt.NDArray[np.float64]
    """What a guesser by frequency would lose there, in nats."""
    count: npt.NDArray[np.int64]
    """How often the true token occurs in the training text."""
    kind: npt.NDArray[np.int8]
    document: npt.NDArray[np.uint64]
    limit: LimitScores | None = None


def freeze(
    corpus: Corpus, documents: int, split: AnySplit = "validation", *, config: EncoderConfig | None = None
) -> FrozenSet:
    """Return the frozen set of the first ``documents`` documents of ``split``, as a model of ``config`` reads it.

    One that reads from left to right is asked for the same tokens, and nothing is hidden from it. Raises DataError
    where documents are so few that nothing in them is masked.
    """
    packed = corpus.rows(FROZEN_WINDOW, split=split, max_documents=documents)
    rows = packed.gather(np.arange(packed.num_rows))
    vocabulary, known = corpus.vocabulary, known_source(corpus)
    masked = mask_rows(
        rows,
        FROZEN_MASKING,
        mask_id=vocabulary.mask_id,
        ordinary_ids=vocabulary.ordinary_ids,
        seed=FROZEN_SEED,
        epoch=np.zeros(len(rows.input_ids), np.int64),
        rate=FROZEN_MASKING.mlm_probability,
    )
    if not (masked.kind == MASKED).any():
        raise DataError(
            corpus.directory,
            f"{split} is too small to measure on ({(~rows.special).sum()} tokens, none of them masked); "
            f"measure more documents, or build it with more text or a larger corpus.{split}",
        )
    is_hidden = config is None or not config.is_left_to_right
    if not is_hidden:
        masked = uncovered(rows, masked)
    seen = blake2b(digest_size=8)
    for array in (masked.input_ids, masked.labels, rows.segment):
        seen.update(array.astype(np.int32).tobytes())
    described = corpus.manifest.splits[split]
    return FrozenSet(
        rows=rows,
        masked=masked,
        counts=corpus.unigram_counts(),
        source=packed.source,
        source_names=corpus.source_names,
        fingerprint=f"{corpus.manifest.tokenizer_fingerprint[:8]}-{seen.hexdigest()}",
        num_documents=len(np.unique(rows.document[~rows.special])),
        characters_per_token=described["characters"] / max(1, described["tokens"]),
        best=best_answers(known, rows, masked, FROZEN_MASKING if is_hidden else None, vocabulary) if known else None,
        read_before=config is not None and config.predicts_next,
        is_hidden=is_hidden,
    )


def unigram_line(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return (V,) -log p of each token in nats, from its count in the training text plus one (Laplace)."""
    smoothed = counts.astype(np.float64) + 1
    return np.asarray(np.log(smoothed.sum()) - np.log(smoothed))


def score_frozen(model: nn.Module, frozen: FrozenSet, precision: Precision = nullcontext) -> Scores:
    """Return what ``model`` makes of ``frozen``; the model's training mode is left as it was."""
    losses, ranks, answers = [], [], []
    for logits, targets in asked_logits(model, frozen.batches(), precision):
        true = logits.gather(1, targets[:, None])
        losses.append(cross_entropies(logits, targets).double().cpu().numpy())
        ranks.append(((logits >= true).sum(1) - 1).cpu().numpy())  # a tie is not a hit: a constant model knows nothing
        if frozen.best is not None:
            answers.append(logits.double().log_softmax(1).cpu().numpy())
    asked = frozen.masked.labels != IGNORE_INDEX
    truth, line, best = frozen.masked.labels[asked], unigram_line(frozen.counts), frozen.best
    return Scores(
        loss=np.concatenate(losses),
        rank=np.concatenate(ranks),
        unigram=line[truth],
        count=frozen.counts[truth],
        kind=frozen.masked.kind[asked],
        document=frozen.rows.document[asked],
        limit=None if best is None else limit_scores(best, np.concatenate(answers), line, truth),
    )


Chosen = npt.NDArray[np.bool_]


def figures(scores: Scores, frozen: FrozenSet) -> dict[str, Any]:
    """Return the ``mlm`` object of an unmask-evaluation: every figure with an interval over documents.

    It has a part ``by_source`` where there are several.
    """
    parts, limit = _parts(scores), scores.limit
    masked = parts["masked"]
    bits = scores.loss / math.log(2) / frozen.characters_per_token
    return {
        "cross_entropy": {name: _figure(scores, scores.loss, part) for name, part in parts.items()},
        "unigram": {name: _figure(scores, scores.unigram, part) for name, part in parts.items()},
        "gap": _figure(scores, scores.unigram - scores.loss, masked),
        "limit": limit and limit_figures(limit, scores.loss, scores.document, parts),
        "accuracy": {"masked": _accuracy(scores, masked)},
        "accuracy_by_frequency": by_frequency(scores, masked),
        "bits_per_character": _figure(scores, bits, masked),
        "positions": {name: int(part.sum()) for name, part in parts.items()},
        **({"by_source": _by_source(scores, frozen, masked)} if len(frozen.source_names) > 1 else {}),
    }


def _parts(scores: Scores) -> dict[str, Chosen]:
    """Return which of the positions are of each kind, and all of them."""
    kinds = {name: scores.kind == number for number, name in enumerate(KINDS)}
    return kinds | {"all": np.ones(len(scores.kind), dtype=bool)}


def _figure(scores: Scores, values: npt.NDArray[np.floating], chosen: Chosen) -> dict[str, Any] | None:
    """Return the mean of ``values`` (N,) where ``chosen`` (N,), None where nothing is."""
    found: Figure | None = mean_by_cluster(values[chosen], scores.document[chosen])
    return found.plain() if found else None


def _accuracy(scores: Scores, chosen: Chosen) -> dict[str, Any]:
    return {str(top): _figure(scores, (scores.rank < top).astype(float), chosen) for top in TOP}


def by_frequency(scores: Scores, masked: Chosen) -> list[dict[str, Any]]:
    """Return the figures at [MASK] by how often the true token occurs in the training text, empty buckets left out."""
    bucket = np.digitize(scores.count, FREQUENCIES) - 1
    found = []
    for number, low in enumerate(FREQUENCIES):
        chosen = masked & (bucket == number)
        if not chosen.any():
            continue
        found.append(
            {
                "bucket": _bucket_name(low, *FREQUENCIES[number + 1 : number + 2]),
                "positions": int(chosen.sum()),
                "accuracy": _accuracy(scores, chosen),
                "cross_entropy": _figure(scores, scores.loss, chosen),
                "unigram": _figure(scores, scores.unigram, chosen),
            }
        )
    return found


def _by_source(scores: Scores, frozen: FrozenSet, masked: Chosen) -> dict[str, Any]:
    """Return the figures at [MASK] by the source of the text, all against the one unigram line of the whole corpus."""
    asked = frozen.masked.labels != IGNORE_INDEX
    source = np.broadcast_to(frozen.source[:, None], asked.shape)[asked]
    found = {}
    for number, name in enumerate(frozen.source_names):
        chosen, rows = masked & (source == number), frozen.source == number
        found[name] = {
            "cross_entropy": _figure(scores, scores.loss, chosen),
            "unigram": _figure(scores, scores.unigram, chosen),
            "documents": len(np.unique(frozen.rows.document[rows][~frozen.rows.special[rows]])),
        }
    return found


def _bucket_name(low: int, end: int | None = None) -> str:
    """Return ``10 to 99`` for the counts from ``low`` up to, without, ``end``."""
    if end is None:
        return f"{low:,} or more"
    return f"{low:,}" if end == low + 1 else f"{low:,} to {end - 1:,}"


def means(scores: Scores) -> dict[str, Any]:
    """Return the averages alone, for the lines that a run writes while it trains."""

    def mean(values: npt.NDArray[np.floating], chosen: npt.NDArray[np.bool_]) -> float | None:
        return float(values[chosen].mean()) if chosen.any() else None

    parts = _parts(scores)
    return {
        **{name: mean(scores.loss, part) for name, part in parts.items()},
        "unigram": {name: mean(scores.unigram, part) for name, part in parts.items()},
        "accuracy": {str(top): mean((scores.rank < top).astype(float), parts["masked"]) for top in TOP},
        **({"limit": limit_means(scores.limit, parts)} if scores.limit else {}),
    }


def evaluation_object(model: Mapping[str, Any], **measured: Any) -> dict[str, Any]:
    """Return the whole object that ``--json`` prints and evaluation.json holds: what was measured, under its names."""
    return {"format": "unmask-evaluation", "version": 1, "model": dict(model), **measured}


def masked_evaluation(model: Mapping[str, Any], frozen: FrozenSet, mlm: dict[str, Any]) -> dict[str, Any]:
    """Return the evaluation of a language model on ``frozen``."""
    return evaluation_object(model, frozen=frozen.plain(), mlm=mlm)
