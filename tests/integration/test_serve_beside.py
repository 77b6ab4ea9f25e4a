"""A shadow is asked the same and changes nothing; a canary answers its share and says so; both are compared."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.published import publish
from tests.serving import Running

from unmask.errors import SettingError
from unmask.inference.asks import Ask, Mean, length_of
from unmask.serve.models import ServedModel
from unmask.serve.refusals import Refused
from unmask.serve.service import Service
from unmask.serve.settings import ServeSettings
from unmask.serve.shadow import KEPT, Asked, Beside, Companion, bests, companions
from unmask.serve.spare import KEPT_SECONDS, Spare

pytestmark = pytest.mark.slow  # starts processes again and again

MASKED = "the small [MASK] fox sees a [MASK]"
IDS = [f"request-{number}" for number in range(40)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, (family, seed) in {"one": ("modernbert", 0), "two": ("modernbert", 7), "other": ("roberta", 0)}.items():
        (folder / name).mkdir()
        publish(family, folder / name, seed)
    return {name: folder / name for name in ("one", "two", "other")}


@pytest.fixture(scope="module")
def server(models: dict[str, Path]) -> Iterator[Running]:
    """Return a server of ``same`` beside itself, and of ``named`` with a canary that has another mask."""
    options = ["--workers", "1", "--engine", "torch", "--shadow", f"same={models['one']}"]
    options += ["--shadow", f"named={models['two']}", "--canary", f"named={models['other']}:50%"]
    with Running({"same": models["one"], "named": models["one"]}, *options) as running:
        yield running


def compared(server: Running, model: str, role: str) -> dict[str, float]:
    """Return what is counted of a companion once nothing is compared any more."""
    wanted = rf'^unmask_shadow_(\w+)\{{(.*model="{model}",.*role="{role}".*)\}} (\S+)$'
    before = None
    while True:
        found = {}
        for name, labels, value in re.findall(wanted, server.get("/metrics")[1], re.MULTILINE):
            last = re.search(r'(?:outcome|side)="(\w+)"', labels)
            found[name if last is None else f"{name}:{last[1]}"] = float(value)
        if found == before:
            return found
        before = found
        time.sleep(0.3)


def fill(server: Running, model: str, request_id: str = "") -> tuple[str | None, Any]:
    """Return who answered in place of the model, and the answer."""
    body = json.dumps({"model": model, "inputs": MASKED}).encode()
    headers = {"content-type": "application/json", "x-request-id": request_id}
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/fill", body, headers)) as answer:
        return answer.headers["x-answered-by"], json.loads(answer.read())


def test_a_model_beside_itself_agrees_with_itself(server: Running) -> None:
    for _ in range(5):
        assert fill(server, "same")[0] is None
    found = compared(server, "same", "shadow")
    assert found["requests_total:compared"] == 5
    assert found["answers_total:same"] == 10  # two masks each
    assert "answers_total:other" not in found
    assert abs(found["confidence_change_sum"]) < 1e-3
    assert 0.05 < found["inference_seconds_total:candidate"] / found["inference_seconds_total:served"] < 20


def test_a_canary_answers_its_share_by_the_id_of_the_request(server: Running) -> None:
    found = [fill(server, "named", one) for one in IDS]
    by_canary = {one for one, (by, _) in zip(IDS, found, strict=True) if by == "named:canary"}
    assert 10 < len(by_canary) < 30  # half of forty
    assert {by for by, _ in found} == {None, "named:canary"}
    again = [fill(server, "named", one) for one in IDS]
    assert again == found  # an id has one answer
    named = next(answer for by, answer in found if by is None)
    assert named == fill(server, "same")[1]
    other = next(answer for by, answer in found if by is not None)
    assert len(other) == 2
    assert other != named
    canary, shadow = compared(server, "named", "canary"), compared(server, "named", "shadow")
    assert sum(canary[f"requests_total:{one}"] for one in ("compared", "dropped")) == 2 * len(by_canary)
    assert sum(shadow[f"requests_total:{one}"] for one in ("compared", "dropped")) == 80 - 2 * len(by_canary)
    assert shadow["answers_total:other"] > 0
    assert canary["requests_total:failed"] == shadow["requests_total:failed"] == 0
    assert server.counted("unmask_requests_total") >= 80
    assert 'model="named:canary"' in server.get("/metrics")[1]


def test_vectors_of_two_models_are_not_mixed(server: Running) -> None:
    vectors = []
    for one in IDS[:12]:
        status, found = server.post("/embed", {"model": "named", "inputs": "a house"}, x_request_id=one)
        assert status == 200
        vectors.append(found)
    assert np.abs(np.array(vectors) - vectors[0]).max() < 1e-5


def test_companions_are_told_of_and_not_asked_by_name(server: Running) -> None:
    info = server.get("/info")[1]
    assert [(one["model"], one["role"], one["share"]) for one in info["beside"]] == [
        ("same", "shadow", None),
        ("named", "shadow", None),
        ("named", "canary", 0.5),
    ]
    assert [one["name"] for one in info["models"]] == ["same", "named"]
    assert server.post("/fill", {"model": "named:canary", "inputs": MASKED})[0] == 404


@pytest.mark.parametrize(
    ("shadow", "canary", "words"),
    [
        (["nope=x"], [], "say beside which model: NAME=MODEL, NAME one of m"),
        (["m"], [], "say beside which model"),
        ([], ["m=MODEL"], "NAME=MODEL:5%"),
        ([], ["m=MODEL:0%"], "more than 0"),
        ([], ["m=MODEL:101%"], "at most 100"),
        (["m=MODEL", "m=MODEL"], [], "m has two models as its shadow"),
    ],
)
def test_what_is_said_wrongly_is_said(
    shadow: list[str], canary: list[str], words: str, models: dict[str, Path]
) -> None:
    where = str(models["one"])
    served = {"m": ServedModel("m", where, "torch")}
    with pytest.raises(SettingError, match=re.escape(words)):
        companions(
            [word.replace("MODEL", where) for word in shadow],
            [word.replace("MODEL", where) for word in canary],
            served,
            "torch",
        )


@given(st.floats(0.01, 1))
def test_a_canary_has_its_share(share: float) -> None:
    beside: Any = SimpleNamespace(_canaries={"m": Companion("m", SimpleNamespace(), share)})  # type: ignore[arg-type]
    model: Any = SimpleNamespace(name="m")
    chosen = sum(Beside.canary(beside, model, "fill", str(number)) is not None for number in range(2000))
    assert abs(chosen / 2000 - share) < 0.06  # five times the standard deviation
    assert Beside.canary(beside, model, "embed", "0") is None


@pytest.fixture
def beside(models: dict[str, Path]) -> tuple[Beside, ServedModel]:
    served = ServedModel("m", str(models["one"]), "torch")
    service = Service({"m": served}, ServeSettings(workers=1))
    return Beside(service, [Companion("m", served)]), served


def test_what_can_not_be_compared_in_time_is_dropped(beside: tuple[Beside, ServedModel]) -> None:
    comparing, served = beside
    body = SimpleNamespace(inputs=MASKED)

    def dropped() -> float:
        return float(comparing._requests.labels("m", "shadow", "dropped")._value.get())

    async def ask() -> None:
        await comparing.compare(served, None, Asked("fill", SimpleNamespace(inputs=[MASKED] * 33), [], 0.0))
        assert dropped() == 1
        for _ in range(KEPT + 3):
            await comparing.compare(served, None, Asked("fill", body, [], 0.0))
        await comparing.compare(served, None, Asked("embed", body, [], 0.0))

    asyncio.run(ask())
    assert dropped() == 4


class Workers:
    """A batcher that keeps what it is given and has something else to do for some looks."""

    def __init__(self, busy_looks: float) -> None:
        self.busy_looks, self.batch_tokens, self.given = busy_looks, 10, []  # type: float, int, list[list[Ask]]

    @property
    def is_idle(self) -> bool:
        self.busy_looks -= 1
        return self.busy_looks < 0

    async def ask(self, model: str, asks: list[Ask], deadline: float) -> Any:
        assert self.busy_looks < 0, "given something while others wait"
        self.given.append(asks)
        self.busy_looks = 2
        return SimpleNamespace(answers=[length_of(one) for one in asks], inference_seconds=0.5)


def test_a_comparison_takes_a_batch_at_a_time_while_nobody_else_asks() -> None:
    lengths, seen = [4, 4, 4, 20, 3], []

    def question() -> Any:
        seen.append((yield [Mean(np.zeros(length, np.int64)) for length in lengths]))
        return "done"

    workers = Workers(3)
    service: Any = SimpleNamespace(batcher=workers, settings=ServeSettings())
    ticket, model = Spare(service, time.monotonic()), SimpleNamespace(name="m:shadow")
    assert asyncio.run(ticket.answer(model, question())) == "done"  # type: ignore[arg-type]
    assert seen == [lengths]
    assert [[length_of(one) for one in batch] for batch in workers.given] == [[4, 4], [4], [20], [3]]
    assert ticket.seconds == 2.0
    service.batcher = Workers(float("inf"))
    with pytest.raises(Refused, match="nobody has time"):
        asyncio.run(Spare(service, time.monotonic() - KEPT_SECONDS).answer(model, question()))  # type: ignore[arg-type]


def test_the_best_answers_are_found_in_every_shape() -> None:
    def body(inputs: Any, top_k: int | None = None) -> Any:
        return SimpleNamespace(inputs=inputs, parameters=SimpleNamespace(top_k=top_k))

    fills = [{"token_str": " fox", "score": 0.5}, {"token_str": "dog", "score": 0.1}]
    assert bests("fill", body("a"), fills) == [("fox", 0.5)]
    assert bests("fill", body(["a", "b"]), [fills, [fills, fills]]) == [("fox", 0.5)] * 3
    assert bests("classify", body("a"), [[{"label": "x", "score": 0.9}]]) == [("x", 0.9)]
    found = {"answer": "he", "score": 0.4, "start": 0, "end": 2}
    assert bests("answer", body("a"), found) == [("he", 0.4)]
    assert bests("answer", body(["a"]), [found]) == [("he", 0.4)]
    assert bests("answer", body("a", 2), [found, found]) == [("he", 0.4)]
    assert bests("answer", body(["a"], 2), [[found, found]]) == [("he", 0.4)]
    entity = {"entity_group": "P", "start": 0, "end": 2, "score": 0.4}
    assert bests("tag", body("a"), [entity]) == [(frozenset({("P", 0, 2)}), 0.4)]
    assert bests("tag", body(["a", "b"]), [[entity], []])[1] == (frozenset(), None)
