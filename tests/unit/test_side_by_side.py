"""Runs beside each other: what may be compared, what differs, and the page of it."""

from __future__ import annotations

from typing import Any

import pytest

from unmask.errors import RunError
from unmask.report.compare_page import MOST_RUNS, render_comparison
from unmask.report.side_by_side import FinishedRun, SideBySide


def figure(value: float, width: float = 0.1) -> dict[str, Any]:
    return {"value": value, "low": value - width, "high": value + width, "level": 0.95}


def made_run(name: str, masked: float, fingerprint: str = "one", **settings: Any) -> FinishedRun:
    line = {"kind": "evaluation", "tokens": 1000, "seconds": 60.0, "masked": 2 * masked}
    return FinishedRun(
        name=name,
        run={"max_steps": 10, "step": 10, "tokens": 2000, "seconds": 90.0, "corpus": {"fingerprint": "c"}},
        settings={"model": {"preset": "tiny"}, **settings},
        environment={"threads": 2, "python": name},
        metrics=[line, {**line, "tokens": 2000, "seconds": 90.0, "masked": masked}, {"kind": "train", "tokens": 1}],
        evaluation={
            "frozen": {"fingerprint": fingerprint},
            "mlm": {
                "cross_entropy": {"masked": figure(masked)},
                "unigram": {"masked": figure(6.5)},
                "gap": figure(6.5 - masked),
                "accuracy": {"masked": {"1": figure(0.3, 0.01)}},
                "bits_per_character": figure(masked / 2),
            },
        },
    )


def test_one_frozen_set_is_compared_in_nats() -> None:
    compared = SideBySide([made_run("a", 4.0), made_run("b", 5.0)])
    standing = compared.standing(compared.runs[0])
    assert (compared.fingerprint, compared.unit) == ("one", "nats per token")
    assert standing.masked is not None
    assert standing.masked.value == 4.0
    assert standing.gap is not None
    assert standing.accuracy is not None
    assert compared.curve(compared.runs[0], "seconds") == ([60.0, 90.0], [8.0, 4.0])


def test_several_frozen_sets_are_compared_in_bits_per_character_and_nothing_else() -> None:
    compared = SideBySide([made_run("a", 4.0), made_run("b", 5.0, fingerprint="two")])
    standing = compared.standing(compared.runs[0])
    assert (compared.fingerprint, compared.unit) == (None, "bits per character")
    assert "2 different frozen sets" in compared.basis
    assert standing.masked is not None
    assert standing.masked.value == 2.0
    assert standing.gap is None
    assert standing.accuracy is None
    assert compared.curve(compared.runs[0], "tokens") == ([1000.0, 2000.0], [4.0, 2.0])


@pytest.mark.parametrize(
    ("runs", "part"),
    [
        ([made_run("a", 4.0), made_run("b", 5.0)], "a is lowest at [MASK] with 4.00 [3.90, 4.10] nats per token; its"),
        ([made_run("a", 4.0), made_run("b", 5.0)], "lies below all others"),
        ([made_run("a", 4.1), made_run("b", 4.0)], "overlaps with that of a, so they are not told apart"),
        ([made_run("a", 4.0), made_run("b", 5.0, "two")], "only if all were measured on text of the same kind"),
    ],
)
def test_a_winner_is_named_only_as_far_as_the_intervals_carry(runs: list[FinishedRun], part: str) -> None:
    assert part in SideBySide(runs).verdict()


def test_what_differs_is_found_wherever_it_stands() -> None:
    runs = [made_run("a", 4.0, masking={"unit": "word"}), made_run("b", 5.0, optimizer={"clip": 1.0})]
    assert SideBySide(runs).differences() == {"masking.unit": ["word", None], "optimizer.clip": [None, 1.0]}


def test_the_page_keeps_to_one_frozen_set_too() -> None:
    one = render_comparison([made_run("a", 4.0), made_run("<b>", 5.0)])
    assert "4.000 [3.900, 4.100]" in one
    assert "unigram 6.50" in one
    assert "&lt;b&gt;" in one
    assert one.count('class="drawing"') == 4  # two charts, each wide and narrow
    several = render_comparison([made_run("a", 4.0), made_run("b", 5.0, "two")])
    assert "2.000 [1.900, 2.100]" in several
    assert "4.000" not in several
    assert "unigram" not in several


def test_every_curve_of_a_full_page_has_a_colour_of_its_own() -> None:
    page = render_comparison([made_run(f"run-{place}", 4 + place / 10) for place in range(MOST_RUNS)])
    assert all(f"stroke: var(--series-{place})" in page for place in range(1, MOST_RUNS + 1))
    with pytest.raises(RunError, match=f"{MOST_RUNS} runs at most, got {MOST_RUNS + 1}"):
        render_comparison([made_run(f"run-{place}", 4.0) for place in range(MOST_RUNS + 1)])
