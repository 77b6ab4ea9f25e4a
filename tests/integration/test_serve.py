"""The server answers as the model does, to the clients that people have, and refuses in one envelope."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from openai import OpenAI
from tests.contract import keep
from tests.serving import Running, write_models

import unmask
from unmask.serve.refusals import STATUS

MASKED = "the small [MASK] fox sees a tree"
TEXTS = ["the small red fox sees a tree", "a house", "the old man walks home over the green hill and sleeps"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(models: dict[str, Path]) -> Iterator[Running]:
    with Running(models, "--workers", "1", "--engine", "torch") as running:
        yield running


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the client asks a server of ours


def client(server: Running, name: str) -> Any:
    return InferenceClient(model=f"{server.url}/models/{name}")


def close(found: Any, expected: Any) -> bool:
    return bool(np.allclose(found, expected, rtol=1e-4, atol=1e-5))


def test_hugging_faces_client_fills(server: Running, models: dict[str, Path]) -> None:
    found, expected = client(server, "fill").fill_mask(MASKED), unmask.load(models["fill"]).fill([MASKED])[0]
    assert [one.token for one in found] == [one["token"] for one in expected]
    assert [one.sequence for one in found] == [one["sequence"] for one in expected]
    assert close([one.score for one in found], [one["score"] for one in expected])
    assert len(client(server, "fill").fill_mask(MASKED, top_k=3)) == 3
    [best] = client(server, "fill").fill_mask(MASKED, targets=["house"])
    assert best.token_str == "house"


def test_hugging_faces_client_classifies(server: Running, models: dict[str, Path]) -> None:
    found, expected = client(server, "classify").text_classification(TEXTS[0]), unmask.load(models["classify"])
    best = expected.classify([TEXTS[0]])[0]
    assert [one.label for one in found] == [one["label"] for one in best]
    assert close([one.score for one in found], [one["score"] for one in best])


def test_hugging_faces_client_tags(server: Running, models: dict[str, Path]) -> None:
    [expected] = unmask.load(models["tag"]).tag([TEXTS[2]])
    found = client(server, "tag").token_classification(TEXTS[2], aggregation_strategy="simple")
    assert [(one.entity_group, one.start, one.end, one.word) for one in found] == [
        (one["entity_group"], one["start"], one["end"], one["word"]) for one in expected
    ]
    words = client(server, "tag").token_classification(TEXTS[2], aggregation_strategy="none")
    assert all(TEXTS[2][one.start : one.end] == one.word for one in words)


def test_hugging_faces_client_answers(server: Running, models: dict[str, Path]) -> None:
    asked: dict[str, Any] = {"question": "who walks ?", "context": TEXTS[2]}
    found = client(server, "answer").question_answering(**asked)
    [[expected]] = unmask.load(models["answer"]).answer([asked["question"]], [asked["context"]])
    assert (found.answer, found.start, found.end) == (expected["answer"], expected["start"], expected["end"])
    assert len(client(server, "answer").question_answering(**asked, top_k=3)) == 3


@pytest.mark.parametrize("name", ["embed", "fill"])
def test_hugging_faces_client_embeds(name: str, server: Running, models: dict[str, Path]) -> None:
    expected = unmask.load(models[name]).embed(TEXTS)
    asked = InferenceClient(model=f"{server.url}/models/{name}/pipeline/feature-extraction")
    assert close(asked.feature_extraction(TEXTS), expected)
    compared = InferenceClient(model=f"{server.url}/models/{name}/pipeline/sentence-similarity")
    cosines = unmask.load(models[name]).similarity([TEXTS[0]] * 2, TEXTS[1:])
    assert close(compared.sentence_similarity(TEXTS[0], TEXTS[1:]), cosines)


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_openais_client_embeds(encoding: Any, server: Running, models: dict[str, Path]) -> None:
    asked = OpenAI(base_url=f"{server.url}/v1", api_key="none")
    found = asked.embeddings.create(input=TEXTS, model="embed", encoding_format=encoding)
    vectors: list[Any] = [one.embedding for one in found.data]
    if encoding == "base64":
        vectors = [np.frombuffer(base64.b64decode(one), "<f4") for one in vectors]
    assert close(vectors, unmask.load(models["embed"]).embed(TEXTS))
    assert found.usage.prompt_tokens > 10
    assert [one.id for one in asked.models.list().data] == list(models)
    assert close(asked.embeddings.create(input=TEXTS[0], model="embed").data[0].embedding, vectors[0])


def test_score_and_tokenize(server: Running, models: dict[str, Path]) -> None:
    status, found = server.post("/score", {"model": "fill", "inputs": TEXTS})
    assert status == 200
    expected = unmask.load(models["fill"]).score(TEXTS)
    assert close([one["score"] for one in found], [one["score"] for one in expected])
    status, found = server.post("/tokenize", {"model": "fill", "inputs": TEXTS[1]})
    assert [TEXTS[1][begin:end] for begin, end in found["offsets"]] == ["a", *"house"]


def test_an_answer_does_not_depend_on_who_else_asks(server: Running) -> None:
    alone = server.post("/fill", {"model": "fill", "inputs": MASKED})[1]
    found: list[Any] = []

    def ask(number: int) -> None:
        words = " ".join(TEXTS[2].split()[: 1 + number % 10])
        server.post("/fill", {"model": "fill", "inputs": f"{words} [MASK]"})
        found.append(server.post("/fill", {"model": "fill", "inputs": MASKED})[1])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24
    for one in found:
        assert [answer["token"] for answer in one] == [answer["token"] for answer in alone]
        assert close([answer["score"] for answer in one], [answer["score"] for answer in alone])


REFUSED = [
    ("/fill", b"{", {}, "syntax", "the body is not JSON"),
    ("/fill", b'{"inputs": NaN}', {}, "syntax", "NaN is no JSON number"),
    ("/fill", b'{"inputs": 1e400}', {}, "syntax", "out of range"),
    ("/fill", b'{"inputs": "\xff"}', {}, "syntax", "not UTF-8"),
    ("/fill", b"[" * 100_000, {}, "syntax", "nested deeper than 64"),
    ("/fill", b"[]", {"content_type": "text/plain"}, "media_type", "application/json"),
    ("/fill", {"inputs": MASKED, "model": "nope"}, {}, "not_found", "no model 'nope'; there is classify"),
    ("/fill", {"inputs": MASKED}, {}, "invalid", "there are several models"),
    ("/fill", {"model": "fill", "inputs": "no mask"}, {}, "invalid", r"no \[MASK\]"),
    ("/fill", {"model": "fill", "inputs": MASKED, "parameters": {"topk": 3}}, {}, "invalid", "parameters.topk"),
    ("/fill", {"model": "fill", "inputs": MASKED, "parameters": {"top_k": 0}}, {}, "invalid", "parameters.top_k"),
    ("/fill", {"model": "fill", "inputs": []}, {}, "invalid", "inputs"),
    ("/fill", {"model": "fill", "inputs": ["[MASK] \ud800"]}, {}, "invalid", "valid string"),
    ("/fill", {"model": "classify", "inputs": MASKED}, {}, "invalid", "made to classify, not to fill"),
    ("/classify", {"model": "classify", "inputs": "a " * 500}, {}, "invalid", "tokens and classify reads 62"),
    ("/classify", {"model": "classify", "inputs": ["a"] * 2000}, {}, "too_large", "1,024 are allowed"),
    ("/fill", b'"' + b"a" * 3_000_000 + b'"', {}, "too_large", "larger than 2,097,152 bytes"),
    ("/v1/embeddings", {"model": "embed", "input": [1, 2]}, {}, "invalid", "input"),
    ("/v1/embeddings", {"model": "embed", "input": "a", "dimensions": 7}, {}, "invalid", "dimensions must be 48"),
    ("/models/fill/pipeline/summarization", {"inputs": "a"}, {}, "not_found", "no pipeline"),
    ("/nowhere", {"inputs": "a"}, {}, "not_found", "no POST /nowhere"),
    ("/readyz", {"inputs": "a"}, {}, "method", "no POST /readyz"),
]


@pytest.mark.parametrize(("path", "body", "headers", "kind", "words"), REFUSED)
def test_what_can_not_be_answered_is_refused_in_one_envelope(
    path: str, body: Any, headers: dict[str, str], kind: Any, words: str, server: Running
) -> None:
    status, said = server.post(path, body, **headers)
    assert status == STATUS[kind]
    error = said["error"]
    assert error["type"] == kind
    assert error["code"] == status
    assert len(error["request_id"]) == 32
    assert re.search(words, error["message"])
    assert "\n" not in error["message"]


def test_the_table_of_refusals_is_frozen() -> None:
    assert STATUS == {
        "syntax": 400,
        "unauthorized": 401,
        "not_found": 404,
        "method": 405,
        "slow": 408,
        "too_large": 413,
        "media_type": 415,
        "invalid": 422,
        "overloaded": 429,
        "gone": 499,
        "internal": 500,
        "unavailable": 503,
        "deadline": 504,
    }


def test_what_it_counts_and_tells_has_no_text(server: Running) -> None:
    assert server.post("/fill", {"model": "fill", "inputs": "secretword [MASK]"}, x_request_id="mine")[0] == 200
    status, text = server.get("/metrics")
    assert status == 200
    assert "secretword" not in text
    assert server.counted("unmask_requests_total") > 0
    assert server.counted("unmask_model_info") == 5
    info = server.get("/info")[1]
    assert info["limits"]["deadline_seconds"] == 10
    assert {one["name"]: one["task"] for one in info["models"]} == {
        name: name for name in ("classify", "tag", "answer", "embed", "fill")
    }


def test_the_description_is_true(server: Running) -> None:
    described = server.get("/openapi.json")[1]
    assert {"/fill", "/classify", "/tag", "/answer", "/embed", "/similarity", "/tokenize", "/score"} <= described[
        "paths"
    ].keys()
    for path, methods in described["paths"].items():
        if "post" in methods:
            assert set(methods["post"]["responses"]) >= {"400", "413", "415", "422", "429", "504"}, path


def test_what_the_description_promises_is_kept(server: Running) -> None:
    codes = keep(server, examples=3)
    assert codes[200] > 20
    assert codes[422] > 0


def test_a_head_that_does_not_end_is_refused(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as link:
        with suppress(ConnectionError):
            for _ in range(20):
                link.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 65536)
        with suppress(ConnectionError):
            assert link.recv(100).startswith(b"HTTP/1.1 400 ")
    assert server.get("/livez")[0] == 200


def test_too_long_is_cut_in_sight_or_read_in_pieces(models: dict[str, Path]) -> None:
    long = " ".join(TEXTS * 12)
    for how in ("truncate", "stride"):
        with Running({"embed": models["embed"]}, "--workers", "1", "--too-long", how) as running:
            status, vectors = running.post("/embed", {"inputs": [long, "a house"]})
            assert status == 200
            assert close(np.linalg.norm(vectors, axis=1), 1)
            cut = running.counted("unmask_truncated_tokens_total")
            assert (cut > 0) == (how == "truncate")
            code, logged = running.stop()
            assert code == 0
            lines = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
            assert ["truncated_tokens" in line for line in lines if line["route"] == "/embed"] == [how == "truncate"]


def test_keys_are_asked_for_where_there_are_any(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("one\ntwo\n")
    with Running({"embed": models["embed"]}, "--workers", "1", "--api-keys", str(tmp_path / "keys")) as running:
        assert running.post("/embed", {"inputs": "a"})[0] == 401
        assert running.post("/embed", {"inputs": "a"}, authorization="Bearer three")[0] == 401
        assert running.post("/embed", {"inputs": "a"}, authorization="Bearer two")[0] == 200
        assert running.get("/readyz")[0] == 200
