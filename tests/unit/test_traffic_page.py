"""The page of a server's traffic: every signal that was measured, trouble in sight, and nothing of a text."""

from __future__ import annotations

import re

import numpy as np
from tests.made_text import sentences
from tests.watching import doing, filling

from unmask.report.traffic_page import NAMES, render_traffic
from unmask.watch.capture import capture
from unmask.watch.looking import glance
from unmask.watch.window import CLASSES, NUMBERS

FIGURES = {
    "captured": 1234,
    "dropped_unread": 5,
    "dropped_unwritten": 6,
    "sample_measured": 12,
    "sample_dropped": 3,
    "last_write": 1_900_000_000.0,
}


def test_the_page_shows_what_was_measured() -> None:
    window = capture(doing("classify", threshold=0.6), sentences(30), base=filling())
    window.numbers["latency_ms"][:] = 12.5
    page = render_traffic({"figures": FIGURES, "trouble": "", "models": {"tickets": glance(window)}})
    said = re.sub(r"<[^>]+>", " ", page.partition("</style>")[2])
    for words in (
        "tickets",
        "The last 30 texts",
        "Confidence",
        "Bits a character, frozen model",
        "12.50",
        "1,234",
        "11",
    ):
        assert words in said
    assert f"{100 * np.mean(window.numbers['abstained']):.1f}" in said
    assert "this model" not in said  # a classifier has no bits
    assert "latin" in said
    assert "small" not in said
    assert "can be written" not in said
    assert "/watch" in page


def test_the_page_of_a_server_that_nobody_asked_says_so() -> None:
    page = render_traffic({"figures": {**FIGURES, "last_write": 0.0}, "trouble": "<disk> full", "models": {}})
    assert "Nothing was asked yet." in page
    assert "Nothing can be written: &lt;disk&gt; full" in page


def test_every_signal_has_a_name_for_people() -> None:
    assert set(NAMES) == {*NUMBERS, *CLASSES} - {"distance", "neighbours"}
