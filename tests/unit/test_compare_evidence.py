"""From cells to evidence: pairing, p-values, growth, arms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from unmask.comparison.arms import ARMS, FLOORS, chosen_arms
from unmask.comparison.evidence import Trial, evidence_of, tables_of
from unmask.comparison.verdict import decide
from unmask.errors import SettingError
from unmask.finetuning.cells import Cell, Cells
from unmask.stats import Figure, interval_p, paired_difference
from unmask.stats.figure import mean_of
from unmask.tasks.metrics import mean_metric

ITEMS = 300


def cells(right: float, seeds: int, chance: np.random.Generator) -> list[Cell]:
    """Return cells of arms that are right on a share of the items."""
    return [
        Cell({"accuracy": mean_metric("accuracy", chance.random(ITEMS) < right).per_item}, 1.0) for _ in range(seeds)
    ]


def trial(shares: dict[str, tuple[float, float]], seeds: int = 6, seed: int = 0) -> Trial:
    """Return a comparison of arms that are right on these shares at 50 and at 100 labels."""
    chance = np.random.Generator(np.random.Philox(seed))
    found = {
        arm: {50: cells(few, seeds, chance), 100: cells(many, seeds, chance)} for arm, (few, many) in shares.items()
    }
    return Trial(found=found, floor=FLOORS["classify"], counts=[50, 100], held_out=ITEMS, margin=0.02)


SHARES = {"mlm": (0.8, 0.9), "scratch": (0.6, 0.62), "clm": (0.7, 0.8), "tfidf": (0.5, 0.7), "majority": (0.5, 0.5)}


def test_evidence_is_of_the_most_labels_and_of_the_pairs_that_are_asked_about() -> None:
    made = trial(SHARES)
    found = evidence_of(made)
    assert (found.labels, found.seeds, found.simple) == (100, 6, ["tfidf", "scratch"])
    assert {arm: set(over) for arm, over in found.gaps.items()} == {
        "mlm": {"tfidf", "scratch", "clm"}, "clm": {"tfidf", "scratch"},
    }  # fmt: skip
    assert found.gaps["mlm"]["tfidf"].value == pytest.approx(
        np.mean(made.values("mlm", 100)) - np.mean(made.values("tfidf", 100))
    )
    assert set(found.above_blind) == {"mlm", "scratch", "clm", "tfidf"}
    assert decide(found).kind in ("use", "label")


def test_growth_is_for_one_doubling() -> None:
    made = trial(SHARES)
    once = made.growth("tfidf")
    assert once is not None
    assert once.value == pytest.approx(np.mean(made.values("tfidf", 100)) - np.mean(made.values("tfidf", 50)))
    four = Trial(
        found={arm: {25: by[50], 100: by[100]} for arm, by in made.found.items()},
        floor=made.floor, counts=[25, 100], held_out=ITEMS, margin=0.02,
    )  # fmt: skip
    twice = four.growth("tfidf")
    assert twice is not None
    assert twice.value == pytest.approx(once.value / 2)
    assert twice.high == pytest.approx(once.high / 2)
    alone = Trial(found=made.found, floor=made.floor, counts=[100], held_out=ITEMS, margin=0.02)
    assert alone.growth("tfidf") is None
    assert evidence_of(alone).growth == {}


def test_the_width_is_told_apart_by_what_makes_it() -> None:
    chance = np.random.Generator(np.random.Philox(3))
    same = chance.random(ITEMS) < 0.7
    flat = {"accuracy": mean_metric("accuracy", np.zeros(ITEMS)).per_item}
    by_items = [Cell({"accuracy": mean_metric("accuracy", same).per_item}, 1.0)] * 6  # every seed the same
    made = Trial(
        found={"mlm": {100: by_items}, "tfidf": {100: [Cell(flat, 1.0)] * 6}},
        floor=FLOORS["classify"], counts=[100], held_out=ITEMS, margin=0.02,
    )  # fmt: skip
    gap = made.gap("mlm", "tfidf", 100)
    assert gap.spread == pytest.approx(0, abs=1e-9)
    assert gap.by_items == pytest.approx((gap.high - gap.low) / 2)
    levels = [Cell({"accuracy": mean_metric("accuracy", np.full(ITEMS, 0.5 + step)).per_item}, 1.0) for step in
              (-0.1, -0.05, 0.0, 0.02, 0.05, 0.08)]  # fmt: skip  # every item the same
    by_seeds = Trial(
        found={"mlm": {100: levels}, "tfidf": {100: [Cell(flat, 1.0)] * 6}},
        floor=FLOORS["classify"], counts=[100], held_out=ITEMS, margin=0.02,
    ).gap("mlm", "tfidf", 100)  # fmt: skip
    assert by_seeds.by_items < 0.3 * (by_seeds.high - by_seeds.low) / 2


def test_the_p_value_of_an_interval_is_that_of_the_t_test_that_made_it() -> None:
    apart = np.array([0.03, 0.01, 0.05, 0.02, -0.01, 0.04])
    half = stats.t.ppf(0.975, 5) * apart.std(ddof=1) / np.sqrt(6)
    figure = Figure(float(apart.mean()), float(apart.mean() - half), float(apart.mean() + half), 6, 0.95, "")
    assert interval_p(figure, 6) == pytest.approx(stats.ttest_1samp(apart, 0).pvalue)
    touches = Figure(half, 0.0, 2 * half, 6, 0.95, "")
    assert interval_p(touches, 6) == pytest.approx(0.05)
    assert interval_p(Figure(1.96, 0.0, 3.92, 100, 0.95, ""), 1) == pytest.approx(0.05, abs=1e-4)
    assert interval_p(Figure(0.1, 0.1, 0.1, 6, 0.95, ""), 6) == 0.0
    assert interval_p(Figure(0.0, 0.0, 0.0, 6, 0.95, ""), 6) == 1.0


def test_arms_that_are_alike_are_rarely_told_apart() -> None:
    chance, told = np.random.Generator(np.random.Philox(9)), 0
    for _ in range(100):
        item = chance.random(120) * 0.6 + 0.2
        ours, theirs = (
            [mean_metric("accuracy", chance.random(120) < item + level).per_item for level in levels]
            for levels in chance.normal(0, 0.03, (2, 6))  # how far seeds differ
        )
        told += interval_p(paired_difference(ours, theirs, mean_of), 6) < 0.05
    assert told <= 10  # of 100 at 5 %: a chance of one in a hundred if all is right


def test_an_interval_ends_where_the_figure_does() -> None:
    right = [Cell({"accuracy": mean_metric("accuracy", np.arange(ITEMS) >= few).per_item}, 1.0) for few in (0, 0, 9)]
    made = Trial(found={"mlm": {9: right}}, floor=FLOORS["classify"], counts=[9], held_out=ITEMS, margin=0.02)
    assert made.quality("mlm", 9).high == 1.0
    assert 0.9 < made.quality("mlm", 9).low < made.quality("mlm", 9).value < 1.0


def test_tables_are_json_and_hold_every_seed() -> None:
    found = tables_of(trial(SHARES))
    assert found["figure"] == "accuracy"
    assert len(found["quality"]["majority"]["50"]["seeds"]) == 6
    assert set(found["differences"]) == {"scratch", "clm", "tfidf"}
    assert set(found["differences"]["clm"]) == {"50", "100"}


def test_cells_keep_figures_in_order_and_the_seconds(tmp_path: Path) -> None:
    kept, made = Cells(tmp_path), cells(0.5, 1, np.random.Generator(np.random.Philox(0)))[0]
    both = Cell({"macro_f1": made.per_item["accuracy"], **made.per_item}, 12.5)
    kept.put("one", both)
    found = kept.get("one")
    assert found is not None
    assert (found.headline, list(found.per_item), found.seconds) == ("macro_f1", ["macro_f1", "accuracy"], 12.5)


def test_arms_are_chosen_by_name() -> None:
    assert list(chosen_arms("clm")) == ["scratch", "mlm", "clm"]
    assert list(chosen_arms(",".join(ARMS))) == list(ARMS)
    arms = chosen_arms("", ["org/base-model", "runs/old/"])
    assert [(arm.title, arm.model) for name, arm in arms.items() if arm.model] == [
        ("base-model", "org/base-model"), ("old", "runs/old/"),
    ]  # fmt: skip
    with pytest.raises(SettingError, match="arms must be of scratch, .*, got 'cml'; did you mean 'mlm'"):
        chosen_arms("cml")
    with pytest.raises(SettingError, match=r"x/mlm: an arm named mlm is there already"):
        chosen_arms("", ["x/mlm"])
