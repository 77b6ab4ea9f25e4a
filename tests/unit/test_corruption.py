"""Errors in text: what each kind may do, at which rate, and that chance hangs on nothing but the text."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.made_text import sentences

from unmask.evaluation.corruption import CORRUPTIONS, Kind, corrupted
from unmask.evaluation.robustness import RATES, decay, noisy_examples
from unmask.stats.figure import mean_of
from unmask.tasks.examples import AnswerExample, ClassifyExample, EmbedExample, TagExample

TEXT = " ".join(sentences(400, seed=5))


def joined(text: str, kind: Kind, rate: float) -> str:
    return "".join(corrupted(text, kind, rate))


@settings(max_examples=50)
@given(text=st.text(max_size=60), kind=st.sampled_from(CORRUPTIONS), rate=st.floats(0, 1))
def test_a_piece_for_every_character_and_none_changes_without_errors(text: str, kind: Kind, rate: float) -> None:
    assert len(corrupted(text, kind, rate)) == len(text)
    assert joined(text, kind, 0.0) == text
    assert joined(text, kind, rate) == joined(text, kind, rate)


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("rate", RATES)
def test_the_rate_is_a_share_of_what_can_change(kind: Kind, rate: float) -> None:
    everything = corrupted(TEXT, kind, 1.0)
    can_change = sum(piece != letter for piece, letter in zip(everything, TEXT, strict=True))
    changed = sum(piece != letter for piece, letter in zip(corrupted(TEXT, kind, rate), TEXT, strict=True))
    per_error = 1.25 if kind == "typos" else 1.0  # a fourth of them are swaps, which change two
    room = 5 * np.sqrt(rate * can_change) + 1
    assert abs(changed - per_error * rate * can_change) < per_error * room + 0.05 * rate * can_change


@pytest.mark.parametrize("kind", ["case", "whitespace", "accents", "homoglyphs"])
def test_an_error_at_a_low_rate_is_there_at_every_higher_one(kind: Kind) -> None:
    by_rate = [corrupted(TEXT, kind, rate) for rate in RATES]
    for lower, higher in pairwise(by_rate):
        assert all(more == less for less, more, was in zip(lower, higher, TEXT, strict=True) if less != was)


def test_typos_are_of_four_kinds_and_never_empty_a_word() -> None:
    pieces = corrupted(TEXT, "typos", 0.1)
    lengths = {len(piece) for piece in pieces}
    assert lengths == {0, 1, 2}  # dropped, swapped or hit beside, added
    assert len("".join(pieces).split()) == len(TEXT.split())
    assert joined("a I", "typos", 1.0).split()[0] != ""
    assert len(joined("a I", "typos", 1.0).split()) == 2


def test_swaps_keep_the_letters_of_a_word() -> None:
    words = ["ab", "cd", "ef", "gh", "kl", "mn", "op", "qr", "st", "uv", "wx", "yz"]
    assert any(joined(word, "typos", 1.0) == word[::-1] for word in words)


def test_the_other_kinds_do_what_they_are_called() -> None:
    assert joined("The Array", "case", 1.0) == "tHE aRRAY"
    assert joined("a b c d e f", "whitespace", 1.0).replace(" ", "") == "abcdef"
    assert joined("café ano", "accents", 1.0) == "ćáfe áńó"
    looks = joined("peace", "homoglyphs", 1.0)
    assert looks != "peace"
    assert all("CYRILLIC" in unicodedata.name(letter) for letter in looks)


@given(start=st.integers(0, 30), length=st.integers(0, 10), kind=st.sampled_from(CORRUPTIONS))
def test_what_is_protected_stays(start: int, length: int, kind: Kind) -> None:
    text = "The small array returns the large matrix in memory."
    pieces = corrupted(text, kind, 1.0, protected=[(start, start + length)])
    assert "".join(pieces[start : start + length]) == text[start : start + length]


def test_other_text_and_another_seed_have_other_errors() -> None:
    one, other = (corrupted(TEXT + end, "case", 0.1)[:500] for end in ("", "."))
    assert one != other
    assert corrupted(TEXT, "case", 0.1) != corrupted(TEXT, "case", 0.1, seed=1)


def test_the_slope_of_a_figure_that_falls_evenly_is_its_fall_per_per_cent() -> None:
    chance = np.random.Generator(np.random.Philox(1))
    clean = np.stack([chance.normal(3.0, 0.2, 300), np.ones(300)], 1)
    noisy = [clean + np.array([0.07 * 100 * rate, 0.0]) for rate in RATES]
    found = decay([clean, *noisy], mean_of)
    assert found["slope"]["value"] == pytest.approx(0.07)
    assert found["slope"]["high"] - found["slope"]["low"] < 1e-9  # the same items at every rate
    assert found["at"]["0.1"]["value"] == pytest.approx(found["clean"]["value"] + 0.7)


def test_errors_leave_answers_and_tags_where_they_are() -> None:
    tagged = TagExample(("a", "small", "array"), ("O", "O", "B-X"), "here")
    [made] = noisy_examples("tag", [tagged], "typos", 1.0)
    assert (len(made.tokens), made.tags, all(made.tokens)) == (3, tagged.tags, True)
    assert made.tokens != tagged.tokens
    asked = AnswerExample("1", "What returns the matrix?", "The array returns it.", ((4, "array"),), "here")
    [answer] = noisy_examples("answer", [asked], "case", 1.0)
    assert (answer.context, answer.answers) == (asked.context, asked.answers)
    assert answer.question == asked.question.swapcase()
    [alike] = noisy_examples("embed", [EmbedExample("one", "two", 0.5, "here")], "case", 1.0)
    assert (alike.sentence1, alike.sentence2, alike.score) == ("ONE", "TWO", 0.5)
    [labelled] = noisy_examples("classify", [ClassifyExample("one", "two", ("x",), "here")], "case", 1.0)
    assert (labelled.text, labelled.text_pair, labelled.labels) == ("ONE", "TWO", ("x",))
