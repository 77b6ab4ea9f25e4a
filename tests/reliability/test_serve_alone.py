"""What `pip install unmask[serve]` brings is enough to serve a graph: in an environment of its own, without torch."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.published import publish
from tests.serving import Running

import unmask
from unmask.cli.export import export

pytestmark = pytest.mark.slow  # installs packages

ROOT = Path(__file__).parents[2]
TEXT = "the small [MASK] fox sees a tree"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the python of an environment that has unmask[serve] and nothing else."""
    folder = tmp_path_factory.mktemp("alone") / "venv"
    venv.create(folder, with_pip=True)
    words = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([folder / "bin" / "python", *words, f"{ROOT}[serve]"], check=True)
    return folder / "bin" / "python"


def test_a_graph_is_served_without_torch(python: Path, tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    publish("modernbert", tmp_path / "published")
    export(tmp_path / "published", tmp_path / "m", ["onnx"], progress=False)
    there = "import sys, importlib.util as found; sys.exit(found.find_spec('torch') is not None)"
    subprocess.run([python, "-c", there], check=True)
    loaded: Any = unmask.load(tmp_path / "m", "onnx")
    [expected] = loaded.fill([TEXT])
    with Running({"m": tmp_path / "m"}, "--workers", "1", python=python) as running:
        status, found = running.post("/fill", {"inputs": TEXT})
        assert (status, [one["token"] for one in found]) == (200, [one["token"] for one in expected])
        assert np.allclose([one["score"] for one in found], [one["score"] for one in expected], rtol=1e-4)
        assert {running.get(path)[0] for path in ("/", "/docs", "/info", "/metrics", "/openapi.json")} == {200}
