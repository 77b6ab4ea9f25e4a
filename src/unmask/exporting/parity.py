"""The gate: another form of a model must say what the model says, or it is not put in place.

Both compute the same numbers. For float32 forms the largest difference of any score is measured; for int8, which does
change scores, how many decisions flip and what that costs in the figure of the model's own task. What bites: a flip
between two answers that were equally likely says nothing, so flips are counted apart where the model was sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from unmask.errors import CheckFailed
from unmask.inference.encoding import Window, WindowMaker
from unmask.inference.loaded import LoadedModel
from unmask.inference.predictor import Predictor
from unmask.inference.resolved import Resolved
from unmask.inference.task_predictor import TaskPredictor
from unmask.stats.figure import Combine, Figure, bootstrap, mean_of

LARGEST: Final = {"torch": 0.0, "onnx": 1e-4}
"""Largest difference of a score that a float32 form may have, as a share of the largest score, by the engine."""

SURE: Final = 1.0
"""Nats by which a decision must be ahead of the next one to count as sure."""

MOST_SURE_FLIPS: Final = 0.01
"""Share of the sure decisions that int8 may change."""

CROSS_ENTROPY: Final = "cross entropy"
"""The figure of a language model: nats at hidden tokens, better where it is lower; all others are the other way."""

MOST_LOST_NATS: Final = 0.05
"""By how much int8 may make the cross entropy worse."""

MOST_LOST: Final = 0.01
"""By how much int8 may make any other figure worse."""

_EVERY = 7  # about 15 %
_LONGEST = 128
_MOST_HIDDEN = 1000

LENGTHS: Final = (2, 3, 17, 128)
"""Tokens of the windows that are compared, special tokens included; alone, and all of them in one batch."""

Scores = list[npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What a model made of a sample: N decisions, and the figure that they add up to."""

    chosen: npt.NDArray[Any]
    """(N,) what was decided."""
    margin: npt.NDArray[np.floating] | None
    """(N,) nats by which each was ahead of the next; None where that is not known."""
    figure: str
    """Its name."""
    per_item: npt.NDArray[np.floating]
    """(items, K) what adds up to the figure."""
    combine: Combine


