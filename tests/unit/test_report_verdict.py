"""The page of a comparison: what it says, and that nothing in it can break or be broken into."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from tests.unit.test_compare_evidence import SHARES, trial

from unmask.cli.figures import print_comparison
from unmask.cli.terminal import Terminal
from unmask.comparison.arms import ARMS, FLOORS
from unmask.comparison.evidence import evidence_of, tables_of
from unmask.comparison.verdict import decide
from unmask.report.verdict_page import render_verdict
from unmask.report.verdict_words import Voice, in_words

RUN = {"kind": "compare", "status": "finished", "work": {"corpus": "notes", "budget": "30m"}}


def comparison(*, title: str = "MLM pre-training") -> dict[str, Any]:
    """Return what ``unmask compare`` writes, of made figures."""
    made = trial(SHARES)
    evidence, floor = evidence_of(made), FLOORS["classify"]
    decision = decide(evidence)
    arms = {floor.name: floor.arm, **{name: ARMS[name] for name in ("mlm", "scratch", "clm")}}
    names = {name: arm.title for name, arm in arms.items()} | {"mlm": title}
    words = in_words(decision, Voice(evidence, "accuracy", names))
    serving = {"parameters": 4_000_000, "milliseconds": 2.5, "tokens": 4000, "tokens_per_second": 12_345.0}
    spent = {"seconds": 1800.0, "tokens": 9_000_000, "flops": 1.5e14, "energy_wh": 10.0}
    return {
        "task": "classify",
        **tables_of(made),
        "verdict": {**asdict(decision), "title": words[0], "sentences": words[1]},
        "evidence": asdict(evidence),
        "arms": {
            name: {
                "title": names[name], "short": arm.short, "can_not": arm.can_not, "is_named": False,
                "pretraining": spent if arm.pretraining else None,
                "finetuning": {"seconds": 30.0, "energy_wh": 0.2, "labels": 100},
                "serving": None if name == "tfidf" else serving,
            }
            for name, arm in arms.items()
        },
        "power": "10 W a thread",
        "held_out_is": "test",
    }  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """Return the page of what was written and read again."""
    evaluation = json.loads(json.dumps({"comparison": found}, allow_nan=False))
    return render_verdict(RUN, {"pretrain": {"model": {"preset": "mini"}}}, evaluation)


def test_the_verdict_is_the_title_and_every_arm_has_its_figures_and_costs() -> None:
    found = comparison()
    html = page(found)
    assert f"<h1>{found['verdict']['title']}</h1>" in html
    for sentence in found["verdict"]["sentences"]:
        assert sentence in html
    for arm in found["arms"].values():
        assert arm["can_not"] in html
    assert "12,345" in html
    assert "1.5e14" in html
    assert "10 W a thread" in html
    assert "pretrain.model.preset" in html
    assert "nan" not in html.lower().replace("finance", "")


def test_names_that_users_give_are_text() -> None:
    html = page(comparison(title="<script>alert(1)</script>"))
    assert "<script>" not in html


@pytest.mark.parametrize("missing", ["verdict", "arms", "quality", "differences", "evidence", "counts", "margin"])
def test_a_page_of_what_is_there_is_made_where_something_is_missing(missing: str) -> None:
    found = comparison()
    del found[missing]
    assert "<h1>" in page(found)


def test_the_terminal_says_the_same_within_its_width(capsys: pytest.CaptureFixture[str]) -> None:
    found = comparison()
    print_comparison(Terminal(quiet=True), found)
    said = capsys.readouterr().out
    assert found["verdict"]["title"] in said
    assert "12.3k tok/s" in said
