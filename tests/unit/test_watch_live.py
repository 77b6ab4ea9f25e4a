"""Capture beside a server: nothing is lost or doubled, nothing waits, and no text gets out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.made_text import sentences
from tests.watching import doing, filling

from unmask.inference.asks import answers
from unmask.watch import live as living
from unmask.watch.capture import capture
from unmask.watch.live import Live
from unmask.watch.settings import WatchSettings
from unmask.watch.signals import Reader
from unmask.watch.store import NAME, models_in, read

TEXTS = sentences(60)
MODELS = {"c": doing("classify"), "f": filling(), "base": filling(np.arange(300.0) / 100)}


def ask(name: str, asks: Sequence[Any]) -> list[Any]:
    model = MODELS[name]
    return answers(model.engine, asks, model.vocabulary.ordinary_ids)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(living, "EVERY_SECONDS", 0.02)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Return what starts a listener."""
    started: list[Live] = []

    def start(asking: Any = ask, base: str | None = "base", say: Any = lambda _: None, **settings: Any) -> Live:
        readers = {name: Reader.of(model) for name, model in MODELS.items()}
        live = Live(tmp_path / "watch", readers, WatchSettings(**settings), base=base, say=say)
        live.start(asking)
        started.append(live)
        return live

    yield start
    for live in started:
        live.stop()


def tell(live: Live, number: int, texts: Sequence[str], model: str = "c") -> None:
    found = MODELS["c"].classify(texts) if model == "c" else [None] * len(texts)
    live.heard(
        request_id=f"request {number}",
        model=model,
        task="classify" if model == "c" else "embed",
        time=1_900_000_000.0 + number,
        seconds=0.25,
        texts=texts,
        answers=found,
    )


def until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_a_server_captures_what_a_file_would(listening: Callable[..., Live], tmp_path: Path) -> None:
    live = listening(sample=1.0)
    for number, first in enumerate(range(0, 60, 3)):
        tell(live, number, TEXTS[first : first + 3])
    until(lambda: live.figures()["captured"] == 60)
    found = read(tmp_path / "watch", "c")
    key = (tmp_path / "watch" / "key").read_bytes()
    alone = capture(MODELS["c"], TEXTS, base=MODELS["base"], key=key)
    assert found.key is not None
    assert alone.key is not None
    one, other = (np.argsort(window.key) for window in (found, alone))  # type: ignore[arg-type]
    assert found.key[one].tolist() == alone.key[other].tolist()
    for name, values in alone.numbers.items():
        if name != "latency_ms":
            np.testing.assert_allclose(found.numbers[name][one], values[other], rtol=1e-6, err_msg=name)
    for name, strings in alone.classes.items():
        assert found.classes[name][one].tolist() == strings[other].tolist()
    np.testing.assert_allclose(found.embedding[one], alone.embedding[other], rtol=1e-5)  # type: ignore[index]
    assert set(found.numbers["latency_ms"]) == {250.0}
    assert sorted(set(found.time)) == [1_900_000_000.0 + n for n in range(20)]
    assert live.figures()["sample_measured"] == 60


def test_the_sample_has_its_share_and_follows_from_the_ids(listening: Callable[..., Live], tmp_path: Path) -> None:
    live = listening(sample=0.25)
    for part in range(8):  # each id twice
        for number in range(100 * (part % 4), 100 * (part % 4) + 100):
            tell(live, number, TEXTS[:1])
        until(lambda part=part: live.figures()["captured"] == 100 * (part + 1))  # type: ignore[misc]
    found = read(tmp_path / "watch", "c")
    measured = np.bincount((found.time - 1_900_000_000).astype(int), ~np.isnan(found.numbers["base_bits"]))
    assert set(measured) == {0, 2}
    assert 60 < (measured > 0).sum() < 140


def test_without_a_base_a_classifier_is_not_measured_and_a_language_model_is(
    listening: Callable[..., Live], tmp_path: Path
) -> None:
    live = listening(sample=1.0, base=None)
    tell(live, 0, TEXTS[:10])
    tell(live, 1, TEXTS[:10], "f")
    until(lambda: live.figures()["captured"] == 20)
    assert models_in(tmp_path / "watch") == ["c", "f"]
    plain, filled = (read(tmp_path / "watch", name) for name in ("c", "f"))
    assert plain.embedding is None
    assert filled.embedding is not None
    assert not np.isnan(filled.numbers["live_bits"]).any()
    assert np.isnan(filled.numbers["base_bits"]).all()
    assert live.figures()["sample_measured"] == 10
    assert live.look()["models"]["f"]["numbers"]["live_bits"]["measured"] == 10


