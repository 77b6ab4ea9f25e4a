"""The section by source: there where a run has several, whole where half of the data is missing."""

from __future__ import annotations

from typing import Any

from unmask.report.html import Prose, Table
from unmask.report.sources import by_source

FIGURE = {"value": 3.0, "low": 2.5, "high": 3.5, "n": 9, "level": 0.95, "method": "bootstrap"}
METRICS: list[dict[str, Any]] = [
    {"kind": "train", "sources": {"notes": {"masked": 9.0, "tokens": 10}, "code": {"masked": None, "tokens": 0}}},
    {"kind": "train", "sources": {"notes": {"masked": 4.25, "tokens": 3000}, "code": {"masked": None, "tokens": 1000}}},
    {"kind": "evaluation", "masked": 4.0},
]
EVALUATION = {
    "mlm": {
        "by_source": {
            "notes": {"cross_entropy": FIGURE, "unigram": FIGURE, "documents": 40},
            "code": {"cross_entropy": None, "unigram": None, "documents": 0},
        }
    }
}
CORPUS = {"sources": [{"name": "notes", "weight": 0.75}, {"name": "code", "weight": 0.25}]}


def rows(metrics: list[dict[str, Any]], evaluation: object, corpus: object) -> list[tuple[str, ...]]:
    section = by_source(metrics, evaluation, corpus)  # type: ignore[arg-type]
    assert section is not None
    prose, table = section.blocks
    assert isinstance(prose, Prose)
    assert isinstance(table, Table)
    assert {len(row) for row in table.rows} == {len(table.columns)}
    return [tuple(row) for row in table.rows]


def test_the_last_line_and_the_final_evaluation_are_told() -> None:
    assert rows(METRICS, EVALUATION, CORPUS) == [
        ("notes", "0.75", "3,000", "75.0\u202f%", "4.25", "3.00 [2.50, 3.50]", "3.00 [2.50, 3.50]", "40"),
        ("code", "0.25", "1,000", "25.0\u202f%", "\u2013", "\u2013", "\u2013", "0"),
    ]


def test_what_is_missing_is_a_dash() -> None:
    assert rows(METRICS, None, None)[0] == ("notes", "natural", "3,000", "75.0\u202f%", "4.25", *["\u2013"] * 3)
    assert rows([], EVALUATION, CORPUS)[0][:5] == ("notes", "0.75", "\u2013", "\u2013", "\u2013")


def test_one_source_needs_no_section() -> None:
    assert by_source([{"kind": "train", "loss": 1.0}], {"mlm": {}}, {"sources": [{"name": "notes"}]}) is None
    assert by_source([{"sources": None}], {"mlm": {"by_source": 3}}, None) is None
