"""``unmask watch`` from signals in a store to an alarm, as cron and people meet it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.made_traffic import DAY, Traffic, stored
from tests.published import fine_tuned

from unmask import files
from unmask.cli.export import model_manifest
from unmask.cli.main import main
from unmask.exporting.hugging_face import write_hugging_face
from unmask.inference.model_directory import NAME
from unmask.watch.baseline import read_baseline

TRAFFIC = Traffic(rows=80, weekend=0.5, vectors=4)
DAYS, LATER = 28, 3


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store of four weeks of traffic and three more days, which ended yesterday."""
    chance = np.random.default_rng(0)
    window = TRAFFIC.days(chance, DAYS + LATER, start=_first_day())
    stored(tmp_path / "signals", window)
    return tmp_path / "signals"


def _first_day() -> float:
    return float(np.floor(time.time() / DAY) - DAYS - LATER) * DAY


def end_of_reference() -> str:
    return time.strftime("%Y-%m-%dT%H:%M", time.gmtime(_first_day() + DAYS * DAY))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any], str]:
    code = main(["watch", *map(str, words), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else {}, said.err


@pytest.fixture
def baseline(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    out = tmp_path / "baseline.safetensors"
    code, found, _ = run(
        capsys, "baseline", store, "alarms.least_effect=0.1", "--until", end_of_reference(), "--out", out
    )
    assert code == 0
    assert found["windows"] == DAYS
    assert found["rhythm"] == "weekday"
    assert "confidence" in found["signals"]
    return out


def add_strange_day(store: Path) -> None:
    """Write over the last day of the store one of which half the requests are of another kind."""
    chance = np.random.default_rng(5)
    strange = replace(TRAFFIC, rows=3000, strange=0.9).days(chance, 1, DAYS + LATER - 1, _first_day())
    stored(store, strange)


class Heard(HTTPServer):
    """A webhook that remembers what it is told."""

    messages: list[dict[str, Any]]
    takes = True


class Hook(BaseHTTPRequestHandler):
    server: Heard

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.takes:
            self.server.messages.append(json.loads(body))
        self.send_response(200 if self.server.takes else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Heard]:
    with Heard(("127.0.0.1", 0), Hook) as server:
        server.messages = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_traffic_as_before_is_no_alarm(store: Path, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, said = run(capsys, "check", store, "--baseline", baseline, "--since", end_of_reference())
    assert code == 0
    assert found["alarm"] is None
    assert "3 windows judged" in said
    assert found["window"]["rows"] == 80
    assert [one["name"] for one in found["window"]["signals"]][:2] == ["prediction", "confidence"]
    code, _, said = run(capsys, "check", store, "--baseline", baseline)
    assert code == 0
    assert "No window has ended" in said  # looking again judges nothing again


def test_a_change_is_an_alarm_that_everybody_hears_of(
    store: Path, baseline: Path, tmp_path: Path, hook: Heard, capsys: pytest.CaptureFixture[str]
) -> None:
    add_strange_day(store)
    url, prom = f"http://127.0.0.1:{hook.server_port}/alarm", tmp_path / "watch.prom"
    asked = ("check", store, "--baseline", baseline, "--webhook", url, "--gauges", prom)
    code, found, said = run(capsys, *asked)
    assert code == 1
    assert "confidence" in found["alarm"]["signals"]
    assert "alarm since" in said
    assert found["window"]["told_apart"]["value"] > 0.7
    assert len(found["window"]["least_alike"]) == 20
    assert [one["what"] for one in hook.messages] == ["alarm"]
    assert hook.messages[0]["model"] == "tickets"
    gauges = {family.name: family for family in text_string_to_metric_families(prom.read_text())}
    assert gauges["unmask_watch_alarm"].samples[0].value == 1
    changed = {one.labels["signal"]: one.value for one in gauges["unmask_watch_changed_ratio"].samples}
    assert changed["prediction"] > 0.3
    code, _, _ = run(capsys, *asked)
    assert code == 1  # it is still on
    assert len(hook.messages) == 1  # and told once


def test_a_message_that_nobody_took_is_sent_at_the_next_check(
    store: Path, baseline: Path, hook: Heard, capsys: pytest.CaptureFixture[str]
) -> None:
    add_strange_day(store)
    hook.takes = False
    asked = ("check", store, "--baseline", baseline, "--webhook", f"http://127.0.0.1:{hook.server_port}/")
    code, _, said = run(capsys, *asked)
    assert code == 1
    assert "took no message" in said
    hook.takes = True
    run(capsys, *asked)
    assert [one["what"] for one in hook.messages] == ["alarm"]


def test_anytime_gathers_evidence(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "anytime.safetensors"
    assert run(capsys, "baseline", store, "alarms.mode=anytime", "--until", end_of_reference(), "--out", out)[0] == 0
    code, found, _ = run(capsys, "check", store, "--baseline", out, "--since", end_of_reference())
    assert code == 0
    assert 0 < found["evidence"] < 20


def test_a_file_is_held_against_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = np.random.default_rng(0)
    for name, strange, rows in (("before", 0.0, 600), ("same", 0.0, 200), ("other", 0.5, 200)):
        window = Traffic(rows=rows, strange=strange).days(chance, 1, start=_first_day())
        stored(tmp_path / name, replace(window, time=np.full(rows, _first_day())))
    out = tmp_path / "b.safetensors"
    code, found, said = run(capsys, "baseline", tmp_path / "before", "--out", out)
    assert code == 0
    assert found["rhythm"] is None
    assert "Rows are compared" in said
    assert run(capsys, "check", tmp_path / "same", "--baseline", out, "--whole")[0] == 0
    code, found, _ = run(capsys, "check", tmp_path / "other", "--baseline", out, "--whole")
    assert code == 1
    assert "prediction" in found["alarm"]["signals"]
    assert not (tmp_path / "b.checks.json").exists()


def test_the_self_test_and_the_report(
    store: Path, baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, _ = run(capsys, "selftest", store, "--baseline", baseline)
    assert code == 0
    assert found["windows"] == DAYS
    assert {one["name"] for one in found["shifts"]} >= {"more of one topic", "texts that are too long"}
    add_strange_day(store)
    run(capsys, "check", store, "--baseline", baseline)
    out = tmp_path / "watch.html"
    code, found, _ = run(capsys, "report", "--baseline", baseline, "--out", out)
    assert code == 0
    page = out.read_text()
    for words in (
        "Changed: ",
        "Window by window",
        "Alarms so far",
        "Tried on the reference itself",
        "more of one topic",
    ):
        assert words in page


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    found, out = fine_tuned("modernbert", "classify", folder), folder / "out"
    out.mkdir()
    write_hugging_face(found, out)
    files.write_json(out / NAME, model_manifest(found, out, {}).plain())
    return out


def test_labels_test_estimates_and_feed_them(
    store: Path, baseline: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = json.loads((classifier / NAME).read_text())["task"]["labels"]
    for number in range(2):
        rows = [{"text": f"the fox sees tree {number} {place}", "label": names[place % 2]} for place in range(120)]
        file = tmp_path / f"week{number}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        code, found, _ = run(capsys, "labels", file, "--model", classifier, "--baseline", baseline)
        assert code == 0
        assert found["texts"] == 120
        assert (found["back_test"] is None) == (number == 0)
    _, found, _ = run(capsys, "check", store, "--baseline", baseline)
    quality = found["window"]["quality"]
    assert quality["labelled"] == 240
    assert (quality["refused"] is None) == (quality["estimates"] is not None)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("baseline", "{store}", "--until", "2001-01-01", "--out", "{new}"), "a baseline needs 100"),
        (("baseline", "{store}", "--since", "soon", "--out", "{new}"), "--since must be a time"),
        (("baseline", "{store}", "--out", "{new}.json"), "--out must end in .safetensors"),
        (("baseline", "{store}", "--model", "ticket", "--out", "{new}"), "did you mean 'tickets'?"),
        (("baseline", "{store}", "alarms.mode=always", "--out", "{new}"), "alarms.mode must be one of"),
        (("check", "{store}", "--baseline", "{new}"), "make a baseline with unmask watch baseline"),
        (("check", "{store}", "--baseline", "{baseline}", "--whole"), "--whole is for a baseline without time"),
        (("check", "{store}", "--baseline", "{baseline}", "--webhook", "file:///x"), "--webhook must be a URL"),
        (("selftest", "{store}", "--baseline", "{baseline}", "--texts", "x.txt"), "--texts needs --model"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    words: tuple[str, ...],
    complaint: str,
    store: Path,
    baseline: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = [one.format(store=store, baseline=baseline, new=tmp_path / "new.safetensors") for one in words]
    code, _, said = run(capsys, *named)
    assert code == 2
    assert complaint in said
    assert said.count("unmask:") == 1


def test_a_damaged_baseline_is_noticed(store: Path, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = baseline.read_bytes()
    baseline.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    code, _, said = run(capsys, "check", store, "--baseline", baseline)
    assert code == 2
    assert "damaged" in said
    baseline.write_bytes(whole[:100])
    assert run(capsys, "check", store, "--baseline", baseline)[0] == 2


def test_a_baseline_holds_no_key_of_a_text(baseline: Path) -> None:
    assert read_baseline(baseline).rows.key is None
    assert b'"key"' not in baseline.read_bytes()
