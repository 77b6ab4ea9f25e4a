"""Cases for the checks of a diagnosis, made of arrays: a model whose errors are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.made_text import sentences

from unmask.stats.figure import mean_of
from unmask.tasks.block import TaskBlock
from unmask.watch.diagnosis.case import Case, Decisions, Examined, Files
from unmask.watch.window import CLASSES, NUMBERS, Window

LABELS = ("calm", "dark", "fast", "loud")


def window_of(texts: Sequence[str], **numbers: npt.ArrayLike) -> Window:
    """Return a window of ``texts`` with some numbers, the others not measured."""
    count = len(texts)
    nothing = np.full(count, np.nan)
    found = {name: np.asarray(numbers.get(name, nothing), np.float64) for name in NUMBERS}
    found["words"] = np.array([len(text.split()) for text in texts], np.float64)
    return Window(time=np.zeros(count), numbers=found, classes={name: np.full(count, "") for name in CLASSES})


def examined(
    given: npt.NDArray[np.int64], said: npt.NDArray[np.int64], confidence: npt.NDArray[np.float64],
    texts: Sequence[str] = (), where: str = "dev", **numbers: npt.ArrayLike,
) -> Examined:  # fmt: skip
    """Return examples that a model says ``said`` of, with that confidence, the rest of it spread evenly."""
    count, classes = len(given), len(LABELS)
    texts = list(texts) or sentences(count, seed=sum(map(ord, where)))
    chance = np.repeat(((1 - confidence) / (classes - 1))[:, None], classes, axis=1)
    chance[np.arange(count), said] = confidence
    right = said == given
    return Examined(
        texts=texts,
        where=[f"{where}:{number}" for number in range(count)],
        window=window_of(texts, **{"confidence": confidence, **numbers}),
        per_item=np.stack([right, np.ones(count)], 1).astype(np.float64),
        given=given,
        chance=chance,
        decisions=Decisions(confidence=confidence, right=right, item=np.arange(count)),
    )


def sound(count: int = 600, accuracy: float = 0.92, seed: int = 0, where: str = "dev") -> Examined:
    """Return what a sound model makes of examples: right as often as it says, and surer where it is right."""
    chance = np.random.default_rng(seed)
    confidence = np.clip(chance.beta(accuracy * 8, (1 - accuracy) * 8, count), 0.3, 0.999)
    given = chance.integers(len(LABELS), size=count)
    wrong = chance.random(count) > confidence
    said = np.where(wrong, (given + chance.integers(1, len(LABELS), size=count)) % len(LABELS), given)
    return examined(given, said, confidence, where=where)


def case_of(dev: Examined | None = None, **more: Any) -> Case:
    """Return a case of ``dev``, a sound one where it is not given, without what is not in ``more``."""
    dev = sound() if dev is None else dev
    bare = Case(
        files=Files(model="runs/task", dev="dev.jsonl", train="train.jsonl"),
        block=TaskBlock(name="classify", labels=LABELS),
        figure="accuracy",
        combine=mean_of,
        dev=dev,
        again=lambda _style, _length: None,
        longest=512,
    )
    return replace(bare, **more)
