"""Minimal pairs, trigrams, canaries, pieces: what has a known answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from tests.made_text import sentences

from unmask.corpus.documents import document_id
from unmask.corpus.tokenizer import TokenizerSettings, train_tokenizer
from unmask.errors import DataError
from unmask.evaluation.likelihood import Method, likelihood
from unmask.evaluation.memorisation import Canary, exposures, make_canaries, memorisation, plant, read_canaries
from unmask.evaluation.minimal_pairs import Pair, minimal_pairs, read_pairs, shorter, wins
from unmask.evaluation.ngram import Trigrams
from unmask.evaluation.pieces import pieces, plain_reader


def quiet(done: int, total: int) -> None:
    assert done <= total


def constant(texts: Sequence[str], method: Method) -> list[dict[str, float]]:
    return [{"score": -7.0, "tokens": 3.0} for _ in texts]


def by_hash(texts: Sequence[str], method: Method) -> list[dict[str, float]]:
    """Score texts as if at random, the same text always the same."""
    return [{"score": -float(int.from_bytes(document_id(text)[:4], "little")) / 2**27, "tokens": 9.0} for text in texts]


PAIRS = [
    Pair(f"good {number}", f"bad it is {number}", {"paradigm": f"p{number % 3}", "field": "syntax"})
    for number in range(60)
]


def test_a_constant_scorer_gets_exactly_one_half_everywhere() -> None:
    found = minimal_pairs(constant, PAIRS, {}, quiet)
    for part in (found, *found["by_paradigm"].values(), *found["by_field"].values()):
        for accuracy in part["accuracy"].values():
            assert (accuracy["value"], accuracy["low"], accuracy["high"]) == (0.5, 0.5, 0.5)
    assert found["flipped"] == 0


def test_a_scorer_that_is_right_or_wrong_gets_all_or_nothing_and_a_floor_is_counted_apart() -> None:
    def short(texts: Sequence[str], method: Method) -> list[dict[str, float]]:
        sign = 1 if method == "pll" else -1
        return [{"score": -sign * float(len(text)), "tokens": 3.0} for text in texts]

    found = minimal_pairs(short, PAIRS, {"shorter": shorter(PAIRS), "none": np.zeros(60)}, quiet)
    values = {name: accuracy["value"] for name, accuracy in found["accuracy"].items()}
    assert values == {"pll": 1.0, "word_l2r": 0.0, "shorter": 1.0, "none": 0.5}
    assert {name: above["value"] for name, above in found["above"].items()} == {"shorter": 0.0, "none": 0.5}
    assert found["flipped"] == 1
    assert {name: part["pairs"] for name, part in found["by_paradigm"].items()} == {"p0": 20, "p1": 20, "p2": 20}


def test_what_differs_by_rounding_is_a_tie() -> None:
    assert wins(np.array([1e-6, -1e-6, 0.01, -0.01])).tolist() == [0.5, 0.5, 1.0, 0.0]


def test_pairs_are_read_from_files_and_cut_by_paradigm(tmp_path: Path) -> None:
    for name in ("one", "two"):
        rows = [{"sentence_good": "a b", "sentence_bad": f"b {n}", "UID": name, "field": "f"} for n in range(5)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(read_pairs(tmp_path)) == 10
    kept = read_pairs(tmp_path, 2)
    assert [pair.groups for pair in kept] == [{"field": "f", "paradigm": name} for name in ("one", "one", "two", "two")]
    (tmp_path / "bad.jsonl").write_text('{"sentence_good": "a"}\n')
    with pytest.raises(DataError, match=r"bad.jsonl:1: has no field sentence_bad"):
        read_pairs(tmp_path / "bad.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pair"):
        read_pairs(tmp_path / "empty")


def slow_trigram(documents: list[list[int]], size: int, context: tuple[int, int], token: int) -> float:
    """Return the same probability from dictionaries."""
    triples: Counter[tuple[int, ...]] = Counter()
    for document in documents:
        framed = [size, size, *document, size]
        triples.update(tuple(framed[place : place + 3]) for place in range(len(framed) - 2))

    def probability(history: tuple[int, ...]) -> float:
        order = len(history)
        follows: Counter[int] = Counter()
        for triple, count in triples.items():
            if triple[2 - order : 2] == history:
                follows[triple[2]] += count
        if order == 0:
            return (follows[token] + 1) / (follows.total() + size + 1)
        lower = probability(history[1:])
        if not follows:
            return lower
        return (follows[token] + len(follows) * lower) / (follows.total() + len(follows))

    return probability(context)


DOCUMENTS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=5)


@given(documents=DOCUMENTS, sentence=st.lists(st.integers(0, 3), max_size=5))
def test_trigrams_agree_with_their_slow_twin(documents: list[list[int]], sentence: list[int]) -> None:
    trigrams = Trigrams([np.array(document, np.int64) for document in documents], 4)
    framed = [4, 4, *sentence, 4]
    slow = sum(
        np.log(slow_trigram(documents, 4, (framed[place], framed[place + 1]), framed[place + 2]))
        for place in range(len(framed) - 2)
    )
    found = trigrams.score([np.array(sentence, np.int64), np.array([0], np.int64)])
    assert found[0] == pytest.approx(slow, abs=1e-9)


@given(documents=DOCUMENTS)
def test_what_follows_has_probability_one_in_all(documents: list[list[int]]) -> None:
    trigrams, tokens = Trigrams([np.array(document, np.int64) for document in documents], 4), np.arange(5)
    for first, second in ((4, 4), (4, 0), (1, 2), (3, 3)):
        found = trigrams._probability(np.full(5, first), np.full(5, second), tokens)
        assert found.sum() == pytest.approx(1)


def test_canaries_have_numbers_of_their_own_and_stand_in_as_many_documents_as_they_have_copies() -> None:
    made = make_canaries((1, 4), each=3)
    assert len({canary.text for canary in made}) == len(made)
    assert Counter(canary.role for canary in made) == {"planted": 6, "control": 64, "reference": 1000}
    texts = sentences(200)
    accepted = set(texts[::2])
    planted = list(plant(texts, made, lambda text: any(text.startswith(one) for one in accepted)))
    assert [text.startswith(was) for text, was in zip(planted, texts, strict=True)] == [True] * 200
    assert sum(text != was for text, was in zip(planted, texts, strict=True)) == 15
    assert all(text == was for text, was in zip(planted, texts, strict=True) if was not in accepted)
    for canary in made:
        assert sum(canary.text in text for text in planted) == canary.copies
    with pytest.raises(DataError, match="has 10 documents, too few: 5 copies are left over"):
        list(plant(texts[:10], made, lambda text: True))


def test_exposure_is_that_of_the_rank() -> None:
    references = np.arange(15.0)
    assert exposures([99.0], references)[0] == 4.0  # the likeliest of 16
    assert exposures([-1.0], references)[0] == 0.0  # the least likely
    assert exposures([7.5], references)[0] == pytest.approx(4 - np.log2(8))
    assert exposures([7.0], references)[0] == pytest.approx(4 - np.log2(8.5))  # it shares two places


def test_controls_rank_uniformly_where_nothing_is_remembered_and_remembered_ones_stand_out() -> None:
    canaries = make_canaries()
    found = memorisation(by_hash, canaries, quiet)
    p_values = [memorisation(by_hash, make_canaries(seed=seed), quiet)["control"]["uniform_p"] for seed in range(20)]
    assert kstest(p_values, "uniform").pvalue > 0.001
    for exposure in found["exposure"].values():
        assert exposure["low"] - 0.5 < found["by_chance"] < exposure["high"] + 0.5
    known = {canary.text: canary.copies for canary in canaries}

    def remembers(texts: Sequence[str], method: Method) -> list[dict[str, float]]:
        return [
            {**one, "score": one["score"] + 4 * known[text]}
            for one, text in zip(by_hash(texts, method), texts, strict=True)
        ]

    exposed = memorisation(remembers, canaries, quiet)
    values = [exposed["exposure"][str(copies)]["value"] for copies in (0, 1, 4, 16)]
    assert values == sorted(values)
    assert values[-1] > 9
    assert exposed["control"] == found["control"]
    leaked = {canary.text for canary in canaries if canary.role == "control"}

    def leaks(texts: Sequence[str], method: Method) -> list[dict[str, float]]:
        return [
            {**one, "score": one["score"] + 9 * (text in leaked)}
            for one, text in zip(by_hash(texts, method), texts, strict=True)
        ]

    assert memorisation(leaks, canaries, quiet)["control"]["uniform_p"] < 1e-6


def test_ranks_of_many_controls_are_uniform() -> None:
    chance = np.random.Generator(np.random.Philox(3))
    ranks = 2 ** (np.log2(1001) - exposures(chance.normal(size=5000), chance.normal(size=1000))) / 1001
    assert kstest(ranks, "uniform").statistic < 0.05


def test_canaries_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "canaries.jsonl"
    good = [Canary("a", "planted", 1), Canary("b", "control", 0), Canary("c", "reference", 0)]

    def write(rows: list[dict[str, object]]) -> None:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    write([canary.plain() for canary in good])
    assert read_canaries(path) == good
    for change, line in (
        ({"role": "plant"}, "role must be one of planted, control, reference, got 'plant'"),
        ({"copies": -1}, "copies must be a whole number from 0 on, got -1"),
        ({"role": "control"}, "holds no planted"),
    ):
        write([{**good[0].plain(), **change}, good[1].plain(), good[2].plain()])
        with pytest.raises(DataError, match=line):
            read_canaries(path)


def test_bits_per_character_are_sums_over_sums_and_intervals_are_over_documents() -> None:
    def per_letter(texts: Sequence[str], method: Method) -> list[dict[str, float]]:
        return [{"score": -np.log(2) * len(text) * (1 + (method == "word_l2r")), "tokens": 2.0} for text in texts]

    found = likelihood(per_letter, [["abcd", "ef"], ["g"]], quiet)
    assert (found["documents"], found["characters"], found["tokens"]) == (2, 7, 6)
    assert found["pll"]["bits_per_character"]["value"] == pytest.approx(1)
    assert found["word_l2r"]["bits_per_character"]["value"] == pytest.approx(2)
    assert found["pll"]["bits_per_character"]["n"] == 2


@given(
    st.lists(st.sampled_from(["array", "the", "incomprehensibilities", "a", ".", "[MASK]"]), max_size=30),
    st.integers(3, 9),
)
def test_pieces_hold_every_word_that_fits_in_its_order(words: list[str], longest: int) -> None:
    text = " ".join(words)
    found = pieces(READER, text, longest)
    assert all(len(READER.encode(piece, add_special_tokens=False)) <= longest for piece in found)
    fits = [word for word in words if len(READER.encode(word, add_special_tokens=False)) <= longest]
    assert " ".join(found).split() == fits


READER = plain_reader(train_tokenizer(sentences(400), TokenizerSettings(vocab_size=300)))
