"""A server that is watched answers as one that is not, and what it captures is what a file of the same texts gives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.made_text import sentences
from tests.serving import Running, write_models

from unmask.cli.main import main
from unmask.watch.store import models_in, read

pytestmark = pytest.mark.slow  # starts servers

TEXTS = [f"xylophone quandary {n}: {text[:60]}" for n, text in enumerate(sentences(30))]
ASKED: list[tuple[str, Any]] = [
    *(("/classify", {"model": "classify", "inputs": text}) for text in TEXTS),
    ("/classify", {"model": "classify", "inputs": TEXTS}),
    ("/classify", {"model": "classify", "inputs": TEXTS[0], "parameters": {"top_k": 1}}),
    ("/classify", {"model": "classify", "inputs": TEXTS[0], "parameters": {"function_to_apply": "none"}}),
    ("/classify", {"model": "classify", "inputs": {"text": TEXTS[0], "text_pair": TEXTS[1]}}),
    ("/tag", {"model": "tag", "inputs": TEXTS[:3]}),
    ("/tag", {"model": "tag", "inputs": TEXTS[0], "parameters": {"aggregation_strategy": "none"}}),
    ("/answer", {"model": "answer", "inputs": {"question": TEXTS[0], "context": TEXTS[1]}}),
    ("/answer", {"model": "answer", "inputs": [{"question": TEXTS[0], "context": TEXTS[1]}]}),
    ("/embed", {"model": "embed", "inputs": TEXTS[:3]}),
    ("/similarity", {"model": "embed", "inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:3]}}),
    ("/v1/embeddings", {"model": "embed", "input": TEXTS[:2]}),
    ("/fill", {"model": "fill", "inputs": "the small [MASK] returns"}),
    ("/fill", {"model": "fill", "inputs": ["the [MASK] [MASK] returns", "a [MASK]"]}),
    ("/score", {"model": "fill", "inputs": TEXTS[:2]}),
    ("/tokenize", {"model": "fill", "inputs": TEXTS[:2]}),
    ("/classify", {"model": "classify", "inputs": "word " * 500}),
]  # fmt: skip
COUNTS = {"classify": 30 + 30 + 3, "tag": 4, "answer": 2, "embed": 3 + 3 + 2, "fill": 1 + 2 + 2}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def plain(models: dict[str, Path]) -> list[Any]:
    """Return what a server answers that nobody watches."""
    with Running(models, "--workers", "1") as server:
        return [server.post(*asked) for asked in ASKED]


@pytest.fixture(scope="module", params=["off", "on"])
def watched(
    request: pytest.FixtureRequest, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Running, Path, list[Any]]]:
    """Return whether texts are kept, a watched server, its folder and what it answered."""
    folder = tmp_path_factory.mktemp("watch") / "signals"
    options = ["--workers", "1", "--watch", str(folder), "--watch-base", str(models["fill"]), "--watch-sample", "100%"]
    with Running(models, *options, *(["--watch-texts"] if request.param == "on" else [])) as server:
        answers: list[Any] = []
        for part, count in ((30, 30), (1, 60), (len(ASKED), sum(COUNTS.values()))):  # more are not sampled at once
            answers += [server.post(*asked) for asked in ASKED[len(answers) :][:part]]
            end = time.monotonic() + 60
            while server.counted("unmask_watch_captured_total") < count:
                assert time.monotonic() < end, server.get("/metrics")[1]
                time.sleep(0.1)
        yield request.param, server, folder, answers


def near(one: Any, other: Any) -> bool:
    """Say whether two answers are the same but for rounding: what else was in a batch may move the last digit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(near(one[key], other[key]) for key in one if key != "request_id")
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(near, one, other))
    return abs(one - other) < 1e-5 if isinstance(one, float) and isinstance(other, float) else bool(one == other)


def test_answers_are_those_of_a_server_that_nobody_watches(
    watched: tuple[str, Running, Path, list[Any]], plain: list[Any]
) -> None:
    for asked, (status, answer), (status_then, answer_then) in zip(ASKED, watched[3], plain, strict=True):
        assert status == status_then, asked
        assert near(answer, answer_then), asked
    assert [status for status, _ in plain][-1] == 422
    assert {status for status, _ in plain[:-1]} == {200}


def test_every_text_that_was_answered_is_captured_once(watched: tuple[str, Running, Path, list[Any]]) -> None:
    _, server, folder, _ = watched
    assert models_in(folder) == sorted(COUNTS)
    assert {name: len(read(folder, name)) for name in COUNTS} == COUNTS
    assert server.counted("unmask_watch_dropped_total") == 0
    assert abs(server.counted("unmask_watch_last_write_timestamp_seconds") - time.time()) < 120
    measured = [name for name in COUNTS if np.isfinite(read(folder, name).numbers["base_bits"]).any()]
    assert measured == list(COUNTS)
    assert np.isfinite(read(folder, "fill").numbers["live_bits"]).any()
    total = server.counted("unmask_watch_sampled_total")
    assert total == sum(COUNTS.values())


def test_signals_of_traffic_are_those_of_a_file(
    watched: tuple[str, Running, Path, list[Any]], models: dict[str, Path], tmp_path: Path
) -> None:
    _, _, folder, _ = watched
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    words = [
        "watch",
        "capture",
        str(models["classify"]),
        str(tmp_path / "texts.jsonl"),
        "--into",
        str(tmp_path / "file"),
    ]
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "key").write_bytes((folder / "key").read_bytes())
    assert main([*words, "--name", "c", "--base", str(models["fill"]), "--quiet"]) == 0
    served, of_file = read(folder, "classify"), read(tmp_path / "file")
    assert served.key is not None
    assert of_file.key is not None
    places = [served.key.tolist().index(key) for key in of_file.key]
    for name, values in of_file.numbers.items():
        if name != "latency_ms":
            np.testing.assert_allclose(served.numbers[name][places], values, rtol=2e-4, atol=1e-5, err_msg=name)
    for name, strings in of_file.classes.items():
        assert served.classes[name][places].tolist() == strings.tolist()
    assert served.embedding is not None
    found = np.isfinite(served.embedding[places]).all(1)
    np.testing.assert_allclose(served.embedding[places][found], of_file.embedding[found], atol=1e-4)  # type: ignore[index]
    assert (served.numbers["latency_ms"] > 0).all()


def test_the_page_of_figures_shows_what_is_captured(watched: tuple[str, Running, Path, list[Any]]) -> None:
    _, server, _, _ = watched
    status, seen = server.get("/watch.json")
    assert status == 200
    assert {name: one["count"] for name, one in seen["models"].items()} == COUNTS
    assert seen["models"]["classify"]["numbers"]["confidence"]["measured"] == 30 + 30 + 2  # not where scores are raw
    assert seen["models"]["tag"]["classes"]["prediction"]
    assert server.get("/watch")[0] == 200


def test_no_text_gets_out_unless_it_was_asked_for(watched: tuple[str, Running, Path, list[Any]]) -> None:
    texts, server, folder, _ = watched
    told = json.dumps([server.get(path)[1] for path in ("/metrics", "/watch.json", "/watch", "/info")])
    code, said = server.stop()
    assert code == 0
    assert said.count("request_id") >= len(ASKED)
    stored = {path.name: path.read_bytes() for path in folder.iterdir()}
    for words in ("xylophone", "quandary"):
        assert words not in told
        assert words not in said
    assert (b"xylophone quandary" in b"".join(stored.values())) == (texts == "on")
    assert sorted(stored) == ["key", "signals.sqlite"]
