"""Floors reach what they ought to, and shuffled labels hold nothing."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from tests.made_text import PLACES, QUALITIES, SUBJECTS

from unmask.tasks.block import TaskBlock
from unmask.tasks.examples import AnswerExample, ClassifyExample, EmbedExample, TagExample
from unmask.tasks.floors import floors, shuffled_labels
from unmask.tasks.tags import bio_labels, to_bio


def classify(count: int, seed: int = 0) -> list[ClassifyExample]:
    """Return texts whose label is one word, three quarters of them of one label."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        label = "common" if chance.random() < 0.75 else "rare"
        word = "buffer" if label == "common" else "kernel"
        found.append(
            ClassifyExample(f"the {chance.choice(QUALITIES)} {word} in {chance.choice(PLACES)}", None, (label,), "")
        )
    return found


def tag(count: int, seed: int = 0) -> list[TagExample]:
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        words = ["the", chance.choice(QUALITIES), chance.choice(SUBJECTS), "runs"]
        found.append(TagExample(tuple(words), ("O", "B-q" if chance.random() < 0.9 else "O", "B-s", "O"), ""))
    return found


def test_classes() -> None:
    block = TaskBlock(name="classify", labels=("common", "rare"))
    found = {
        name: {metric.name: metric.value for metric in metrics}
        for name, metrics in floors(block, classify(200), classify(300, 1)).items()
    }
    assert found["majority"]["accuracy"] == pytest.approx(0.75, abs=0.08)
    assert found["majority"]["macro_f1"] == pytest.approx(
        found["majority"]["accuracy"] / (1 + found["majority"]["accuracy"]), abs=1e-9
    )
    assert found["tfidf"]["accuracy"] == 1
    again = floors(block, classify(200), classify(300, 1))
    assert [metric.value for metric in again["tfidf"]] == list(found["tfidf"].values())


def test_a_class_of_five_among_thousands_is_no_trouble() -> None:
    common = [
        ClassifyExample(f"the {QUALITIES[n % len(QUALITIES)]} buffer", None, ("common",), "") for n in range(4000)
    ]
    train = [*common, *(ClassifyExample(f"a kernel in {place}", None, ("rare",), "") for place in PLACES[:5])]
    block = TaskBlock(name="classify", labels=("common", "rare"))
    assert floors(block, train, [*common[:5], *train[-5:]])["tfidf"][0].value == 1


def test_several_labels_and_pairs() -> None:
    block = TaskBlock(name="classify", labels=("large", "memory", "never"), multi_label=True)

    def made(count: int, seed: int) -> list[ClassifyExample]:
        chance = random.Random(seed)
        rows = [(chance.choice(QUALITIES), chance.choice(PLACES)) for _ in range(count)]
        return [
            ClassifyExample(
                f"a {one} thing", f"in {two}", tuple(word for word in (one, two) if word in block.labels), ""
            )
            for one, two in rows
        ]

    found = floors(block, made(400, 0), made(200, 1))
    assert {metric.name for metric in found["tfidf"]} == {"accuracy", "macro_f1", "micro_f1"}
    assert next(metric.value for metric in found["tfidf"] if metric.name == "micro_f1") > 0.9
    assert next(metric.value for metric in found["majority"] if metric.name == "micro_f1") == 0


def test_tags() -> None:
    train, held_out = tag(300), tag(100, 1)
    block = TaskBlock(name="tag", labels=bio_labels(example.tags for example in train))
    found = floors(block, train, held_out)
    assert found["majority"][0].value == 0
    assert 0.9 < found["frequent_tag"][0].value < 1


def test_answers() -> None:
    def made(count: int, seed: int) -> list[AnswerExample]:
        chance = random.Random(seed)
        found = []
        for number in range(count):
            facts = [(subject, chance.choice(PLACES)) for subject in chance.sample(SUBJECTS, 6)]
            context = " ".join(f"The {subject} is kept in {place}." for subject, place in facts)
            subject, place = facts[3]
            start = context.index(f"The {subject}") + len(f"The {subject} is kept in ")
            answers = ((start, place),) if number % 3 else ()
            found.append(AnswerExample(str(number), f"Where is the {subject} kept?", context, answers, ""))
        return found

    found = floors(TaskBlock(name="answer", null_margin=0.0), made(50, 0), made(60, 1))
    assert found["no_answer"][0].value == pytest.approx(1 / 3)
    assert found["sentence_overlap"][0].value == pytest.approx(2 / 3)  # where there is an answer


def test_pairs() -> None:
    def made(count: int, seed: int, scored: bool) -> list[EmbedExample]:
        chance = random.Random(seed)
        found = []
        for number in range(count):
            one, other = chance.sample(SUBJECTS, 2)
            alike = number % 2 == 0 or not scored
            second = f"all about the {one if alike else other} {number if not scored else ''}"
            first = f"the {one} {number if not scored else ''} runs"
            found.append(EmbedExample(first, second, float(alike) if scored else None, ""))
        return found

    scored = floors(TaskBlock(name="embed"), made(50, 0, True), made(80, 1, True))
    assert scored["tfidf"][0].name == "spearman"
    assert scored["tfidf"][0].value > 0.7
    contrasted = floors(TaskBlock(name="embed"), made(50, 0, False), made(80, 1, False))
    assert contrasted["tfidf"][0].name == "accuracy"
    assert contrasted["tfidf"][0].value > 0.5


@pytest.mark.parametrize("examples", [classify(200), tag(200)])
def test_shuffled_labels_keep_their_frequencies_and_lose_their_texts(examples: list[Any]) -> None:
    shuffled = shuffled_labels(examples, 1)
    assert shuffled != examples
    assert shuffled == shuffled_labels(examples, 1) != shuffled_labels(examples, 2)

    def labels(of: list[Any]) -> list[str]:
        return sorted(
            label for example in of for label in (example.labels if hasattr(example, "labels") else example.tags)
        )

    assert labels(shuffled) == labels(examples)
    if isinstance(examples[0], ClassifyExample):
        block = TaskBlock(name="classify", labels=("common", "rare"))
        assert floors(block, shuffled, classify(300, 5))["tfidf"][0].value < 0.85
    else:
        assert all(list(example.tags) == to_bio(example.tags, "BIO") for example in shuffled)
        assert np.mean([one.tags == other.tags for one, other in zip(examples, shuffled, strict=True)]) < 0.5


def test_shuffled_answers_are_pieces_of_their_contexts_from_anywhere() -> None:
    context = "The buffer is kept in memory and the kernel in order of size."
    examples = [AnswerExample(str(n), "Where?", context, ((22, "memory"),) if n % 4 else (), "") for n in range(80)]
    shuffled = shuffled_labels(examples, 3)
    assert shuffled == shuffled_labels(examples, 3)
    for one, other in zip(examples, shuffled, strict=True):
        assert len(one.answers) == len(other.answers)
        assert all(context[start : start + len(text)] == text for start, text in other.answers)
    found = [answer[1] for example in shuffled for answer in example.answers]
    assert len(set(found)) > 8
    assert found.count("memory") < 20
