"""The limit: what the best possible model loses on a frozen set, where the source of the text is known in full.

A corpus of a known source has its tables beside it, in source.json. What bites: a model may be better than the limit by
luck at some positions, so only the mean says anything; and better in the mean on held-out text means that something
shows the model what it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask import files
from unmask.batch import IGNORE_INDEX, Rows, runs_of
from unmask.corpus.directory import Corpus
from unmask.corpus.tokenizer import Vocabulary
from unmask.errors import CheckFailed, DataError, SettingError
from unmask.masking.mask import Masked, MaskingSettings
from unmask.oracle.posterior import UNSEEN, emission_rule, least_losses, onward, posterior
from unmask.oracle.sources import Source, Symbols
from unmask.stats import bootstrap, mean_by_cluster

Floats = npt.NDArray[np.float64]
Parts = Mapping[str, npt.NDArray[np.bool_]]

SOURCE_FILE = "source.json"
FORMAT, VERSION = "unmask-source", 1

STANDARD_ERRORS = 3
"""How far below the limit a mean has to be before it is called impossible."""
WORDS = {"masked": "[MASK] positions", "all": "the positions asked for"}
JUDGED = tuple(WORDS)
"""Kinds of position whose limit holds alone; a random token and a kept one look the same to a model."""
ROUNDING = 1e-6
"""Nats: a model that is perfect to the last bit of a float."""
_WINDOWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A source and the tokens that its symbols are written as."""

    source: Source
    token_ids: npt.NDArray[np.int64]
    """(V,) the id of each symbol."""


@dataclass(frozen=True, slots=True)
class LimitScores:
    """What the best possible model makes of a frozen set, and how far another one is from it; (N,) each, in nats."""

    least: Floats
    """What it loses on the true token."""
    divergence: Floats
    """KL divergence of the model's answer from the best one, which has no noise of sampled tokens."""
    unigram_divergence: Floats
    """The same of a guesser by frequency."""


def write_source(corpus: Corpus, source: Source, symbols: list[str], name: str, seed: int) -> None:
    """Write the tables of ``source``, whose symbols are the words ``symbols``, beside the ``corpus`` made of it."""
    about = {"format": FORMAT, "version": VERSION, "name": name, "seed": seed, "symbols": symbols}
    files.write_json(corpus.directory / SOURCE_FILE, {**about, **source.plain()})


def known_source(corpus: Corpus) -> KnownSource | None:
    """Return the source that ``corpus`` is made of, None where it is not known. Raises DataError."""
    path = corpus.directory / SOURCE_FILE
    if not path.exists():
        return None
    described = files.read_object(path, DataError)
    if (described.get("format"), described.get("version")) != (FORMAT, VERSION):
        raise DataError(path, f"is no {FORMAT} {VERSION}; remove it, or bring the corpus back as it was made")
    ids = [corpus.tokenizer.token_to_id(symbol) for symbol in described["symbols"]]
    return KnownSource(Source.parse(described), np.array(ids))


def require_exact(masking: MaskingSettings) -> None:
    """Raise SettingError where the choice of what is hidden knows the text: no exact limit is known then."""
    if masking.unit != "token":
        raise SettingError(
            f"masking.unit must be token, got {masking.unit}: the limit is exact only where the choice of what is "
            "hidden does not depend on the text"
        )


def best_answers(
    known: KnownSource, rows: Rows, masked: Masked, masking: MaskingSettings | None, vocabulary: Vocabulary
) -> Floats:
    """Return (N, V) how likely each token is at each asked position of masked rows, given all that its window shows.

    Without ``masking`` nothing is hidden, and it is given what stands before. Raises SettingError where ``masking``
    does not hide token by token.
    """
    answer = partial(onward, known.source)
    if masking is not None:
        require_exact(masking)
        rule = emission_rule(
            rate=masking.mlm_probability,
            mask=masking.mask_replace_prob,
            random=masking.random_replace_prob,
            pool=len(vocabulary.ordinary_ids),
        )
        answer = partial(posterior, known.source, rule=rule)
    places, shown = window_places(rows), symbols_of(known, rows, masked.input_ids, vocabulary)
    asked = (masked.labels.ravel()[places] != IGNORE_INDEX) & (places >= 0)
    found = np.zeros((int(asked.sum()), vocabulary.size))  # windows and places ascend, as the asked positions do
    parts = [slice(first, first + _WINDOWS_AT_ONCE) for first in range(0, len(shown), _WINDOWS_AT_ONCE)]
    found[:, known.token_ids] = np.concatenate([answer(shown[part])[asked[part]] for part in parts])
    return found


