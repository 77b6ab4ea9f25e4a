"""What an answer says of itself: how sure it is, by what lead, and what it decided. No text goes into it.

What bites: what is not known is NaN and not zero. A server that was asked for the best label alone knows no margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from unmask.tasks.block import TaskBlock

Answer = Any
"""Of one text: its labels, entities, answers or masks as the predictors give them, best first; None where it has none.

classify: dicts of label and score. tag: dicts of entity_group (or entity) and score. answer: dicts of answer and score.
fill: such a list of dicts with a score for each mask.
"""


class Outcome(NamedTuple):
    """The signals of one answer."""

    confidence: float = math.nan
    margin: float = math.nan
    entropy: float = math.nan
    abstained: float = math.nan
    prediction: str = ""


NOTHING = Outcome()


def outcome_of(answer: Answer | None, block: TaskBlock | None) -> Outcome:
    """Return the signals of ``answer`` by a model that was fine-tuned to ``block``, or (None) fills masks."""
    if answer is None:
        return NOTHING
    if block is None:
        return _filled(answer)
    of_task = {"classify": _classified, "tag": _tagged, "answer": _answered}.get(block.name)
    return NOTHING if of_task is None else of_task(answer, block)


def _classified(labels: Sequence[Mapping[str, Any]], block: TaskBlock) -> Outcome:
    scores = [float(one["score"]) for one in labels]  # some labels: lists are quicker than arrays
    has_all = len(labels) == len(block.labels)
    if block.multi_label:
        return _of_several(labels, scores, block) if has_all else NOTHING
    confidence = scores[0]
    return Outcome(
        confidence=confidence,
        margin=confidence - scores[1] if len(scores) > 1 else math.nan,
        entropy=_entropy(scores) if has_all else math.nan,
        abstained=math.nan if block.threshold is None else float(confidence < block.threshold),
        prediction=str(labels[0]["label"]),
    )


def _of_several(labels: Sequence[Mapping[str, Any]], scores: Sequence[float], block: TaskBlock) -> Outcome:
    """Return means over labels that are each true or not."""
    least = 0.5 if block.threshold is None else block.threshold
    chosen = sorted(str(one["label"]) for one in labels if one["score"] >= least)
    others = [1 - score for score in scores]
    return Outcome(
        confidence=sum(map(max, scores, others)) / len(scores),
        margin=sum(abs(score - other) for score, other in zip(scores, others, strict=True)) / len(scores),
        entropy=(_entropy(scores) + _entropy(others)) / len(scores),
        prediction=" + ".join(chosen) or "none",
    )


def _entropy(chances: Sequence[float]) -> float:
    """Return the entropy of ``chances`` in nats."""
    return -sum(chance * math.log(chance) for chance in chances if chance > 0)


def _tagged(entities: Sequence[Mapping[str, Any]], _: TaskBlock) -> Outcome:
    kinds = sorted({str(one.get("entity_group", one.get("entity"))) for one in entities})
    scores = [one["score"] for one in entities]
    confidence = sum(scores) / len(scores) if scores else math.nan
    return Outcome(confidence=confidence, prediction=" + ".join(kinds) or "none")


def _answered(ranked: Sequence[Mapping[str, Any]], block: TaskBlock) -> Outcome:
    best = ranked[0]
    is_nothing = not best["answer"]
    return Outcome(
        confidence=float(best["score"]),
        margin=float(best["score"] - ranked[1]["score"]) if len(ranked) > 1 else math.nan,
        abstained=math.nan if block.null_margin is None else float(is_nothing),
        prediction="no answer" if is_nothing else "answer",
    )


def _filled(masks: Sequence[Sequence[Mapping[str, Any]]]) -> Outcome:
    """Return means over masks; the words that were found are of the text and stay out."""
    best = [float(ranked[0]["score"]) for ranked in masks]
    leads = [float(ranked[0]["score"] - ranked[1]["score"]) if len(ranked) > 1 else math.nan for ranked in masks]
    return Outcome(confidence=sum(best) / len(best), margin=sum(leads) / len(leads))
