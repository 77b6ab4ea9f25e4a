"""A model directory goes to a stand-in for the hub: what arrives, who may see it, and what goes wrong in one line."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http
from tests.hub import Hub, running_hub
from tests.published import publish

from unmask.cli.main import main
from unmask.errors import HubError, SettingError
from unmask.exporting.push import check_name, push

# The hub's client sends a large file in a manner that its own HTTP library finds old.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "team/encoder"
TOKEN = "hf_a_secret_of_mine"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a model directory: small and large files, one in a folder below, one empty."""
    out = tmp_path / "out"
    (out / "1_Pooling").mkdir(parents=True)
    (out / "README.md").write_text("---\nlibrary_name: transformers\n---\n\n# A card\n")
    (out / "config.json").write_text("{}")
    (out / "1_Pooling" / "config.json").write_text('{"a": "\u00e9"}')
    (out / "model.safetensors").write_bytes(os.urandom(300_000))
    (out / "model_quantized.onnx").write_bytes(os.urandom(70_000))
    (out / "empty.txt").write_bytes(b"")
    return out


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Hub]:
    """Return a running stand-in that the client takes for the hub, from a user who is logged in."""
    with running_hub() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(f"{_http.__name__}.time.sleep", lambda _: None)  # between retries
        logger = logging.getLogger("huggingface_hub")
        logger.addHandler(caplog.handler)
        yield running
        logger.removeHandler(caplog.handler)
        _http.close_session()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def send(folder: Path, *, private: bool = True) -> tuple[str, list[tuple[Any, ...]]]:
    told: list[tuple[Any, ...]] = []
    return push(folder, NAME, private=private, progress=lambda *line: told.append(line)), told


def test_every_file_arrives_as_it_is(hub: Hub, folder: Path) -> None:
    address, told = send(folder)
    assert address == f"{hub.address}/{NAME}"
    (commit,) = hub.commits
    assert {name: data for name, (_, data) in commit.items()} == contents(folder)
    large = {name for name, (kind, _) in commit.items() if kind == "lfsFile"}
    assert large == {"model.safetensors", "model_quantized.onnx"}
    assert told[0][:3] == ("push", 0, 6)
    assert told[-1] == ("push", 6, 6, address)


def test_it_is_private_and_the_token_goes_to_the_hub_alone(
    hub: Hub, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, told = send(folder)
    assert hub.private == {NAME: True}
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert all(agent.startswith("unmask/") for agent in hub.agents)
    assert TOKEN not in str(told)
    assert capfd.readouterr() == ("", "")


def test_public_is_said_and_done(hub: Hub, folder: Path) -> None:
    send(folder, private=False)
    assert hub.private == {NAME: False}


def test_a_second_push_goes_to_the_same_model(hub: Hub, folder: Path) -> None:
    send(folder)
    (folder / "config.json").write_text('{"a": 1}')
    send(folder)
    assert hub.commits[-1]["config.json"][1] == b'{"a": 1}'


def test_nothing_private_is_sent_to_a_public_model(hub: Hub, folder: Path) -> None:
    hub.private[NAME] = False
    with pytest.raises(HubError, match="is there already, and is public; say --public"):
        send(folder)
    assert hub.commits == []
    assert hub.stored == {}
    send(folder, private=False)
    assert len(hub.commits) == 1


WRONG = {
    "not logged in": ({"/api": 401}, "does not know you: log in with hf auth login"),
    "no right": ({"/api": 403}, "does not let you write there"),
    "no right to the files": ({f"/api/models/{NAME}/preupload": 403}, "does not let you write there"),
    "no such place": ({"/api/repos": 404}, "knows no such place"),
    "changed meanwhile": ({f"/api/models/{NAME}/commit": 409}, "at the same time; push again"),
    "too large": ({"/store": 413}, "no files of this size"),
    "too many": ({"/api/repos": 429}, "too many requests"),
    "broken": ({f"/api/models/{NAME}/commit": 500}, r"failed by itself \(500\); push again later"),
    "broken store": ({"/store": 503}, r"failed by itself \(503\)"),
    "hangs up on a large file": ({"/store": 0}, "can not be reached"),
    "hangs up at the end": ({f"/api/models/{NAME}/commit": 0}, "can not be reached"),
    "refuses the card": ({"/api/validate-yaml": 400}, r"says no \(400: \.\.\. is no licence\)"),
    "is no hub": ({f"/api/models/{NAME}/preupload": 200}, "or is none"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_wrong_is_said_in_a_line(
    name: str, hub: Hub, folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    hub.failing, words = WRONG[name]
    hub.says = f"{TOKEN} is\nno licence" if "card" in name else ""
    before = contents(folder)
    with pytest.raises(HubError, match=words) as caught:
        send(folder)
    said = str(caught.value)
    assert said.startswith(f"{NAME}: was not pushed: ")
    assert said.endswith(f"what was exported stays: hf upload {NAME} {folder} --private")
    assert "\n" not in said
    assert TOKEN not in said
    assert hub.commits == []
    assert contents(folder) == before
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_hub_without_the_newer_store_is_said(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with pytest.raises(HubError, match=r"xet-write-token.*HF_HUB_DISABLE_XET=1"):
        send(folder)
    assert hub.commits == []
    assert capfd.readouterr() == ("", "")


def test_no_network_is_said(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="can not be reached"):
        send(folder)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    _http.close_session()
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        send(folder)
    assert hub.asked == []


@pytest.mark.parametrize(
    "name", ["encoder", "a/b/c", "team/", "/encoder", "team/my model", "te--am/x", "../x", "a/b.git", "t/" + "x" * 97]
)
def test_a_name_that_is_none_is_refused_before_anything_is_sent(name: str, hub: Hub, folder: Path) -> None:
    with pytest.raises(SettingError, match=r"--push must be ORG/NAME"):
        push(folder, name, private=True, progress=lambda *_: None)
    assert hub.asked == []
    check_name(NAME)


def test_the_command_exports_and_pushes(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "base").mkdir()
    publish("bert", tmp_path / "base")
    out = tmp_path / "out"
    words = ["export", str(tmp_path / "base"), "--out", str(out), "--push", NAME, "--quiet"]
    hub.failing = {"/store": 413}
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"{NAME}: was not pushed: the hub takes no files of this size" in said
    assert said.count("\n") == 1
    assert contents(out).keys() >= {"README.md", "config.json", "model.safetensors", "unmask.json"}

    hub.failing = {}
    assert main([*words[:3], str(tmp_path / "again"), *words[4:]]) == 0
    (commit,) = hub.commits
    assert {name: data for name, (_, data) in commit.items()} == contents(tmp_path / "again")
    assert commit["README.md"][0] == "file"
    assert commit["model.safetensors"][0] == "lfsFile"
    assert NAME.encode() in commit["README.md"][1]
    assert hub.private == {NAME: True}


def test_the_environment_says_where_the_hub_is(folder: Path) -> None:
    """In a process of its own: the client reads where the hub is when it is imported."""
    words = f"from pathlib import Path; from unmask.exporting.push import push; push(Path({str(folder)!r}), {NAME!r}, "
    with running_hub() as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
        environment.pop("HF_HUB_OFFLINE")
        done = subprocess.run(
            [sys.executable, "-c", f"{words}private=True, progress=lambda *_: None)"],
            env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert {name: data for name, (_, data) in hub.commits[0].items()} == contents(folder)
