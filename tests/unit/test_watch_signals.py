"""Signals of texts and answers: each is what it says, what is not measured is NaN, and no text is in any of them."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf
from tests.made_text import sentences
from tests.watching import LABELS, WIDTH, Frequencies, doing, filling, tokenizer

from unmask.errors import DataError, ModelError
from unmask.tasks.block import TaskBlock
from unmask.watch.answers import outcome_of
from unmask.watch.capture import AT_ONCE, capture
from unmask.watch.distance import Reference, with_distances, within
from unmask.watch.keys import hash_of
from unmask.watch.looking import OTHERS, glance
from unmask.watch.sample import HIDDEN_SHARE, WINDOW, beginning, hidden
from unmask.watch.scripts import NAMES, scripts_of
from unmask.watch.signals import Reader
from unmask.watch.window import CLASSES, NUMBERS, joined

TEXTS = sentences(40)
SCRIPTS = {
    "greek": "Αθήνα",
    "cyrillic": "Москва",
    "han": "北京市",
    "kana": "ひらがな",
    "arabic": "القاهرة",
    "latin": "Zürich",
}


@pytest.mark.parametrize(("name", "text"), SCRIPTS.items())
def test_the_script_is_that_of_most_letters(name: str, text: str) -> None:
    names, others = scripts_of([text, f"{text} {text} {text} a1-!", "12 34 ?!", "plain", ""])
    assert names.tolist() == [name, name, "", "latin", ""]
    assert others[0] == others[3] == 0
    assert others[1] == (0 if name == "latin" else pytest.approx(1 / (1 + 3 * len(text))))
    assert np.isnan(others[[2, 4]]).all()


@given(st.characters(codec="utf-8", categories=["Lu", "Ll", "Lo"]))
def test_scripts_are_those_of_unicode(letter: str) -> None:
    name = scripts_of([letter])[0][0]
    of_unicode = unicodedata.name(letter, "").lower()
    known = {one for one in NAMES if one != "han"} & set(
        of_unicode.replace("hiragana", "kana").replace("katakana", "kana").split()
    )
    if name not in ("", "han"):
        assert name in known or not known
    assert not (
        of_unicode.startswith(("latin small letter", "greek small", "cyrillic small"))
        and len(of_unicode.split()) == 4
        and name not in known
    )


def test_a_hash_needs_its_key() -> None:
    one, other = hash_of("a text", b"1" * 32), hash_of("a text", b"2" * 32)
    assert one == hash_of("a text", b"1" * 32)
    assert one != other
    assert one != hash_of("a text ", b"1" * 32)
    assert len(hash_of("\ud800", b"")) == 32


def test_numbers_of_a_text_are_counted() -> None:
    texts = ["The small array returns the large matrix", "☃☃ small ☃", "word " * 40, "  "]
    window = capture(doing("classify"), texts, sample=False, key=b"k")
    numbers = window.numbers
    assert set(numbers) == set(NUMBERS)
    assert set(window.classes) == set(CLASSES)
    counts = [len(tokenizer().encode(text, add_special_tokens=False)) for text in texts]
    assert numbers["characters"].tolist() == [len(text) for text in texts]
    assert numbers["words"].tolist() == [7, 3, 40, 0]
    assert numbers["tokens"].tolist() == counts
    assert numbers["tokens_per_word"][:3].tolist() == [counts[0] / 7, counts[1] / 3, counts[2] / 40]
    assert numbers["unknown_share"][1] > numbers["unknown_share"][0] == 0
    assert numbers["truncated"].tolist() == [float(count > 30) for count in counts] == [0, 0, 1, 0]
    assert np.isnan([numbers["tokens_per_word"][3], numbers["unknown_share"][3]]).all()
    assert np.isnan(numbers["latency_ms"]).all()
    assert window.key is not None
    assert window.key.tolist() == [hash_of(text, b"k") for text in texts]


def test_a_task_that_reads_in_windows_truncates_nothing() -> None:
    assert capture(doing("tag"), ["word " * 60]).numbers["truncated"].tolist() == [0]
    assert Reader.of(doing("classify"), in_pieces=True).room is None


def test_signals_of_a_classifier_are_those_of_its_chances() -> None:
    model = doing("classify", threshold=0.6, temperature=1.5)
    window, answers = capture(model, TEXTS), model.classify(TEXTS)
    chances = np.array([[one["score"] for one in labels] for labels in answers])
    assert window.classes["prediction"].tolist() == [labels[0]["label"] for labels in answers]
    np.testing.assert_allclose(window.numbers["confidence"], chances.max(1))
    np.testing.assert_allclose(window.numbers["margin"], chances[:, 0] - chances[:, 1])
    np.testing.assert_allclose(window.numbers["entropy"], -(chances * np.log(chances)).sum(1))
    assert window.numbers["abstained"].tolist() == (chances.max(1) < 0.6).tolist()
    assert 0 < window.numbers["abstained"].mean() < 1
    assert window.embedding is None  # it gives no vectors
    assert np.isnan(window.numbers["live_bits"]).all()


def test_what_was_not_answered_is_not_a_number() -> None:
    block = TaskBlock(name="classify", labels=LABELS)
    best = [{"label": "bad", "score": 0.7}]
    assert outcome_of(None, block)[:4] == pytest.approx((math.nan,) * 4, nan_ok=True)
    found = outcome_of(best, block)
    assert (found.confidence, found.prediction) == (0.7, "bad")
    assert all(math.isnan(one) for one in (found.margin, found.entropy, found.abstained))


def test_signals_of_several_labels_are_means() -> None:
    block = TaskBlock(name="classify", labels=("a", "b"), multi_label=True)
    found = outcome_of([{"label": "b", "score": 0.9}, {"label": "a", "score": 0.2}], block)
    assert found.prediction == "b"
    assert found.confidence == pytest.approx(0.85)
    assert found.margin == pytest.approx(0.7)
    entropy = -sum(p * math.log(p) for p in (0.9, 0.1, 0.2, 0.8)) / 2
    assert found.entropy == pytest.approx(entropy)
    assert outcome_of([{"label": "b", "score": 0.1}, {"label": "a", "score": 0.2}], block).prediction == "none"
    assert outcome_of([{"label": "b", "score": 0.9}], block).prediction == ""  # asked for the best alone


def test_signals_of_other_tasks_hold_no_text() -> None:
    tag, answer = TaskBlock(name="tag", labels=("O", "B-PER")), TaskBlock(name="answer", null_margin=0.0)
    found = outcome_of([{"entity_group": "PER", "score": 0.5, "word": "Ada"}, {"entity": "B-LOC", "score": 1.0}], tag)
    assert (found.prediction, found.confidence) == ("B-LOC + PER", 0.75)
    assert outcome_of([], tag).prediction == "none"
    ranked = [{"answer": "Ada", "score": 0.6}, {"answer": "", "score": 0.3}]
    found = outcome_of(ranked, answer)
    assert (found.prediction, found.confidence, found.abstained) == ("answer", 0.6, 0.0)
    assert found.margin == pytest.approx(0.3)
    assert outcome_of(ranked[::-1], answer).abstained == 1
    masks = [[{"token_str": "fox", "score": 0.5}, {"score": 0.1}], [{"score": 0.3}, {"score": 0.1}]]
    found = outcome_of(masks, None)
    assert found.prediction == ""
    assert found.confidence == pytest.approx(0.4)
    assert found.margin == pytest.approx(0.3)


def test_bits_of_a_model_that_knows_nothing_are_those_of_its_vocabulary() -> None:
    model = filling()
    texts = [*TEXTS, "☃☃", "The small ☃ array", ""]
    window = capture(model, texts)
    encodings = [tokenizer().encode(text, add_special_tokens=False) for text in TEXTS]
    expected = [math.log2(300) * len(one) / len(text) for one, text in zip(encodings, TEXTS, strict=True)]
    np.testing.assert_allclose(window.numbers["live_bits"][: len(TEXTS)], expected)
    assert np.isnan(window.numbers["live_bits"][[-3, -1]]).all()
    known = len(tokenizer().encode("The small array", add_special_tokens=False))
    assert window.numbers["live_bits"][-2] == pytest.approx(math.log2(300) * known / len("The small  array"))
    assert window.embedding is not None
    assert window.embedding.shape == (len(texts), WIDTH)


def test_bits_are_those_of_the_tokens_that_are_hidden() -> None:
    weights = np.random.default_rng(0).normal(size=300)
    window, reader = capture(filling(weights), TEXTS), Reader.of(filling())
    chances = weights - np.log(np.exp(weights).sum())
    for text, bits in zip(TEXTS, window.numbers["live_bits"], strict=True):
        of = beginning(reader, text)
        asked = hidden(of, reader.vocabulary.mask_id)
        assert asked is not None
        assert (asked.window[asked.places] == reader.vocabulary.mask_id).all()
        np.testing.assert_array_equal(asked.tokens, of.window[asked.places])
        assert bits == pytest.approx(-chances[asked.tokens].mean() * of.known.sum() / len(text) / math.log(2), rel=1e-5)


def test_masks_follow_from_the_text_alone_and_hide_their_share() -> None:
    reader = Reader.of(filling())
    asked = [hidden(beginning(reader, f"{one} {other}"), 4) for one in TEXTS for other in TEXTS]
    again = hidden(beginning(reader, f"{TEXTS[0]} {TEXTS[1]}"), 4)
    assert asked[1] is not None
    assert again is not None
    np.testing.assert_array_equal(asked[1].places, again.places)
    hidden_tokens = sum(len(one.places) for one in asked if one is not None)
    assert hidden_tokens / sum(len(one.window) - 2 for one in asked if one is not None) == pytest.approx(
        HIDDEN_SHARE, rel=0.05
    )
    assert all(len(one.places) for one in asked if one is not None)
    short = hidden(beginning(reader, "small"), 4)
    assert short is not None
    assert len(short.places) == 1


def test_the_beginning_is_cut_at_a_token() -> None:
    reader, text = Reader.of(filling()), "array " * 500
    of = beginning(reader, text)
    assert len(of.window) == min(WINDOW, Frequencies.max_length)
    assert of.characters == len("array " * (len(of.window) - 2)) - 1
    assert not of.known[[0, -1]].any()
    asked = beginning(reader, "The [MASK] array")
    assert not asked.known[2]
    assert asked.characters == len("The  array")


def test_moved_traffic_and_forgetting_are_told_apart() -> None:
    weights = np.zeros(300)
    usual = np.unique([one for text in TEXTS for one in tokenizer().encode(text, add_special_tokens=False).ids])
    weights[usual] = 3.0
    moved = ["zq xj " * 6] * 8
    both, forgot = filling(weights), filling()
    at_home = capture(both, TEXTS, base=filling(weights)).numbers
    away = capture(both, moved, base=filling(weights)).numbers
    lost = capture(forgot, TEXTS, base=filling(weights)).numbers
    np.testing.assert_array_equal(at_home["live_bits"], at_home["base_bits"])
    assert away["live_bits"].mean() > 1.5 * at_home["live_bits"].mean()
    assert away["base_bits"].mean() > 1.5 * at_home["base_bits"].mean()
    np.testing.assert_array_equal(lost["base_bits"], at_home["base_bits"])
    assert lost["live_bits"].mean() > 1.2 * lost["base_bits"].mean()


def test_vectors_are_those_of_the_frozen_model() -> None:
    base, tagger = filling(), doing("embed")
    np.testing.assert_allclose(capture(tagger, TEXTS, base=base).embedding, base.embed(TEXTS), rtol=1e-5)  # type: ignore[arg-type]
    np.testing.assert_allclose(capture(tagger, TEXTS).embedding, tagger.embed(TEXTS), rtol=1e-5)  # type: ignore[arg-type]
    assert capture(tagger, TEXTS, sample=False).embedding is None


@pytest.mark.parametrize("name", ["classify", "tag", "answer", "embed"])
def test_a_text_has_the_same_signals_alone_and_among_others(name: str) -> None:
    model, texts = doing(name), [*TEXTS, *TEXTS, "☃"]
    pairs: Any = [f"About {text}" for text in texts] if name == "answer" else None
    whole = capture(model, texts, pairs, base=filling(), key=b"k", time=np.arange(81.0))
    assert len(texts) > AT_ONCE
    for n in (0, 63, 64, 80):
        alone = capture(model, texts[n : n + 1], pairs and pairs[n : n + 1], base=filling(), key=b"k")
        for key, values in whole.numbers.items():
            np.testing.assert_allclose(values[n], alone.numbers[key][0], rtol=1e-6, err_msg=key)
        for key, strings in whole.classes.items():
            assert strings[n] == alone.classes[key][0]
    assert len(whole.rows(whole.time > 40)) == 40


def test_what_can_not_be_captured_is_said() -> None:
    with pytest.raises(ModelError, match="context"):
        capture(doing("answer"), TEXTS)
    with pytest.raises(ModelError, match="language model"):
        capture(doing("classify"), TEXTS, base=doing("classify"))
    assert len(capture(doing("classify"), [])) == 0


def test_distances_are_those_of_the_libraries() -> None:
    chance = np.random.default_rng(1)
    mix = chance.normal(size=(8, 8))
    known, new = (chance.normal(size=(size, 8)) @ mix + 5 for size in (300, 50))
    from_middle, from_nearest = Reference.fit(known.astype(np.float32)).distances(new.astype(np.float32))
    expected = np.sqrt(LedoitWolf().fit(known).mahalanobis(new) / 8)
    np.testing.assert_allclose(from_middle, expected, rtol=1e-3)
    cosines = np.sort(cdist(new, known, "cosine"), axis=1)[:, :10].mean(1)
    np.testing.assert_allclose(from_nearest, cosines, atol=1e-5)


def test_a_reference_is_not_nearer_to_itself_than_to_its_like() -> None:
    chance = np.random.default_rng(2)
    mix = chance.normal(size=(60, 60))
    known, new = ((chance.normal(size=(400, 60)) @ mix).astype(np.float32) for _ in range(2))
    known[7] = np.nan
    reference = Reference.fit(known)
    inside, outside, naive = within(known), reference.distances(new), reference.distances(known)
    assert np.isnan([inside[0][7], inside[1][7]]).all()
    for kind in (0, 1):
        near = abs(np.nanmean(inside[kind]) / outside[kind].mean() - 1)
        assert near < 0.05
        assert near < abs(np.nanmean(naive[kind]) / outside[kind].mean() - 1)
    with pytest.raises(DataError, match="sample more"):
        Reference.fit(known[:1])
    assert np.isnan(within(known[:4])[0]).all()


def test_distances_are_put_into_a_window() -> None:
    window = capture(filling(), TEXTS)
    assert window.embedding is not None
    assert np.isnan(window.numbers["distance"]).all()
    assert not np.isnan(with_distances(window).numbers["distance"]).any()
    other = with_distances(window, Reference.fit(window.embedding)).numbers
    assert not np.isnan(other["neighbours"]).any()
    bare = capture(doing("classify"), TEXTS)
    assert with_distances(bare) is bare


def test_windows_are_joined_and_looked_at() -> None:
    one, two = capture(filling(), TEXTS[:5]), capture(filling(), TEXTS[5:], sample=False)
    both = joined([one, two])
    assert both.embedding is not None
    assert np.isnan(both.embedding[5:]).all()
    np.testing.assert_array_equal(both.embedding[:5], one.embedding)
    seen = glance(both)
    assert (seen["count"], seen["numbers"]["live_bits"]["measured"]) == (40, 5)
    assert seen["numbers"]["tokens"]["mean"] == pytest.approx(both.numbers["tokens"].mean())
    assert seen["classes"] == {"script": {"latin": 1.0}}
    assert "confidence" not in seen["numbers"]
    names = np.array([f"label {n % 20}" for n in range(40)])
    shares = glance(type(both)(time=both.time, numbers=both.numbers, classes={"prediction": names}))["classes"][
        "prediction"
    ]
    assert shares[OTHERS] == pytest.approx(8 / 20)
    assert sum(shares.values()) == pytest.approx(1)
