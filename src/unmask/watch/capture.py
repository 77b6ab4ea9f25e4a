"""Signals of texts that are given, without a server: what a reference, a self-test or a diagnosis is made of.

What bites: the same code makes the signals of traffic, and a reference must be asked the same: a server that truncates
long texts is compared with texts that are truncated, as they are here.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from unmask.errors import ModelError
from unmask.inference.asks import Ask, answers
from unmask.inference.loaded import LoadedModel
from unmask.watch.answers import Answer
from unmask.watch.keys import new_key
from unmask.watch.sample import Asked, Sampler
from unmask.watch.signals import Reader, Seen, signals_of, whole
from unmask.watch.window import Floats, Window, joined

AT_ONCE = 64
"""Texts that are asked together."""

Told = Callable[[int, int], None]
"""Hears how many of how many texts are done."""


def capture(
    model: LoadedModel,
    texts: Sequence[str],
    pairs: Sequence[str | None] | None = None,
    *,
    base: LoadedModel | None = None,
    sample: bool = True,
    time: Floats | None = None,
    key: bytes | None = None,
    told: Told = lambda _, __: None,
) -> Window:
    """Return the signals of ``texts`` (N) as ``model`` answers them; ``pairs`` are what is read with each.

    For a model that answers, texts are questions and pairs their contexts. ``base`` is the frozen model that it came
    from; without ``sample`` neither bits nor vectors are measured. ``time`` (N,) is now where it is not given, ``key``
    one of its own. Latency is not measured, distances are put in by ``distance.with_distances``. Raises ModelError.
    """
    read = Reader.of(model)
    if read.block is not None and read.block.name == "answer" and (pairs is None or None in pairs):
        raise ModelError("a model that answers needs a context for each question")
    if base is not None and Reader.of(base).block is not None:
        raise ModelError("the base must be a language model, as it was before it was fine-tuned")
    times = np.full(len(texts), clock.time()) if time is None else np.asarray(time, np.float64)
    seconds = pairs or [None] * len(texts)
    sampler = Sampler(_asked(model), None if base is None else _asked(base))
    chosen, parts = key or new_key(), []
    for first in range(0, max(1, len(texts)), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        group, beside = texts[part], seconds[part]
        seen = Seen(
            texts=[whole(text, pair) for text, pair in zip(group, beside, strict=True)],
            answers=_answers(model, read, group, beside),
            time=times[part],
            latency_ms=np.full(len(group), np.nan),
        )
        window = signals_of(read, seen, chosen)
        parts.append(_with_sample(window, seen.texts, sampler) if sample and len(group) else window)
        told(min(len(texts), first + AT_ONCE), len(texts))
    return joined(parts)


def _answers(
    model: LoadedModel, read: Reader, texts: Sequence[str], pairs: Sequence[str | None]
) -> Sequence[Answer | None]:
    """Return what ``model`` answers to each text; a language model answers nothing to a text without a mask."""
    match read.block.name if read.block is not None else "fill":
        case "classify":
            return model.classify(texts, pairs if any(pair is not None for pair in pairs) else None)
        case "tag":
            return model.tag(texts)
        case "answer":
            return model.answer(texts, [pair or "" for pair in pairs])
        case _:
            return [None] * len(texts)


def _with_sample(window: Window, texts: Sequence[str], sampler: Sampler) -> Window:
    measured = sampler.measure(texts)
    assert measured is not None, "a network of one's own has time"
    bits = {"live_bits": measured.live_bits, "base_bits": measured.base_bits}
    return replace(window, numbers={**window.numbers, **bits}, embedding=measured.embedding)


def _asked(model: LoadedModel) -> Asked:
    def ask(asks: Sequence[Ask]) -> list[object]:
        return answers(model.engine, asks, model.vocabulary.ordinary_ids)

    return Asked(Reader.of(model), ask)
