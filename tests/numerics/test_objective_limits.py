"""Each objective comes near its own limit on a known source, never below it; and not all of them can draw texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unmask.cli.main import main

WITHIN = 0.03
"""How far the nats of whole texts may be above the entropy of their source."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # a minute each where nothing else runs


def learned(objective: str, out: Path, *words: str) -> dict[str, Any]:
    """Return what ``unmask limit`` finds of eight symbols; it ends with 1 where a figure is below its limit."""
    command = ["limit", "--objective", objective, "--symbols", "8", "--out", str(out), "--quiet", "training.threads=1"]
    assert main([*command, *words]) == 0
    found: dict[str, Any] = json.loads((out / "limit.json").read_text())
    return found


def far(found: dict[str, Any]) -> float:
    """Return by how much the nats of whole texts are above those of their source, as a share of these."""
    return float(found["text"]["above"]["value"] / found["text"]["entropy"]["value"])


def drawn(found: dict[str, Any], way: str, figure: str = "distance") -> float:
    [value] = [one[figure]["value"] for one in found["samples"] if one["way"].startswith(way)]
    return float(value)


def test_causal_language_modelling_comes_to_the_entropy_rate_and_draws_texts_of_the_source(tmp_path: Path) -> None:
    found = learned("clm", tmp_path / "clm", "--budget", "600steps")
    assert found["mlm"]["limit"]["captured"]["value"] > 0.97
    assert 0 < far(found) < WITHIN
    assert found["text"]["is_exact"]
    assert drawn(found, "left to right") < 2 * drawn(found, "the source itself")


@pytest.mark.parametrize("objective", ["mlm", "mntp"])
def test_hidden_tokens_come_to_the_posterior_and_are_no_generator(objective: str, tmp_path: Path) -> None:
    found = learned(objective, tmp_path / objective, "--budget", "500steps")
    assert found["mlm"]["limit"]["captured"]["value"] > 0.9
    assert far(found) > WITHIN
    for way in ("unmasking, 126", "Gibbs"):
        assert drawn(found, way) > 2 * drawn(found, "the source itself")


def test_the_bound_of_diffusion_comes_to_the_entropy_and_its_texts_to_the_source(tmp_path: Path) -> None:
    slower = "optimizer.learning_rate=2e-3"  # at the rate of the others it may stay at the unigram line
    found = learned("diffusion", tmp_path / "diffusion", "--source", "hmm", "--budget", "700steps", slower)
    assert 0 < far(found) < WITHIN
    assert not found["text"]["is_exact"]
    assert drawn(found, "unmasking, 126") < 2 * drawn(found, "the source itself")
    assert drawn(found, "unmasking, all at once") > 2 * drawn(found, "unmasking, 126")