def test_networks_without_time_cost_the_sample_alone(listening: Callable[..., Live], tmp_path: Path) -> None:
    live = listening(asking=lambda *_: None, sample=1.0)
    tell(live, 0, TEXTS[:10])
    until(lambda: live.figures()["captured"] == 10)
    assert live.figures()["sample_dropped"] == 10
    assert np.isnan(read(tmp_path / "watch", "c").numbers["base_bits"]).all()


def test_networks_that_are_slow_hold_nobody_up(
    listening: Callable[..., Live], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate = threading.Event()

    def slow(name: str, asks: Sequence[Any]) -> list[Any]:
        gate.wait(20)
        return ask(name, asks)

    monkeypatch.setattr(living, "MOST_SAMPLED", 4)
    live = listening(asking=slow, sample=1.0)
    tell(live, 0, TEXTS)
    until(lambda: live.figures()["captured"] >= 55)
    assert 55 <= live.figures()["sample_dropped"] <= 56  # four wait, one may be under way
    gate.set()
    until(lambda: live.figures()["captured"] == 60)


def test_what_waits_is_bounded_and_hearing_takes_no_time(
    listening: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living, "EVERY_SECONDS", 60.0)
    monkeypatch.setattr(living, "MOST_CHARACTERS", 5_000)
    live = listening()
    start = time.perf_counter()
    for number in range(2_000):
        live.heard(
            request_id=str(number), model="c", task="classify", time=0.0, seconds=0.0, texts=["x" * 50], answers=[None]
        )
    assert time.perf_counter() - start < 0.5
    assert live.figures()["dropped_unread"] == 1_900


def test_the_end_writes_what_was_heard(
    listening: Callable[..., Live], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(living, "EVERY_SECONDS", 60.0)
    live = listening(base=None)
    tell(live, 0, TEXTS)
    start = time.monotonic()
    live.stop()
    assert time.monotonic() - start < 5
    assert len(read(tmp_path / "watch", "c")) == 60


def test_trouble_is_said_once_and_so_is_its_end(listening: Callable[..., Live], tmp_path: Path) -> None:
    said: list[Mapping[str, Any]] = []
    (tmp_path / "watch" / NAME).mkdir(parents=True)
    live = listening(say=said.append)
    tell(live, 0, TEXTS[:3])
    until(lambda: bool(said))
    assert live.look()["trouble"] == "unable to open database file"
    time.sleep(0.1)
    (tmp_path / "watch" / NAME).rmdir()
    until(lambda: live.figures()["captured"] == 3)
    until(lambda: len(said) == 2)
    assert said == [{"watch": "unable to open database file", "dropped": 0}, {"watch": "writes again", "dropped": 0}]


def test_a_look_shows_the_last_texts_of_each_model(
    listening: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living, "MOST_RECENT", 20)
    live = listening()
    for number in range(30):
        tell(live, number, TEXTS[number : number + 2])
        seen = number * 2 + 2
        until(lambda seen=seen: live.figures()["captured"] == seen)  # type: ignore[misc]
    found = json.loads(json.dumps(live.look(), allow_nan=False))
    assert found["models"]["c"]["count"] == 20
    assert found["models"]["c"]["until"] == 1_900_000_029
    assert found["models"]["c"]["numbers"]["latency_ms"]["middle"] == 250
    assert found["figures"]["captured"] == 60


@pytest.mark.parametrize("texts", [False, True])
def test_texts_are_kept_only_where_it_was_asked_for(
    texts: bool, listening: Callable[..., Live], tmp_path: Path
) -> None:
    said: list[Any] = []
    live = listening(sample=0.5, texts=texts, say=said.append)
    tell(live, 0, [f"secret number {n} {text}" for n, text in enumerate(TEXTS)])
    until(lambda: live.figures()["captured"] == 60)
    live.stop()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "watch").iterdir())
    assert (b"secret number" in stored) == texts
    if texts:
        assert all(f"secret number {n} {text}".encode() in stored for n, text in enumerate(TEXTS))
    assert "secret" not in json.dumps([live.look(), live.figures(), said])
