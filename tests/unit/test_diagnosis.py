"""Each check of a diagnosis finds what it is for, and keeps quiet where that is not there."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.diagnosed import LABELS, case_of, examined, sound, window_of
from tests.made_text import sentences

from unmask.corpus.dedup import grams
from unmask.stats.figure import Figure, Floats
from unmask.watch.diagnosis.belief import calibration, floor
from unmask.watch.diagnosis.case import Examined, Finding, Ints, Style, Traffic, Training, gain_of
from unmask.watch.diagnosis.checks import BELIEVED, RAISING, believed, raising
from unmask.watch.diagnosis.confident import confident_labels, out_of_fold
from unmask.watch.diagnosis.confusion import confusion, imbalance
from unmask.watch.diagnosis.copies import copied_from, duplicates, first_copies, leakage
from unmask.watch.diagnosis.fitting import forgetting, over_fitting, rise_of, under_training
from unmask.watch.diagnosis.label_noise import label_noise
from unmask.watch.diagnosis.languages import language_of, languages_of
from unmask.watch.diagnosis.reading import tokenizer_fit, truncation
from unmask.watch.diagnosis.shift import shift
from unmask.watch.diagnosis.slices import slices
from unmask.watch.diagnosis.writing import HABITS, skew

GERMAN = "Das ist nicht die Datei, die von dem Dienst auf der Platte gesucht und dann gelesen wird."


def unseen(finding: Finding) -> bool:
    return finding.state == "clear" and finding.gain is None and not finding.command


# Copies


def slow_copies(texts: Sequence[str], others: Sequence[str]) -> list[bool]:
    """Say which of ``texts`` share four fifths of their 8-grams with all of ``others`` together."""

    def of(text: str) -> list[int]:
        return [int(one) for one in grams([text])[0]]

    known = {one for text in others for one in of(text)}
    return [bool(np.mean([one in known for one in of(text)]) >= 0.8) for text in texts]


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(0, 12))
def test_copies_are_those_of_the_slow_twin(seed: int, edits: int) -> None:
    chance = random.Random(seed)
    others = [" ".join(sentences(3, seed + place)) for place in range(6)]
    texts = []
    for text in [*others, "short", ""]:
        words = text.split(" ")
        for _ in range(edits):
            words[chance.randrange(len(words))] = chance.choice(["a", "other", "x1"])
        texts.append(" ".join(words))
    found = copied_from(texts, others)
    assert (found >= 0).tolist() == slow_copies(texts, others)
    if not edits:
        assert found[:6].tolist() == list(range(6))


def test_a_copy_of_a_training_example_is_a_leak_and_says_where_it_is() -> None:
    dev = sound()
    learned = [*sentences(300, seed=5), *dev.texts[:60]]
    where = [f"train:{number}" for number in range(len(learned))]
    found = leakage(case_of(dev, learned=learned, learned_where=where))
    assert found.state == "found"
    assert found.facts["copies"] >= 60
    assert found.examples[0].why.startswith("also at train:")
    assert unseen(leakage(case_of(dev, learned=learned[:300], learned_where=where[:300])))
    assert leakage(case_of(dev)).state == "skipped"


def test_repeated_development_examples_are_found_once_each() -> None:
    texts = [*sentences(200), *sentences(40)]
    assert first_copies(texts).tolist() == [*range(200), *range(40)]
    dev = replace(sound(240), texts=texts)
    assert duplicates(case_of(dev)).facts["copies"] == 40
    assert duplicates(case_of(dev)).state == "found"
    assert unseen(duplicates(case_of(replace(sound(200), texts=texts[:200]))))


# Writing


@pytest.mark.parametrize(("name", "text"), [
    ("in lower case throughout", "the array is sorted."),
    ("in upper case throughout", "THE ARRAY IS SORTED."),
    ("without any punctuation", "The array is sorted"),
    ("with accents apart from their letters", "Le re\u0301sultat est triE\u0301."),
    ("with typographic quotes", "The \u201carray\u201d is sorted."),
    ("with unusual spaces", "The\u00a0array is sorted."),
    ("with HTML in it", "The <b>array</b> is sorted &amp; kept."),
    ("with space doubled or at its ends", "The array  is sorted. "),
])  # fmt: skip
def test_every_habit_is_told_from_plain_text_and_found_as_a_skew(name: str, text: str) -> None:
    habit = next(one for one in HABITS if one.name == name)
    assert habit.has(text)
    assert not habit.has("The array is sorted.")
    if habit.style is not None:
        assert habit.has(habit.style("The r\u00e9sultat is sorted."))
    dev = replace(sound(100), texts=[text] * 100)
    found = skew(case_of(dev, learned=["The array is sorted."] * 50))
    assert found.state == "found"
    assert habit.name in found.says
    assert unseen(skew(case_of(dev, learned=[text] * 50)))


def test_a_skew_of_the_traffic_is_found_and_its_cost_is_asked_of_the_model() -> None:
    dev = sound(200)
    asked: list[Style | None] = []

    def again(style: Style | None, _: int | None) -> Floats:
        asked.append(style)
        return dev.per_item * [0.5, 1.0]

    lower = [text.lower() for text in dev.texts]
    traffic = Traffic(window=window_of(lower), texts=lower)
    found = skew(case_of(dev, learned=sentences(100, seed=3), traffic=traffic, again=again))
    assert found.state == "found"
    assert "the traffic" in found.says
    assert asked == [str.lower]
    assert "changes by -" in found.says


# Belief


def test_a_floor_that_is_as_good_is_found() -> None:
    dev = sound()
    worse = np.stack([np.random.default_rng(1).random(len(dev)) < 0.5, np.ones(len(dev))], 1).astype(float)
    assert unseen(floor(case_of(dev, floors={"tfidf": worse})))
    found = floor(case_of(dev, floors={"tfidf": dev.per_item, "majority": worse}))
    assert found.state == "found"
    assert "of tfidf" in found.says
    assert floor(case_of(dev)).state == "skipped"


@pytest.mark.parametrize("power", [0.3, 4.0])
def test_probabilities_that_say_too_little_or_too_much_are_found(power: float) -> None:
    dev = sound(accuracy=0.8)
    assert unseen(calibration(case_of(dev)))
    assert dev.decisions is not None
    bent = replace(dev.decisions, confidence=1 - (1 - dev.decisions.confidence) ** power)
    assert calibration(case_of(replace(dev, decisions=bent))).state == "found"


# Labels


def slow_joint(chance: Floats, labels: Ints) -> Floats:
    """Return the confident joint of Northcutt et al. 2021, by loops."""
    count, classes = chance.shape
    thresholds = [np.mean([chance[n, j] for n in range(count) if labels[n] == j]) for j in range(classes)]
    counted = np.zeros((classes, classes))
    for n in range(count):
        above = [j for j in range(classes) if chance[n, j] >= thresholds[j]]
        if above:
            counted[labels[n], max(above, key=lambda j: chance[n, j])] += 1
    for i in range(classes):
        of_class = sum(labels == i)
        counted[i] = counted[i] / counted[i].sum() * of_class if counted[i].sum() else np.eye(classes)[i] * of_class
    return np.asarray(counted / count)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_the_confident_joint_is_that_of_the_slow_twin(seed: int) -> None:
    chance = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), chance.integers(3, size=40)])
    table = chance.dirichlet(np.ones(3) * 0.5, size=len(labels))
    found = confident_labels(table, labels)
    np.testing.assert_allclose(found.joint, slow_joint(table, labels), atol=1e-12)
    assert found.joint.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found.joint.sum(1), np.bincount(labels, minlength=3) / len(labels))
    assert (found.likely[found.suspects] != labels[found.suspects]).all()


def test_out_of_fold_probabilities_know_nothing_of_the_label_they_judge() -> None:
    chance = np.random.default_rng(0)
    labels = chance.integers(4, size=400)
    features = np.eye(400)[:, :200] + chance.normal(size=(400, 200)) * 0.01  # a row can only be learned by heart
    assert (out_of_fold(features, labels, 4).argmax(1) == labels).mean() < 0.35


def flipped(dev: Examined, share: float, seed: int = 1) -> Examined:
    """Return ``dev`` with ``share`` of its labels replaced by another."""
    chance = np.random.default_rng(seed)
    assert dev.given is not None
    assert dev.chance is not None
    moved = np.where(chance.random(len(dev)) < share, chance.integers(1, 4, size=len(dev)), 0)
    return examined((dev.given + moved) % 4, dev.chance.argmax(1), dev.chance.max(1), dev.texts)


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_are_found_with_their_share(seed: int) -> None:
    found = label_noise(case_of(flipped(sound(900, seed=seed), 0.2)))
    assert found.state == "found"
    assert found.gain is not None
    assert found.gain.low < 0.2 < found.gain.high
    assert "likely" in found.examples[0].why


@pytest.mark.parametrize("accuracy", [0.6, 0.75, 0.92])
def test_errors_of_a_model_that_is_often_wrong_are_no_wrong_labels(accuracy: float) -> None:
    assert unseen(label_noise(case_of(sound(900, accuracy))))


def test_wrong_training_labels_are_found_and_leaving_them_out_is_measured() -> None:
    chance = np.random.default_rng(2)
    truth = chance.integers(4, size=1200)
    features = np.eye(4)[truth] * 8 + chance.normal(size=(1200, 4))
    moved = np.where(chance.random(600) < 0.25, 1, 0)
    train = examined((truth[:600] + moved) % 4, truth[:600], np.full(600, 0.9), where="train")
    dev = sound(600)
    assert dev.chance is not None
    dev = examined(truth[600:], truth[600:], dev.chance.max(1))
    found = label_noise(case_of(dev, train=train, features=(features[:600], features[600:])))
    assert found.state in ("found", "clear")  # whether it pays is measured
    assert found.facts["training"]["share"]["value"] == pytest.approx(0.25, abs=0.06)
    assert found.facts["development"]["share"]["value"] < 0.02


# Classes


def merged(share: float) -> Examined:
    """Return what a model that has learned to say 1 for ``share`` of class 0 makes of examples."""
    dev = sound(800, 0.95)
    assert dev.chance is not None
    assert dev.given is not None
    said = np.where((dev.given == 0) & (np.random.default_rng(3).random(800) < share), 1, dev.chance.argmax(1))
    return examined(dev.given, said, dev.chance.max(1), dev.texts)


def test_a_class_that_is_taken_for_another_is_found_and_is_no_label_noise() -> None:
    found = confusion(case_of(merged(0.9)))
    assert found.state == "found"
    assert f"{LABELS[0]}, " in found.says or f"of {LABELS[0]}" in found.says
    assert found.gain is not None
    assert found.gain.value == pytest.approx(0.225, abs=0.04)
    assert unseen(label_noise(case_of(merged(0.9))))
    assert unseen(confusion(case_of(sound(800, 0.7))))


def test_rare_classes_that_are_worse_are_found() -> None:
    dev = sound(800, 0.95)
    assert dev.given is not None
    said = np.where(dev.given == 2, 0, dev.given)
    worse = examined(dev.given, said, np.full(800, 0.9), dev.texts)
    labels = [*["calm"] * 300, *["dark"] * 300, *["fast"] * 12, *["loud"] * 300]
    found = imbalance(case_of(worse, learned_labels=labels))
    assert found.state == "found"
    assert found.says.startswith("fast")
    assert "class_weights=balanced" in found.command
    assert unseen(imbalance(case_of(dev, learned_labels=labels)))
    assert unseen(imbalance(case_of(worse, learned_labels=[*LABELS] * 100)))


# Reading


def test_cut_texts_that_are_worse_are_found_and_measured_where_the_model_can_read_on() -> None:
    dev = sound(600, 0.97)
    assert dev.given is not None
    cut = np.arange(600) % 3 == 0
    said = np.where(cut & (np.arange(600) % 2 == 0), (dev.given + 1) % 4, dev.given)
    numbers = {"truncated": cut, "tokens": np.where(cut, 200, 40)}
    worse = examined(dev.given, said, np.full(600, 0.9), dev.texts, **numbers)
    found = truncation(case_of(worse))
    assert (found.state, found.basis) == ("found", "estimated")
    assert found.gain is not None
    assert found.gain.value == pytest.approx(1 / 6, abs=0.01)
    whole = np.ones((600, 2))
    read_on = truncation(case_of(worse, again=lambda _style, length: whole if length == 203 else None))
    assert (read_on.state, read_on.facts["wanted"]) == ("found", 203)
    assert "task.max_length=203" in read_on.command
    assert unseen(truncation(case_of(examined(dev.given, dev.given, np.full(600, 0.9), dev.texts, **numbers))))


def split_worse(share: float, *, is_worse: bool) -> tuple[Examined, Examined]:
    """Return development and training examples; ``share`` of the first are split into three tokens a word."""
    chance = np.random.default_rng(4)
    dev, train = sound(600, 0.97), sound(600, 0.97, seed=9, where="train")
    odd = chance.random(600) < share
    split = np.where(odd, 3.0, chance.normal(1.4, 0.1, 600))
    assert dev.given is not None
    assert train.given is not None
    said = np.where(odd & (chance.random(600) < 0.7 * is_worse), (dev.given + 1) % 4, dev.given)
    learned = examined(
        train.given, train.given, np.full(600, 0.9), where="train", tokens_per_word=chance.normal(1.4, 0.1, 600)
    )
    return examined(dev.given, said, np.full(600, 0.9), tokens_per_word=split), learned


def test_texts_that_the_tokenizer_tears_apart_are_found_where_they_are_worse() -> None:
    dev, train = split_worse(0.2, is_worse=True)
    found = tokenizer_fit(case_of(dev, train=train))
    assert found.state == "found"
    assert found.gain is not None
    assert found.gain.value == pytest.approx(0.14, abs=0.05)
    for one, other in (split_worse(0.2, is_worse=False), split_worse(0.0, is_worse=True)):
        assert unseen(tokenizer_fit(case_of(one, train=other)))


@pytest.mark.parametrize(("language", "text"), [
    ("English", "This is the file that is read when the server starts."),
    ("German", GERMAN),
    ("French", "Le fichier est lu par le serveur dans les cas qui ne sont pas pr\u00e9vus."),
    ("Spanish", "El archivo es le\u00eddo por el servidor y se guarda en una carpeta con los otros."),
    ("Italian", "Il file che si trova nella cartella \u00e8 letto dal server con una richiesta."),
    ("Portuguese", "O arquivo n\u00e3o \u00e9 lido quando os dados do servidor s\u00e3o enviados por uma rede."),
    ("Dutch", "Het bestand wordt niet door de server gelezen als het te groot is voor een map."),
    ("unclear", "xr7 qqq 14"),
    ("unclear", ""),
])  # fmt: skip
def test_languages_are_told_by_their_commonest_words(language: str, text: str) -> None:
    assert language_of(text) == language
    russian = "\u0444\u0430\u0439\u043b \u043d\u0435 \u043d\u0430\u0439\u0434\u0435\u043d"
    assert languages_of([text, russian]).tolist() == [language, "cyrillic script"]


def test_a_language_that_is_worse_is_found_as_a_slice() -> None:
    dev = sound(600, 0.97)
    assert dev.given is not None
    foreign = np.arange(600) % 5 == 0
    texts = [GERMAN if is_foreign else text for text, is_foreign in zip(dev.texts, foreign, strict=True)]
    said = np.where(foreign, (dev.given + np.arange(600) // 5 % 4) % 4, dev.given)
    found = slices(case_of(examined(dev.given, said, np.full(600, 0.9), texts), learned=dev.texts))
    assert found.state == "found"
    assert found.says.startswith("language German")
    assert "0% of the training" in found.says
    assert unseen(slices(case_of(examined(dev.given, dev.given, np.full(600, 0.9), texts))))


def test_values_of_a_field_are_slices_and_their_number_widens_the_intervals() -> None:
    dev = sound(600, 0.97)
    assert dev.given is not None
    shop = np.where(np.arange(600) % 3 == 0, "shop", "desk")
    said = np.where((shop == "shop") & (np.arange(600) % 2 == 0), (dev.given + 1) % 4, dev.given)
    worse = examined(dev.given, said, np.full(600, 0.9), dev.texts)
    found = slices(case_of(worse, fields={"channel": shop}))
    assert found.state == "found"
    assert found.says.startswith("channel shop: accuracy 0.500, elsewhere 1.000")
    assert {row["value"] for row in found.facts["slices"]} == {"shop", "desk"}
    many = {str(number): np.random.default_rng(number).choice(["a", "b"], size=600) for number in range(15)}
    assert unseen(slices(case_of(sound(600, 0.8), fields=many)))


# Traffic


def test_traffic_of_the_same_kind_is_not_told_apart_and_other_traffic_is() -> None:
    dev, same = sound(400), sentences(400, seed=77)
    other = [f"Please send the invoice of {text.split()[1]} orders to our office." for text in same]
    alike = Traffic(window=window_of(same, confidence=np.full(400, 0.92)), texts=same)
    assert unseen(shift(case_of(dev, traffic=alike)))
    moved = Traffic(window=window_of(other, confidence=np.full(400, 0.6)), texts=other)
    found = shift(case_of(dev, traffic=moved))
    assert found.state == "found"
    assert found.gain is not None
    assert found.gain.value == pytest.approx(0.32, abs=0.05)
    assert "invoice" in found.examples[0].text
    assert shift(case_of(dev)).state == "skipped"


def test_traffic_without_texts_is_told_apart_by_its_signals() -> None:
    chance = np.random.default_rng(5)
    dev = sound(400)
    assert dev.given is not None
    dev = examined(dev.given, dev.given, np.full(400, 0.9), characters=chance.normal(60, 10, 400))
    texts = sentences(400, seed=8)
    for centre, state in ((60, "clear"), (90, "found")):
        signals = window_of(texts, characters=chance.normal(centre, 10, 400), confidence=np.full(400, 0.9))
        found = shift(case_of(dev, traffic=Traffic(window=signals)))
        assert found.state == state
    assert next(iter(found.facts["signals"])) == "characters"


# Training

FLAT = [(10.0 * step, 0.9 - 0.6 * 0.4**step) for step in range(1, 13)]
RISING = [(10.0 * step, 0.3 + 0.1 * np.log2(step)) for step in range(1, 13)]


def test_a_curve_that_still_rises_is_found_where_training_examples_are_not_learned() -> None:
    dev, learned = sound(600, 0.65), sound(600, 0.65, seed=3, where="train")
    found = under_training(case_of(dev, train=learned, training=Training(curve=RISING, epochs=1.0)))
    assert found.state == "found"
    assert found.gain is not None
    assert found.gain.value == pytest.approx(0.1, abs=1e-6)
    assert "training.epochs=3" in found.command
    assert unseen(under_training(case_of(dev, train=learned, training=Training(curve=FLAT, epochs=1.0))))
    assert unseen(
        under_training(case_of(dev, train=sound(600, 0.99, where="train"), training=Training(curve=RISING, epochs=1.0)))
    )
    assert under_training(case_of(dev)).state == "skipped"


def test_a_rise_is_never_more_than_what_is_missing() -> None:
    assert rise_of([(step, 0.2 * step) for step in range(1, 6)], 0.05).value == pytest.approx(0.05)


def test_a_gap_to_training_examples_is_over_fitting() -> None:
    found = over_fitting(case_of(sound(600, 0.6), train=sound(600, 0.99, where="train"), learned=["a"] * 600))
    assert found.state == "found"
    assert "--labels 150,300,all" in found.command
    assert unseen(over_fitting(case_of(sound(600, 0.93), train=sound(600, 0.97, where="train"))))
    assert over_fitting(case_of()).state == "skipped"


def test_forgetting_is_read_off_the_pre_training() -> None:
    lost = Training(curve=(), epochs=1.0, forgotten=Figure(0.3, 0.2, 0.4, 100, 0.95, ""))
    assert forgetting(case_of(training=lost)).state == "found"
    kept = replace(lost, forgotten=Figure(0.01, -0.02, 0.04, 100, 0.95, ""))
    assert unseen(forgetting(case_of(training=kept)))
    assert forgetting(case_of()).state == "skipped"


# All together


def test_a_gain_is_the_figure_of_the_rest_minus_that_of_all() -> None:
    dev = sound()
    right = dev.per_item[:, 0]
    part = (right == 0) | (np.arange(len(dev)) < 100)
    found = gain_of(dev.per_item, case_of().combine, part)
    assert found.value == pytest.approx(right[~part].mean() - right.mean())


def test_what_is_lacking_is_said_and_nothing_passes_in_silence() -> None:
    found = [*believed(case_of()), *raising(case_of())]
    assert len(found) == len(BELIEVED) + len(RAISING)
    states = {one.check: one.state for one in found}
    assert {name for name, state in states.items() if state == "skipped"} == {
        "leakage", "writing", "floor", "under-training", "tokenizer fit", "imbalance", "shift", "over-fitting",
        "forgetting",
    }  # fmt: skip
    assert all(one.says for one in found)


def test_findings_stand_in_the_order_of_their_gain() -> None:
    dev = flipped(merged(0.9), 0.1)
    found = raising(case_of(dev, train=sound(600, 0.999, where="train")))
    gains = [one.gain.value for one in found if one.state == "found" and one.gain is not None]
    assert gains == sorted(gains, reverse=True)
    assert len(gains) >= 2
    order = [("found", "clear", "skipped").index(one.state) for one in found]
    assert order == sorted(order)


def test_training_is_not_blamed_for_what_wrong_labels_hold_down() -> None:
    dev = flipped(sound(900, 0.99), 0.2)
    training = Training(curve=RISING, epochs=1.0)
    found = {one.check: one for one in raising(case_of(dev, training=training))}
    assert found["label noise"].state == "found"
    gain = found["under-training"].gain
    assert gain is None or gain.value <= 0.05
    assert under_training(case_of(dev, training=training)).state == "found"


def test_a_model_that_has_not_learned_is_no_judge_of_labels() -> None:
    dev, learned = sound(900, 0.45), sound(900, 0.45, seed=3, where="train")
    found = {
        one.check: one for one in raising(case_of(dev, train=learned, training=Training(curve=RISING, epochs=1.0)))
    }
    assert found["under-training"].state == "found"
    assert found["label noise"].state == "clear"


def test_sound_models_have_few_findings() -> None:
    false = []
    for seed in range(6):
        dev, train = sound(600, seed=seed), sound(600, 0.95, seed=100 + seed, where=f"train{seed}")
        floors = {"tfidf": sound(600, 0.5, seed=seed).per_item}
        texts = sentences(600, seed=500 + seed)
        traffic = Traffic(window=sound(600, seed=300 + seed).window, texts=texts)
        case = case_of(
            dev, train=train, learned=train.texts, learned_where=train.where, learned_labels=[*LABELS] * 150,
            floors=floors, traffic=traffic, training=Training(curve=FLAT, epochs=3.0),
        )  # fmt: skip
        false += [one.check for one in (*believed(case), *raising(case)) if one.state == "found"]
    assert len(false) <= 1, false
