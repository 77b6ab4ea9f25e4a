"""Models beside a model: a shadow is asked the same after the answer is out, a canary answers a share of requests.

What bites: two models cost more than one. A comparison runs a batch at a time and only while nobody waits for answers;
where that does not come it is dropped, and counted. And a canary may not answer where numbers of two models would be
mixed: vectors and scores of texts stay with the model that was named.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import Counter, Summary

from unmask.errors import ModelError, SettingError
from unmask.serve.models import ServedModel
from unmask.serve.refusals import Refused
from unmask.serve.service import Service
from unmask.serve.spare import Spare
from unmask.serve.tasks import TASKS

COMPARED: Final = ("fill", "classify", "tag", "answer")
"""Tasks that have a best answer; its score stands for itself."""

KEPT: Final = 64
"""Comparisons that may wait; more are dropped."""

LARGEST: Final = 32
"""Texts of a request that is compared; cutting more of them into tokens would hold up others."""


@dataclass(frozen=True, slots=True)
class Companion:
    """A model beside the one called ``name``; a canary has a ``share`` of its requests, a shadow has none."""

    name: str
    model: ServedModel
    share: float | None = None

    @property
    def role(self) -> str:
        """What it is there for."""
        return "shadow" if self.share is None else "canary"

    def plain(self) -> dict[str, Any]:
        """Return what ``/info`` says of it."""
        return {"model": self.name, "role": self.role, "share": self.share, "engine": self.model.engine}


def companions(
    shadows: Sequence[str], canaries: Sequence[str], models: Mapping[str, ServedModel], engine: str
) -> list[Companion]:
    """Return what ``--shadow NAME=MODEL`` and ``--canary NAME=MODEL:5%`` say. Raises SettingError, ModelError."""
    found = [_companion("shadow", word, None, models, engine) for word in shadows]
    for word in canaries:
        rest, _, percent = word.rpartition(":")
        if not re.fullmatch(r"\d+(\.\d+)?%", percent) or not 0 < float(percent[:-1]) <= 100:
            raise SettingError(f"--canary {word}: it is given as NAME=MODEL:5%, with more than 0 and at most 100 %")
        found.append(_companion("canary", rest, float(percent[:-1]) / 100, models, engine))
    keys = [(one.name, one.role) for one in found]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise SettingError(f"{twice[0]} has two models as its {twice[1]}; give one")
    return found


def _companion(role: str, word: str, share: float | None, models: Mapping[str, ServedModel], engine: str) -> Companion:
    name, _, where = word.partition("=")
    if not where or name not in models:
        raise SettingError(f"--{role} {word}: say beside which model: NAME=MODEL, NAME one of {', '.join(models)}")
    if models[name].task not in COMPARED:
        raise SettingError(
            f"--{role} {word}: {name} was made to {models[name].task}, which has no best answer to compare"
        )
    model = ServedModel(f"{name}:{role}", where, engine)
    if model.task != models[name].task:
        raise SettingError(f"--{role} {word}: it was made to {model.task}, and {name} to {models[name].task}")
    return Companion(name, model, share)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was answered: by whom, with what and in how many seconds of the network."""

    task: str
    body: Any
    answer: Any
    seconds: float


@dataclass(frozen=True, slots=True)
class _Comparison:
    companion: Companion
    served: ServedModel
    asked: Asked
    since: float