def margins(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return (N,) by how much the best of ``scores`` (N, C) is ahead of the second."""
    best = np.partition(scores, -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0])


def difference(found: Resolved, one: LoadedModel, other: LoadedModel) -> float:
    """Return the largest difference between the scores of ``one`` and ``other``, both made of ``found``.

    As a share of the largest score of ``one``, over windows of LENGTHS tokens, each alone and all in one batch.
    """
    windows = _windows(found)
    groups = [*([window] for window in windows), windows]
    pairs = [pair for group in groups for pair in zip(_scores(one, group), _scores(other, group), strict=True)]
    return max(float(np.abs(a - b).max()) for a, b in pairs) / max(float(np.abs(a).max()) for a, _ in pairs)


def require_same(engine: str, largest: float) -> None:
    """Raise CheckFailed where a float32 form for ``engine`` differs by more than it may."""
    if not largest <= LARGEST[engine]:
        raise CheckFailed(
            f"parity: the form for {engine} differs from the model by {largest:.1e} of the largest score, "
            f"{LARGEST[engine]:.0e} is allowed; nothing was written"
        )


def flips(before: Decisions, after: Decisions) -> dict[str, Any]:
    """Return how many decisions differ, how many of the sure ones, and what became of the figure."""
    flipped = (before.chosen != after.chosen).astype(float)
    sure = np.zeros(0, bool) if before.margin is None else before.margin >= SURE
    paired = np.concatenate([before.per_item, after.per_item], axis=1)

    def change(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        first, second = np.split(sums, 2, axis=-1)
        return np.asarray(after.combine(second) - before.combine(first))

    return {
        "flipped": _share(flipped),
        "flipped_where_sure": _share(flipped[sure]) if sure.any() else None,
        "figure": before.figure,
        "before": float(before.combine(before.per_item.sum(0))),
        "after": float(after.combine(after.per_item.sum(0))),
        "change": bootstrap(paired, change).plain(),
    }


def require_harmless(measured: dict[str, Any]) -> None:
    """Raise CheckFailed where int8 flips too many sure decisions or costs too much of the figure."""
    sure, name = measured["flipped_where_sure"], measured["figure"]
    if sure is not None and sure["value"] > MOST_SURE_FLIPS:
        raise CheckFailed(
            f"parity: int8 changes {sure['value']:.1%} of the decisions that were sure, {MOST_SURE_FLIPS:.0%} are "
            "allowed; nothing was written, keep float32"
        )
    worse, allowed = measured["change"]["value"], MOST_LOST_NATS
    if name != CROSS_ENTROPY:
        worse, allowed = -worse, MOST_LOST
    if not worse <= allowed:
        raise CheckFailed(
            f"parity: int8 takes {name} from {measured['before']:.3f} to {measured['after']:.3f}, "
            f"{allowed:g} is allowed; nothing was written, keep float32"
        )


def masked_decisions(found: Resolved, predictor: Predictor, texts: Sequence[str]) -> Decisions:
    """Return what a language model puts in place of hidden tokens of ``texts``: every seventh, one at a time."""
    maker = WindowMaker(found.tokenizer, found.vocabulary, min(_LONGEST, found.config.longest_row))
    windows = [window.input_ids for window in maker.texts(texts)]
    asked = [
        (text, place) for text, ids in enumerate(windows) for place in range(1 + text % _EVERY, len(ids) - 1, _EVERY)
    ]
    text_of, places = np.array(asked[:_MOST_HIDDEN]).reshape(-1, 2).T
    truth = np.array([windows[text][place] for text, place in zip(text_of, places, strict=True)])
    masked = [windows[text].copy() for text in text_of]
    for ids, place in zip(masked, places, strict=True):
        ids[place] = found.vocabulary.mask_id
    logits = predictor.engine.logits(masked, places.tolist())
    ahead = logits.astype(np.float64) - logits.max(1, keepdims=True)
    losses = np.log(np.exp(ahead).sum(1)) - ahead[np.arange(len(truth)), truth]
    _, item = np.unique(text_of, return_inverse=True)
    per_item = np.stack([np.bincount(item, weights=losses), np.bincount(item)], 1).astype(np.float64)
    return Decisions(
        chosen=logits.argmax(1), margin=margins(logits), figure=CROSS_ENTROPY, per_item=per_item, combine=mean_of
    )


def _share(happened: npt.NDArray[np.floating]) -> dict[str, Any]:
    found: Figure = bootstrap(np.stack([happened, np.ones(len(happened))], 1), mean_of)
    return found.plain()


def _scores(model: LoadedModel, windows: Sequence[Window]) -> Scores:
    """Return what the network of ``model`` says of ``windows``."""
    if isinstance(model, TaskPredictor):
        found: Scores = model.engine.scores(windows)
        return found
    assert isinstance(model, Predictor)
    ids = [window.input_ids for window in windows]
    middle = model.engine.logits(ids, [len(window) // 2 for window in ids])
    return [*middle, *model.engine.states(ids)]


def _windows(found: Resolved) -> list[Window]:
    """Return windows of ordinary tokens, drawn once and for all."""
    chance, words = np.random.Generator(np.random.Philox(0)), found.vocabulary
    longest = found.config.longest_row if found.task is None else found.task.max_length
    return [
        _window(words.cls_id, words.sep_id, chance.choice(words.ordinary_ids, size=length - 2))
        for length in sorted({min(length, longest) for length in LENGTHS})
    ]


def _window(first: int, last: int, inside: npt.NDArray[np.int32]) -> Window:
    ids = np.array([first, *inside, last], np.int32)
    asked = np.arange(len(ids))
    return Window(
        example=0,
        input_ids=ids,
        token_type_ids=np.zeros(len(ids), np.int32),
        asked=asked,
        words=asked,
        spans=np.full((len(ids), 2), -1, np.int32),
        is_cut=False,
    )
