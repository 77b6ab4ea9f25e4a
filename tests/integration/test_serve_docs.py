"""What the pages on serving say is true: flags, figures, refusals, manifests, and every curl."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.serving import Running, write_models

from unmask.cli.serve import serve
from unmask.serve.refusals import STATUS
from unmask.serve.service import Service
from unmask.serve.settings import ServeSettings
from unmask.serve.shadow import Beside

ROOT = Path(__file__).parents[2]
SERVE, DEPLOY = ROOT / "docs" / "serve.md", ROOT / "docs" / "deploy.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def flags() -> set[str]:
    app = typer.Typer()
    app.command()(serve)
    return {flag for one in typer.main.get_command(app).params for flag in one.opts if flag.startswith("--")}


def test_every_flag_of_the_server_that_a_page_names_is_there() -> None:
    compose, manifests = _manifests()
    arguments = (compose["services"]["unmask"]["command"], _pod(manifests)["containers"][0]["args"])
    known, count = flags(), 0
    assert {word for words in arguments for word in words if word.startswith("--")} <= known
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = re.findall(r"unmask serve[^`\n]*", text)
        if page in {SERVE, DEPLOY}:
            lines += re.findall(r"`(--[a-z-]+)[^`\n]*`", text)
        named = {flag for line in lines for flag in re.findall(r"--[a-z-]+", line)}
        assert named - known - {"--to", "--cpus"} == set(), page.name
        count += len(named)
    assert count > 10


def _manifests() -> tuple[Any, list[Any]]:
    """Return the compose file and the Kubernetes manifests of the page."""
    compose, kubernetes = blocks(DEPLOY, "yaml")
    return yaml.safe_load(compose), list(yaml.safe_load_all(kubernetes))


def _pod(manifests: list[Any]) -> Any:
    return manifests[0]["spec"]["template"]["spec"]


def test_a_pod_is_given_the_time_that_it_needs_to_end() -> None:
    _, manifests = _manifests()
    assert [one["kind"] for one in manifests] == ["Deployment", "Service", "PodDisruptionBudget"]
    pod = _pod(manifests)
    [container] = pod["containers"]
    words = container["args"]
    deadline, drain = (float(words[words.index(flag) + 1]) for flag in ("--deadline-ms", "--drain-seconds"))
    assert drain + deadline / 1000 + 5 + 5 <= pod["terminationGracePeriodSeconds"]
    readiness = container["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < drain
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert manifests[1]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["containerPort"]
    assert manifests[0]["spec"]["selector"]["matchLabels"] == manifests[1]["spec"]["selector"]


def test_the_table_of_refusals_is_the_frozen_one() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", SERVE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {kind: int(code) for code, kind in rows} == STATUS


def test_every_figure_is_named_and_no_other() -> None:
    service = Service({}, ServeSettings(workers=1))
    Beside(service, [])
    kinds = re.findall(r"^# TYPE (\w+) \w+$", service.metrics.text().decode(), re.MULTILINE)
    made = {name for name in kinds if not name.endswith("_created")}
    named = set(re.findall(r"^\| `(unmask_\w+)` \|", SERVE.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == made


@pytest.mark.slow
def test_every_curl_works(tmp_path: Path) -> None:
    commands = "".join(blocks(SERVE, "sh")).splitlines()
    assert len(commands) == 9
    with Running(write_models(tmp_path), "--workers", "1", "--engine", "torch") as server:
        for command in commands:
            words = shlex.split(command.replace("localhost:8080", f"127.0.0.1:{server.port}"))
            said = subprocess.run([*words, "-sS", "-w", "\n%{http_code}"], check=True, capture_output=True, text=True)
            body, _, code = said.stdout.rpartition("\n")
            assert code == "200", (command, body)
            json.loads(body)
