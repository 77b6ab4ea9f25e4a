"""The kit of reports: figures as text, and charts that are text, follow the scheme and draw what they were given."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.errors import MissingExtra
from unmask.report.charts import Bar, BarRow, Chart, Level, Series, bar_chart, line_chart, spread
from unmask.report.html import Figure, at, duration, moment, number, percent, read_figure, short_count


def lines(name: str = "lines", label: str = "masked", y: tuple[float | None, ...] = (9.0, 5.0, 4.0)) -> Chart:
    series = [Series(label=label, x=range(len(y)), y=y)]
    return line_chart(
        name,
        title="T",
        description="D",
        x_label="tokens",
        y_label="nats",
        series=series,
        levels=[Level("unigram", 6.0)],
    )


def paths(svg: str, colour: str) -> list[str]:
    return re.findall(rf'<path d="([^"]*)"[^>]*style="[^"]*var\(--{colour}\)', svg)


def test_figures_read_as_a_person_writes_them() -> None:
    figure = read_figure({"value": 4.018, "low": 3.984, "high": 4.057, "n": 9, "level": 0.95, "method": "bootstrap"})
    assert figure is not None
    assert figure.text() == "4.02 [3.98, 4.06]"
    assert Figure(0.41, 0.398, 0.422).percent() == "41.0\u202f% [39.8, 42.2]"
    assert Figure(4.0, low=3.9).text() == "4.00"
    assert read_figure(4) == Figure(4.0)
    assert read_figure({"value": float("nan")}) is None
    assert read_figure("4") is None


def test_numbers_that_are_none_are_not_taken_for_numbers() -> None:
    odd: list[object] = [True, None, "1", float("inf"), []]
    assert [number(value) for value in odd] == [None] * 5
    assert at({"a": {"b": 1}}, "a", "b") == 1
    assert at({"a": [1]}, "a", "b") is None


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (duration(41.6), "42 s"),
        (duration(59.9), "1 min 0 s"),
        (duration(303), "5 min 3 s"),
        (duration(7530), "2 h 5 min"),
        (" ".join(short_count(2_412_345)), "2.41 million"),
        (" ".join(short_count(999_700)), "1 million"),
        (short_count(81_920)[0], "81,920"),
        (percent(0.0021), "0.2\u202f%"),
        (moment("2025-11-24T05:55:00+00:00"), "24 November 2025, 05:55 UTC"),
        (moment("yesterday"), "yesterday"),
    ],
)
def test_amounts(made: str, wanted: str) -> None:
    assert made == wanted


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_a_chart_is_text_in_the_colours_of_the_page(width: str) -> None:
    svg = str(getattr(lines(label="costs $5 & <b>"), width))
    assert ">costs $5 &amp; &lt;b&gt; 4.00</text>" in svg
    assert ">unigram 6.00</text>" in svg
    assert ">tokens</text>" in svg
    assert "var(--series-1)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg.replace('="#', "").replace("url(#", ""))
    assert "<style" not in svg


def test_charts_are_deterministic_and_share_no_id() -> None:
    first, again, other = lines("one"), lines("one"), lines("two")
    assert first == again
    ids = [name for svg in (first.wide, first.narrow, other.wide) for name in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(ids) == len(set(ids)) > 6


def test_a_value_that_is_missing_is_a_gap_in_the_line() -> None:
    whole, broken = (paths(str(lines(y=y).wide), "series-1")[0] for y in ((9, 5, 4, 3, 2), (9, 5, None, 3, 2)))
    assert (whole.count("M"), broken.count("M")) == (1, 2)


def test_bars_are_as_long_as_their_values() -> None:
    rows = [BarRow("a", [Bar(value=3.0, text="3", low=2.5, high=3.5)]), BarRow("b", [Bar(value=1.5, text="1.5")])]
    svg = str(bar_chart("bars", title="T", description="D", x_label="nats", rows=rows).wide)
    ends = [[float(x) for x in re.findall(r"[ML] ([\d.]+) ", path)] for path in paths(svg, "series-1")]
    long, short = (max(end) - min(end) for end in ends)
    assert long == pytest.approx(2 * short)
    interval = [float(x) for x in re.findall(r"[ML] ([\d.]+) ", paths(svg, "ink")[0])]
    assert max(interval) - min(interval) == pytest.approx(long / 3)


@pytest.mark.parametrize("value", [1.5, 4.5])
def test_a_level_runs_down_through_bars_at_its_value(value: float) -> None:
    rows = [BarRow("a", [Bar(value=3.0, text="3")])]
    level = Level("the recipe", value)
    svg = str(bar_chart("bars", title="T", description="D", x_label="percent", rows=rows, level=level).narrow)
    bar = [float(x) for x in re.findall(r"[ML] ([\d.]+) ", paths(svg, "series-1")[0])]
    line = {float(x) for x in re.findall(r"[ML] ([\d.]+) ", paths(svg, "ink")[0])}
    assert [x - min(bar) for x in line] == pytest.approx([(max(bar) - min(bar)) * value / 3])
    assert ">the recipe</text>" in svg


@given(st.lists(st.floats(-1e3, 1e3), max_size=8), st.floats(0, 50))
def test_labels_are_spread_as_little_as_possible(wanted: list[float], gap: float) -> None:
    places = spread(wanted, gap)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    assert all(places[b] - places[a] >= gap - 1e-6 for a, b in itertools.pairwise(order))
    assert sum(places) == pytest.approx(sum(wanted), abs=1e-6)  # least squares moves no pool's mean
    if all(wanted[b] - wanted[a] >= gap for a, b in itertools.pairwise(order)):
        assert places == pytest.approx(wanted, abs=1e-9)


def test_two_labels_at_one_place_part_to_both_sides() -> None:
    assert spread([10.0, 10.0, 100.0], 16.0) == pytest.approx([2.0, 18.0, 100.0])


def test_without_matplotlib_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked: Any = None
    monkeypatch.setitem(sys.modules, "matplotlib", blocked)
    with pytest.raises(MissingExtra, match=r"matplotlib.*unmask\[train\]"):
        lines()


def test_importing_reports_loads_neither_torch_nor_matplotlib() -> None:
    code = "import sys, unmask.report; print(sorted({'torch', 'matplotlib', 'numpy'} & set(sys.modules)))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"
