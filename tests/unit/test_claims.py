"""What was registered of claims: every arm is made by a recipe, and every interval has one outcome."""

from __future__ import annotations

import pytest
from benchmarks.claims import CLAIMS, RECIPE, RECIPES, Claim, outcome

from unmask.cli.planning import PretrainSettings
from unmask.settings import read_settings
from unmask.stats import Figure


def claim(way: str) -> Claim:
    return Claim(says="", source="", ours="base", theirs="span", way=way, margin=0.02)  # type: ignore[arg-type]


@pytest.mark.parametrize(("way", "low", "high", "found"), [
    ("above", 0.021, 0.1, "as claimed"), ("above", 0.02, 0.1, "open"), ("above", -0.1, 0.019, "not so here"),
    ("above", 0.005, 0.03, "open"),
    ("not_below", -0.019, 0.3, "as claimed"), ("not_below", -0.02, 0.3, "open"),
    ("not_below", -0.3, -0.021, "not so here"),
    ("same", -0.019, 0.019, "as claimed"), ("same", -0.019, 0.021, "open"), ("same", 0.021, 0.1, "not so here"),
    ("same", -0.1, -0.021, "not so here"),
])  # fmt: skip
def test_the_interval_says_what_came_of_a_claim(way: str, low: float, high: float, found: str) -> None:
    assert outcome(claim(way), Figure((low + high) / 2, low, high, 10, 0.95, "")) == found


def test_claims_are_about_arms_that_are_made() -> None:
    arms = {*RECIPES, "scratch", "clm-both"}
    assert len(CLAIMS) >= 6
    for one in CLAIMS:
        assert {one.ours, one.theirs} <= arms
        assert one.margin > 0
    for changes in RECIPES.values():
        read_settings(PretrainSettings, overrides={**RECIPE, **changes})