def symbols_of(known: KnownSource, rows: Rows, shown: npt.NDArray[np.integer], vocabulary: Vocabulary) -> Symbols:
    """Return (W, L) the symbols that ``shown``, ids as of ``rows`` (R, L), stand for in each window of text.

    UNSEEN at [MASK] and in the empty places behind short windows; numbers from V on for what the source never shows.
    """
    symbol_of = np.full(vocabulary.size, known.source.num_symbols)
    symbol_of[known.token_ids] = np.arange(known.source.num_symbols)
    symbol_of[vocabulary.mask_id] = UNSEEN
    places = window_places(rows)
    return np.where(places < 0, UNSEEN, symbol_of[shown.ravel()[places]])


def limit_scores(best: Floats, log_likely: Floats, unigram: Floats, truth: npt.NDArray[np.integer]) -> LimitScores:
    """Return how a model's answers stand to the ``best`` (N, V) on ``truth`` (N,).

    ``log_likely`` (N, V) are logarithms of the model's answers, ``unigram`` (V,) what a guesser by frequency loses.
    """
    entropy = -np.sum(best * np.log(best, where=best > 0, out=np.zeros_like(best)), 1)
    return LimitScores(
        least=least_losses(best, truth.astype(np.int64)),
        divergence=-np.sum(best * log_likely, 1) - entropy,
        unigram_divergence=best @ unigram - entropy,
    )


def limit_figures(scores: LimitScores, loss: Floats, document: npt.NDArray[np.uint64], parts: Parts) -> dict[str, Any]:
    """Return the ``limit`` object of an evaluation: a model that loses ``loss`` (N,) beside the best possible one.

    ``parts`` are the kinds of position. ``captured`` is the share of the way from the unigram line to the limit that
    the model has gone, at [MASK] and in KL divergence. ``above`` is how far its mean loss is above the limit.
    """
    masked = parts["masked"]
    share = bootstrap(_sums(_ways(scores)[masked], document[masked]), _captured, method="bootstrap over documents")
    return {
        "cross_entropy": {name: _mean(scores.least[part], document[part]) for name, part in parts.items()},
        "divergence": _mean(scores.divergence[masked], document[masked]),
        "captured": share.plain(),
        "above": {name: _above((loss - scores.least)[parts[name]], document[parts[name]]) for name in JUDGED},
    }


def limit_means(scores: LimitScores, parts: Parts) -> dict[str, Any]:
    """Return the averages alone, for the lines that a run writes while it trains."""
    least = {name: float(scores.least[part].mean()) for name, part in parts.items() if part.any()}
    return {**least, "captured": float(_captured(_ways(scores)[parts["masked"]].sum(0)))}


def require_possible(limit: Mapping[str, Any]) -> None:
    """Raise CheckFailed where held-out losses are below the limit by more than STANDARD_ERRORS: that can not be."""
    for name, above in limit["above"].items():
        below = -above["value"]
        if below > STANDARD_ERRORS * above["standard_error"] + ROUNDING:
            raise CheckFailed(
                f"the model is {below:.3f} nats better than is possible at {WORDS[name]} of held-out text (standard "
                f"error {above['standard_error']:.4f}): this is a bug, something shows the model what it is asked for"
            )


def _above(differences: Floats, document: npt.NDArray[np.uint64]) -> dict[str, float]:
    """Return the mean of ``differences`` (N,) and its standard error, over documents: that of a ratio of sums.

    Cochran 1977, Sampling techniques, section 6.4.
    """
    sums = _sums(np.stack([differences, np.ones(len(differences))], 1), document)
    mean = differences.mean()
    spread = np.sum((sums[:, 0] - mean * sums[:, 1]) ** 2) * len(sums) / max(1, len(sums) - 1)
    return {"value": float(mean), "standard_error": float(np.sqrt(spread) / len(differences))}


def _sums(values: Floats, document: npt.NDArray[np.uint64]) -> Floats:
    """Return (D, K) the sums of ``values`` (N, K) over each document."""
    _, number = np.unique(document, return_inverse=True)
    return np.stack([np.bincount(number, weights=column) for column in values.T], 1)


def _ways(scores: LimitScores) -> Floats:
    """Return (N, 2) how far the model and the unigram line are from the best answer."""
    return np.stack([scores.divergence, scores.unigram_divergence], 1)


def _captured(sums: Floats) -> Floats:
    return np.asarray(1 - sums[..., 0] / sums[..., 1])


def _mean(values: Floats, document: npt.NDArray[np.uint64]) -> dict[str, Any] | None:
    found = mean_by_cluster(values, document)
    return found.plain() if found else None


def window_places(rows: Rows) -> npt.NDArray[np.int64]:
    """Return (W, L) the flat places in ``rows`` of the tokens of each window, in order; -1 behind the short ones."""
    start, size = runs_of(rows.segment)
    is_window = rows.segment.ravel()[start] > 0
    start, size = start[is_window] + 1, size[is_window] - 2  # without [CLS] and [SEP]
    along = np.arange(max(size, default=0))
    return np.where(along < size[:, None], start[:, None] + along, -1)
