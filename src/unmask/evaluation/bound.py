"""How likely held-out texts are, in nats a token: exactly for a model that reads from left to right, else a bound.

A model of hidden tokens bounds the negative log-likelihood of a text from above: the mean over rates of hiding, uniform
between 0 and 1, of the loss at [MASK] weighted by one over the rate (Sahoo et al. 2024). So both stand on one scale.
What bites: the bound is of the model that draws one token after the other in random order, whatever it was trained for;
and pseudo-log-likelihood is neither of the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from unmask.batch import Batch, Rows, collate
from unmask.corpus.directory import Corpus
from unmask.errors import CheckFailed
from unmask.evaluation.asking import asked_logits
from unmask.evaluation.limit import ROUNDING, STANDARD_ERRORS, known_source, symbols_of, window_places
from unmask.evaluation.masked import FROZEN_SEED, FROZEN_WINDOW, ROWS_AT_ONCE, AnySplit
from unmask.masking.diffusion import document_rates
from unmask.masking.mask import MaskingSettings, mask_rows
from unmask.masking.onward import nothing_hidden
from unmask.model.heads import MaskedLM
from unmask.objectives import cross_entropies
from unmask.oracle.posterior import causal_losses
from unmask.stats.figure import Floats, bootstrap, interval, mean_of, resampled_sums

RATES: Final = 16
"""Parts that the rates between 0 and 1 are cut into; every document is hidden once at a rate from each."""

ALL_MASKS: Final = MaskingSettings(mlm_probability=1.0, mask_replace_prob=1.0, random_replace_prob=0.0)


def text_likelihood(model: MaskedLM, corpus: Corpus, documents: int, split: AnySplit = "validation") -> dict[str, Any]:
    """Return the nats of a token of the first ``documents`` documents of ``split``, in windows of 128 tokens.

    ``is_exact`` says that they are no bound. Where the source of the text is known, ``entropy`` are the nats of the
    same texts under the source, and ``above`` how far the model is above them. Intervals are over documents.
    """
    rows = corpus.rows(FROZEN_WINDOW, split=split, max_documents=documents)
    gathered = rows.gather(np.arange(rows.num_rows))
    names, document = np.unique(gathered.document, return_inverse=True)
    of_token = document.reshape(gathered.document.shape)
    parts = _exact(model, gathered) if model.config.is_left_to_right else _bounds(model, gathered, corpus)
    columns = [_by_document(values, weights, of_token, len(names)) for values, weights in parts]
    least = _least(corpus, gathered)
    if least is not None:
        columns.append(_by_document(least, ~gathered.special, of_token, len(names)))
    table = np.concatenate(columns, 1)
    table = table[table[:, 1::2].sum(1) > 0]  # padding is of no document
    method, described = "bootstrap over documents", corpus.manifest.splits[split]
    nats = bootstrap(table[:, : 2 * len(parts)], _mean_of_parts, method=method)
    bits = 1 / math.log(2) * described["tokens"] / max(1, described["characters"])
    return {
        "documents": len(table),
        "is_exact": model.config.is_left_to_right,
        "nats_per_token": nats.plain(),
        "bits_per_character": {**nats.plain(), **{end: bits * getattr(nats, end) for end in ("value", "low", "high")}},
        "entropy": None if least is None else bootstrap(table[:, -2:], mean_of, method=method).plain(),
        "above": None if least is None else _above(table),
    }


def require_possible_text(text: Mapping[str, Any]) -> None:
    """Raise CheckFailed where texts are likelier than under their own source by more than STANDARD_ERRORS."""
    above = text["above"]
    if above["value"] < -STANDARD_ERRORS * above["standard_error"] - ROUNDING:
        raise CheckFailed(
            f"held-out text costs {-above['value']:.3f} nats a token less than its source can (standard error "
            f"{above['standard_error']:.4f}): this is a bug, something shows the model what it is asked for"
        )


Part = tuple[Floats, npt.NDArray[np.floating] | npt.NDArray[np.bool_]]
"""(R, L) weighted losses, and their weights."""


def _exact(model: MaskedLM, rows: Rows) -> list[Part]:
    shown = nothing_hidden(rows)
    return [(_losses(model, rows, shown.input_ids, shown.labels), ~rows.special)]


def _bounds(model: MaskedLM, rows: Rows, corpus: Corpus) -> list[Part]:
    """Return the losses at [MASK] at rates from each part of (0, 1), weighted by one over the rate."""
    vocabulary, parts = corpus.vocabulary, list[Part]()
    for number in range(RATES):
        epoch = np.full(len(rows.input_ids), number)
        rate = (number + document_rates(rows, FROZEN_SEED, epoch)) / RATES
        masked = mask_rows(
            rows,
            ALL_MASKS,
            mask_id=vocabulary.mask_id,
            ordinary_ids=vocabulary.ordinary_ids,
            seed=FROZEN_SEED,
            epoch=epoch,
            rate=rate,
        )
        weights = (masked.kind >= 0) / rate
        parts.append((_losses(model, rows, masked.input_ids, masked.labels) * weights, weights))
    return parts


def _losses(model: MaskedLM, rows: Rows, shown: npt.NDArray[np.integer], labels: npt.NDArray[np.integer]) -> Floats:
    """Return (R, L) what ``model`` loses on ``labels`` (R, L) where it is ``shown`` that; 0 where nothing is asked."""
    found = np.zeros(rows.input_ids.shape)
    starts = range(0, len(found), ROWS_AT_ONCE)

    def batch(first: int) -> Batch:
        part = slice(first, first + ROWS_AT_ONCE)
        return collate(
            input_ids=shown[part],
            segment=rows.segment[part],
            labels=labels[part],
            kind=np.zeros_like(labels[part]),
            read_before=model.config.predicts_next,
        )

    for first, (logits, targets) in zip(starts, asked_logits(model, map(batch, starts)), strict=True):
        part = found[first : first + ROWS_AT_ONCE]
        part[labels[first : first + ROWS_AT_ONCE] >= 0] = cross_entropies(logits, targets).double().cpu().numpy()
    return found


def _least(corpus: Corpus, rows: Rows) -> Floats | None:
    """Return (R, L) the nats of each token under the source of ``corpus``, 0 at special ones; None if not known."""
    known = known_source(corpus)
    if known is None:
        return None
    places, symbols = window_places(rows), symbols_of(known, rows, rows.input_ids, corpus.vocabulary)
    inside, found = places >= 0, np.zeros(rows.input_ids.size)
    found[places[inside]] = causal_losses(known.source, np.where(inside, symbols, 0))[inside]
    return found.reshape(rows.input_ids.shape)


def _by_document(values: Floats, weights: npt.NDArray[Any], document: npt.NDArray[np.int64], count: int) -> Floats:
    """Return (D, 2) the sums of ``values`` and ``weights`` (R, L) over each document."""
    sums = [np.bincount(document.ravel(), part.ravel(), minlength=count) for part in (values, weights.astype(float))]
    return np.stack(sums, 1)


def _mean_of_parts(sums: Floats) -> Floats:
    """Return the mean over the parts of their means, from (..., 2 K) sums of losses and weights in turn."""
    return np.asarray(mean_of(sums.reshape(*sums.shape[:-1], -1, 2)).mean(-1))


def _above(table: Floats) -> dict[str, float]:
    """Return by how much the nats of a token are above those of the source, the last two columns, on the same texts."""

    def difference(sums: Floats) -> Floats:
        return np.asarray(_mean_of_parts(sums[..., :-2]) - mean_of(sums[..., -2:]))

    low, high = interval(difference(resampled_sums(table, np.random.Generator(np.random.Philox(0)))), 0.6827)
    return {"value": float(difference(table.sum(0))), "standard_error": (high - low) / 2}