class Beside:
    """Who else is asked, and what came of it."""

    def __init__(self, service: Service, companions: Sequence[Companion]) -> None:
        """Nothing is compared before :meth:`run`."""
        self.companions, self._service = companions, service
        self._shadows = {one.name: one for one in companions if one.share is None}
        self._canaries = {one.name: one for one in companions if one.share is not None}
        self._waiting: deque[_Comparison] = deque()
        self._some = asyncio.Event()
        labels, registry = ("model", "role"), service.metrics.registry
        self._requests = Counter(
            "unmask_shadow_requests", "Requests asked of two models", (*labels, "outcome"), registry=registry
        )
        self._answers = Counter(
            "unmask_shadow_answers", "Best answers, same or other", (*labels, "outcome"), registry=registry
        )
        self._change = Summary(
            "unmask_shadow_confidence_change", "Score of the best answer, less the model's", labels, registry=registry
        )
        self._seconds = Counter(
            "unmask_shadow_inference_seconds", "Time of the networks", (*labels, "side"), registry=registry
        )
        for one in companions:
            for outcome in ("compared", "dropped", "failed"):
                self._requests.labels(one.name, one.role, outcome)

    def canary(self, model: ServedModel, task: str, request_id: str) -> Companion | None:
        """Return the canary that answers the request, None where ``model`` does; one id has one answer."""
        found = self._canaries.get(model.name)
        if found is None or found.share is None or task not in COMPARED:
            return None
        chance = int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=8).digest(), "big") / 2**64
        return found if chance < found.share else None

    async def compare(self, model: ServedModel, by: Companion | None, asked: Asked) -> None:
        """Have the request asked of the other model too, once there is time; returns at once."""
        companion = by or self._shadows.get(model.name)
        if companion is None or asked.task not in COMPARED:
            return
        is_large = isinstance(asked.body.inputs, list) and len(asked.body.inputs) > LARGEST
        if is_large or len(self._waiting) >= KEPT:
            self._count(companion, "dropped")
            return
        self._waiting.append(_Comparison(companion, model, asked, time.monotonic()))
        self._some.set()

    async def run(self) -> None:
        """Compare whatever waits, one after the other, until cancelled."""
        while True:
            while not self._waiting:
                self._some.clear()
                await self._some.wait()
            one = self._waiting.popleft()
            try:
                await self._compared(one)
            except Refused as refused:
                self._count(one.companion, "dropped" if refused.kind == "overloaded" else "failed")
            except ModelError:
                self._count(one.companion, "failed")

    async def _compared(self, one: _Comparison) -> None:
        companion, asked = one.companion, one.asked
        is_canary = companion.share is not None
        other, ticket = one.served if is_canary else companion.model, Spare(self._service, one.since)
        body = read_by(one.served, other, asked.body)
        answer = await TASKS[asked.task].run(other, body, ticket, self._service.settings.too_long)
        sides = ((answer, ticket.seconds), (asked.answer, asked.seconds))
        (served, served_seconds), (candidate, seconds) = sides if is_canary else sides[::-1]
        labels = companion.name, companion.role
        for mine, theirs in zip(bests(asked.task, body, served), bests(asked.task, body, candidate), strict=False):
            self._answers.labels(*labels, "same" if mine[0] == theirs[0] else "other").inc()
            if mine[1] is not None and theirs[1] is not None:
                self._change.labels(*labels).observe(theirs[1] - mine[1])
        self._seconds.labels(*labels, "served").inc(served_seconds)
        self._seconds.labels(*labels, "candidate").inc(seconds)
        self._count(companion, "compared")

    def _count(self, companion: Companion, outcome: str) -> None:
        self._requests.labels(companion.name, companion.role, outcome).inc()


def read_by(named: ServedModel, other: ServedModel, body: Any) -> Any:
    """Return ``body`` as ``other`` reads it: with its own mask in place of that of the model that was ``named``."""
    if named.task != "fill" or named.predictor.mask_token == other.predictor.mask_token:
        return body
    masks, texts = (named.predictor.mask_token, other.predictor.mask_token), body.inputs
    changed = texts.replace(*masks) if isinstance(texts, str) else [text.replace(*masks) for text in texts]
    return body.model_copy(update={"inputs": changed})


def bests(task: str, body: Any, answer: Any) -> list[tuple[Any, float | None]]:
    """Return the best answer to each text or mask of ``body`` and its score, None where it has none."""
    if task == "answer":
        ranked = answer if isinstance(body.inputs, list) else [answer]
        best = ranked if (body.parameters.top_k or 1) == 1 else [one[0] for one in ranked]
        return [(one["answer"], one["score"]) for one in best]
    if task == "tag":
        return [_entities(found) for found in (answer if isinstance(body.inputs, list) else [answer])]
    if isinstance(answer[0], list):
        return [best for part in answer for best in bests(task, body, part)]
    return [(str(answer[0].get("token_str", answer[0].get("label"))).strip(), answer[0]["score"])]


def _entities(found: Sequence[Mapping[str, Any]]) -> tuple[Any, float | None]:
    """Return all that was found in a text, and the mean of the scores."""
    places = frozenset((one.get("entity_group", one.get("entity")), one["start"], one["end"]) for one in found)
    return places, sum(one["score"] for one in found) / len(found) if found else None
