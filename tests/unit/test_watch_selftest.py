from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.made_traffic import MONDAY, Traffic

from unmask.watch.alarms import AlarmSettings
from unmask.watch.baseline import Baseline
from unmask.watch.injections import TEXT_SHIFTS, Injection, signal_injections, thinned
from unmask.watch.selftest import tried_on


@pytest.fixture(scope="module")
def over_time() -> dict[str, Any]:
    traffic, chance = Traffic(rows=150, weekend=1.0), np.random.default_rng(0)
    reference = traffic.days(chance, 56)
    strange = replace(traffic, strange=1.0).days(chance, 7)
    made = Baseline.make(reference, AlarmSettings(), "m")
    injections = [Injection("strange", reference, strange), Injection("nothing", reference, reference, paired=True)]
    return tried_on(made, reference, injections)


def test_healthy_traffic_gives_few_alarms(over_time: dict[str, Any]) -> None:
    figure = over_time["false_alarms_a_month"]
    assert figure["value"] <= 2.0
    assert figure["low"] <= 1.0 <= figure["high"]
    assert over_time["windows"] == 56
    assert over_time["rows_of_a_window"] == 150


def test_a_shift_is_noticed_and_none_is_not(over_time: dict[str, Any]) -> None:
    found = {(one["name"], one["share"]): one for one in over_time["shifts"]}
    assert found["strange", 1.0]["noticed"]["value"] == 1.0
    assert found["strange", 1.0]["windows"] <= 2
    assert found["strange", 1.0]["requests"] == 150 * found["strange", 1.0]["windows"]
    assert found["nothing", 1.0]["noticed"]["value"] <= 0.5


def test_rows_without_time_are_tried_too() -> None:
    chance = np.random.default_rng(1)
    reference, strange = Traffic(rows=360).days(chance, 1), Traffic(rows=300, strange=1.0).days(chance, 1)
    reference = replace(reference, time=np.full(360, MONDAY))
    made = Baseline.make(reference, AlarmSettings(), "m")
    found = tried_on(made, reference, [Injection("strange", reference, strange)], rows=60)
    assert found["windows"] == 6
    assert found["false_alarms_a_month"]["low"] <= 1.0
    assert {one["share"]: one["noticed"]["value"] for one in found["shifts"]}[1.0] == 1.0


def test_the_mix_of_what_was_captured_can_be_changed() -> None:
    reference = Traffic(rows=400, vectors=4).days(np.random.default_rng(0), 2)
    one_class = next(one for one in signal_injections(reference) if "class" in one.name)
    assert len(set(one_class.shifted.classes["prediction"])) == 1
    topic = next(one for one in signal_injections(reference) if "topic" in one.name).shifted.embedding
    assert topic is not None
    assert reference.embedding is not None
    assert topic.std() < 0.8 * reference.embedding.std()


def test_texts_are_changed() -> None:
    text = "The quick brown fox jumps over the lazy dog, and so do a good many others."
    changed = {name: change(text) for name, change in TEXT_SHIFTS.items()}
    assert len(set(changed.values()) | {text}) == len(changed) + 1
    assert changed["all capitals"] == text.upper()
    assert " " not in changed["spaces lost"]
    assert len(changed["cut off after a third"]) == len(text) // 3


def test_vectors_are_as_rare_as_in_traffic() -> None:
    like = Traffic(rows=1000, vectors=4).days(np.random.default_rng(0), 1)
    assert like.embedding is not None
    rare = np.where(np.arange(1000)[:, None] % 50 == 0, like.embedding, np.nan).astype(np.float32)
    found = thinned(like, replace(like, embedding=rare))
    assert found.embedding is not None
    assert np.isfinite(found.embedding[:, 0]).mean() == pytest.approx(0.02)
