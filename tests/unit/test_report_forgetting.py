"""The section on what a run forgot: two curves, and a sentence that claims no more than its interval."""

from __future__ import annotations

from typing import Any

import pytest

from unmask.report import RunData, charts, render_run
from unmask.report.forgetting import forgetting


def figure(value: float, half: float) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": 90, "level": 0.95, "method": "bootstrap"}


def looks(general: list[float | None]) -> list[dict[str, Any]]:
    """Return the evaluations of a run whose loss on general text goes through ``general``."""
    unigram = {"masked": 6.0}
    return [
        {"kind": "evaluation", "step": step, "tokens": 1000 * step, "masked": 5.0 - step, "unigram": unigram}
        | ({} if loss is None else {"general": {"masked": loss, "unigram": unigram}})
        for step, loss in enumerate(general)
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (figure(0.12, 0.03), "What was forgotten: +0.12 nats [+0.09, +0.15] on general text"),
        (figure(-0.12, 0.03), "Nothing was forgotten: -0.12 nats [-0.15, -0.09] on general text"),
        (figure(0.02, 0.03), "Not shown to have forgotten anything: +0.02 nats [-0.01, +0.05] on general text"),
    ],
)
def test_the_sentence_claims_what_the_interval_allows(
    more: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = {"general": {"before": figure(4.0, 0.1), "after": figure(4.0 + more["value"], 0.1), "forgotten": more}}
    seen: list[Any] = []
    drawn = charts.line_chart("x", title="", description="", x_label="", y_label="", series=[])

    def draw(*_: object, series: list[Any], **__: object) -> charts.Chart:
        seen.extend(series)
        return drawn

    monkeypatch.setattr("unmask.report.forgetting.line_chart", draw)
    page = render_run(RunData(run={}, metrics=looks([4.0, 4.1, 4.2]), evaluation=evaluation))
    assert said in page
    assert "went from 4.00 to" in page
    assert [series.label for series in seen] == ["new text", "general text"]
    assert list(seen[1].y) == pytest.approx([0.0, 0.1, 0.2])
    assert list(seen[0].y) == [0.0, -1.0, -2.0]


def test_a_run_that_looked_at_none_has_no_such_section() -> None:
    assert forgetting(looks([None, None]), {"mlm": {}}) is None
    assert forgetting([], None) is None
    on_its_way = forgetting(looks([4.0, 4.1]), None)
    assert on_its_way is not None
    assert on_its_way.title == "What it forgot"
