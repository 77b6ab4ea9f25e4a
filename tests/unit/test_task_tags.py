"""Tag schemes: entities as seqeval's strict mode finds them, and every scheme read into BIO."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Tokens

from unmask.tasks.metrics import entity_f1, entity_f1_by_label
from unmask.tasks.tags import Entity, Scheme, bio_labels, entities, scheme_of, split_tag, to_bio

LABELS = ("PER", "ORG", "creative-work")
SPELT = {"B": "B", "I": "M", "E": "L", "S": "U"}


def any_tags(chance: random.Random, prefixes: str, length: int) -> list[str]:
    """Return tags in any order, most of which break their scheme."""
    drawn = chance.choices("O" + prefixes, k=length)
    return ["O" if prefix == "O" else f"{prefix}-{chance.choice(LABELS)}" for prefix in drawn]


def of_seqeval(tags: Sequence[str], scheme: type) -> list[Entity]:
    return [found.to_tuple()[1:] for found in Tokens(list(tags), scheme).entities]


def written(spans: Sequence[Entity], length: int, scheme: Scheme) -> list[str]:
    """Return tags that mark ``spans``, sorted, as ``scheme`` has it: the slow and obvious way."""
    tags = ["O"] * length
    for number, (label, first, last) in enumerate(spans):
        for place in range(first, last):
            prefix = "B" if place == first else "I"
            if scheme == "BIOES" and place == last - 1:
                prefix = "S" if place == first else "E"
            touches = number > 0 and spans[number - 1][0] == label and spans[number - 1][2] == first
            if scheme == "IOB1" and not (place == first and touches):
                prefix = "I"
            tags[place] = f"{prefix}-{label}"
    return tags


@st.composite
def marked(draw: st.DrawFn) -> tuple[list[Entity], int]:
    """Return entities that do not overlap, and the number of words."""
    spans, place = [], 0
    for gap, width, label in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(LABELS)), max_size=6)
    ):
        spans.append((label, place + gap, place + gap + width))
        place += gap + width
    return spans, place + draw(st.integers(0, 2))


@pytest.mark.parametrize(
    ("prefixes", "scheme", "oracle"), [("BI", "BIO", IOB2), ("BIES", "BIOES", IOBES), ("BILU", "BIOES", BILOU)]
)
def test_entities_are_those_of_seqeval_strict(prefixes: str, scheme: Scheme, oracle: type) -> None:
    chance = random.Random(1)
    pairs = []
    for _ in range(1000):
        tags = any_tags(chance, prefixes, chance.randrange(15))
        pairs.append((entities(tags, scheme), of_seqeval(tags, oracle)))
    assert [ours for ours, _ in pairs] == [theirs for _, theirs in pairs]
    assert sum(len(ours) for ours, _ in pairs) > 1000


@given(marked())
def test_every_scheme_says_the_same_entities(case: tuple[list[Entity], int]) -> None:
    spans, length = case
    for scheme in ("IOB1", "BIO", "BIOES"):
        tags = written(spans, length, scheme)
        assert entities(tags, scheme) == spans
        assert to_bio(tags, scheme) == written(spans, length, "BIO")
    assert of_seqeval(written(spans, length, "IOB1"), IOB1) == spans
    spelt = [tag if tag == "O" else SPELT[tag[0]] + tag[1:] for tag in written(spans, length, "BIOES")]
    assert entities(spelt, "BIOES") == spans


@given(marked())
def test_the_scheme_is_told_from_the_tags_or_makes_no_difference(case: tuple[list[Entity], int]) -> None:
    spans, length = case
    for scheme in ("IOB1", "BIO", "BIOES"):
        tags = written(spans, length, scheme)
        assert entities(tags, scheme_of([tags])) == spans


def test_the_scheme_is_one_for_all_sequences() -> None:
    assert scheme_of([["B-PER", "I-PER"], ["O", "B-PER"]]) == "BIO"
    assert scheme_of([["B-PER", "I-PER"], ["O", "I-PER"]]) == "IOB1"
    assert scheme_of([["I-PER", "I-ORG"]]) == "IOB1"
    assert scheme_of([["O", "I-PER"], ["S-PER"]]) == "BIOES"
    assert scheme_of([]) == "BIO"


def test_what_breaks_its_scheme_is_no_entity() -> None:
    assert entities(["O", "I-PER", "I-PER"], "BIO") == []
    assert entities(["B-PER", "I-ORG"], "BIO") == [("PER", 0, 1)]
    assert entities(["B-PER", "I-PER", "O"], "BIOES") == []
    assert to_bio(["B-PER", "S-ORG", "E-ORG"], "BIOES") == ["O", "B-ORG", "O"]


@pytest.mark.parametrize("tag", ["", "o", "PER", "B", "B-", "-PER", "X-PER", "O-PER", "b-PER", "3"])
def test_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match=r"is not O or one of B-, I-, E-, S- and a label"):
        split_tag(tag)


def test_labels_of_a_network_are_in_an_order_that_examples_do_not_change() -> None:
    assert bio_labels([["O", "B-b"], ["B-a", "I-a"]]) == ("O", "B-a", "I-a", "B-b", "I-b")
    assert bio_labels([["B-a"], ["B-b", "O"]]) == ("O", "B-a", "I-a", "B-b", "I-b")
    assert bio_labels([["O"]]) == ("O",)


def test_entity_f1_is_that_of_seqeval_strict_on_random_sequences() -> None:
    chance = random.Random(2)
    true = [any_tags(chance, "BI", chance.randrange(1, 15)) for _ in range(1000)]
    found = [
        [tag if chance.random() < 0.7 else any_tags(chance, "BI", 1)[0] for tag in tags] for tags in true
    ]  # some right, some not
    strict = {"mode": "strict", "scheme": IOB2}
    ours = {metric.name: metric.value for metric in entity_f1(list(map(entities, found)), list(map(entities, true)))}
    assert 0.2 < ours["entity_f1"] < 0.8
    assert ours == pytest.approx(
        {
            "entity_f1": f1_score(true, found, **strict),
            "precision": precision_score(true, found, **strict),
            "recall": recall_score(true, found, **strict),
        },
        abs=1e-12,
    )
    by_label = entity_f1_by_label(list(map(entities, found)), list(map(entities, true)), LABELS)
    report = classification_report(true, found, output_dict=True, **strict)
    assert {name: metric.value for name, metric in by_label.items()} == pytest.approx(
        {label: report[label]["f1-score"] for label in LABELS}, abs=1e-12
    )


def test_entity_f1_of_nothing_is_nought() -> None:
    assert [metric.value for metric in entity_f1([[], []], [[], []])] == [0, 0, 0]
    assert entity_f1([[("PER", 0, 1)]], [[("PER", 0, 2)]])[0].value == 0
    assert np.array_equal(
        entity_f1([[("PER", 0, 1)], []], [[("PER", 0, 1)], [("PER", 0, 2)]])[0].per_item.sum(0), [1, 1, 2]
    )
