"""Evaluation is frozen, agrees with a slow twin, and knows its unigram line."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unmask.batch import IGNORE_INDEX, KINDS, MASKED, Batch
from unmask.corpus.directory import Corpus
from unmask.evaluation.masked import Scores, by_frequency, figures, freeze, means, score_frozen, unigram_line


class Unigram(nn.Module):
    """Answers every position by frequency alone."""

    def __init__(self, line: np.ndarray) -> None:
        super().__init__()
        self.logits = -torch.from_numpy(line)

    def forward(self, batch: Batch) -> Tensor:
        return self.logits.expand(len(batch.asked), -1)


class Seer(nn.Module):
    """Knows the answer, and says so with odds of e**10 against each other token."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, batch: Batch) -> Tensor:
        return 10.0 * nn.functional.one_hot(batch.targets.clamp(min=0), self.size)


def test_the_frozen_set_never_changes_and_has_a_name(made_corpus: Corpus) -> None:
    one, two, other = freeze(made_corpus, 20), freeze(made_corpus, 20), freeze(made_corpus, 10)
    assert np.array_equal(one.masked.input_ids, two.masked.input_ids)
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert (one.num_documents, other.num_documents) == (20, 10)
    assert freeze(made_corpus, 20, "test").fingerprint != one.fingerprint
    share = (one.masked.labels != IGNORE_INDEX).sum() / (~one.rows.special).sum()
    assert 0.1 < share < 0.2
    assert one.rows.input_ids.shape[1] == 128


def test_guessing_by_frequency_scores_the_unigram_line(made_corpus: Corpus) -> None:
    frozen = freeze(made_corpus, 25)
    found = figures(score_frozen(Unigram(unigram_line(frozen.counts)), frozen), frozen)
    for name in (*KINDS, "all"):
        assert found["cross_entropy"][name]["value"] == pytest.approx(found["unigram"][name]["value"], rel=1e-5)
    assert found["gap"]["value"] == pytest.approx(0, abs=1e-5)
    assert found["gap"]["low"] <= 1e-5


def test_knowing_the_answer_scores_what_it_must(made_corpus: Corpus) -> None:
    frozen = freeze(made_corpus, 25)
    found = figures(score_frozen(Seer(made_corpus.vocabulary.size), frozen), frozen)
    expected = math.log(1 + (made_corpus.vocabulary.size - 1) * math.exp(-10))
    assert found["cross_entropy"]["masked"]["value"] == pytest.approx(expected, rel=1e-4)
    assert found["accuracy"]["masked"]["1"]["value"] == 1
    assert found["cross_entropy"]["masked"]["n"] <= 25


def test_a_constant_model_gets_nothing_right(made_corpus: Corpus) -> None:
    frozen = freeze(made_corpus, 10)
    scores = score_frozen(Unigram(np.zeros(made_corpus.vocabulary.size)), frozen)
    assert figures(scores, frozen)["accuracy"]["masked"]["5"]["value"] == 0


def test_the_unigram_line_in_numbers_that_are_easy_to_check() -> None:
    assert unigram_line(np.array([0, 2, 5])).tolist() == pytest.approx(
        [math.log(10), math.log(10 / 3), math.log(10 / 6)]
    )


def test_scores_agree_with_a_slow_twin_position_by_position(made_corpus: Corpus) -> None:
    frozen = freeze(made_corpus, 12)
    torch.manual_seed(0)
    table = torch.randn(made_corpus.vocabulary.size, made_corpus.vocabulary.size)

    class ByToken(nn.Module):
        def forward(self, batch: Batch) -> Tensor:
            return table[batch.input_ids.flatten()[batch.asked]]

    scores, at = score_frozen(ByToken(), frozen), 0
    for row, place in np.ndindex(frozen.masked.labels.shape):
        label = int(frozen.masked.labels[row, place])
        if label == IGNORE_INDEX:
            continue
        logits = table[int(frozen.masked.input_ids[row, place])].double()
        assert scores.loss[at] == pytest.approx(float(torch.logsumexp(logits, 0) - logits[label]), rel=1e-5)
        assert scores.rank[at] == int((logits >= logits[label]).sum()) - 1
        assert scores.kind[at] == frozen.masked.kind[row, place]
        assert scores.document[at] == frozen.rows.document[row, place]
        at += 1
    assert at == len(scores.loss)


def test_a_category_that_was_never_asked_has_no_figure(made_corpus: Corpus) -> None:
    frozen = freeze(made_corpus, 5)
    one = np.ones(1)
    zero = np.zeros(1, np.int64)
    scores = Scores(
        loss=one, rank=zero, unigram=one, count=zero, kind=np.zeros(1, np.int8), document=np.zeros(1, np.uint64)
    )
    assert figures(scores, frozen)["cross_entropy"]["random"] is None
    assert means(scores)["kept"] is None
    assert means(scores)["masked"] == 1


def test_accuracy_by_frequency_agrees_with_a_slow_twin() -> None:
    """Two thousand made positions against a loop; every [MASK] position is in one bucket."""
    random = np.random.default_rng(0)
    size = 2000
    scores = Scores(
        loss=random.exponential(size=size),
        rank=random.integers(8, size=size),
        unigram=random.exponential(size=size),
        count=(10 ** random.uniform(-1, 4.5, size=size)).astype(np.int64),
        kind=random.integers(3, size=size).astype(np.int8),
        document=random.integers(40, size=size).astype(np.uint64),
    )
    ends: dict[str, tuple[float, float]] = {
        "0": (0, 0),
        "1 to 9": (1, 9),
        "10 to 99": (10, 99),
        "100 to 999": (100, 999),
    }
    ends |= {"1,000 to 9,999": (1_000, 9_999), "10,000 or more": (10_000, math.inf)}
    found = by_frequency(scores, scores.kind == MASKED)
    assert [bucket["bucket"] for bucket in found] == list(ends)
    for bucket in found:
        low, high = ends[bucket["bucket"]]
        mine = [place for place in range(size) if scores.kind[place] == MASKED and low <= scores.count[place] <= high]
        assert bucket["positions"] == len(mine) > 0
        for top in (1, 5):
            right = sum(int(scores.rank[place]) < top for place in mine) / len(mine)
            figure = bucket["accuracy"][str(top)]
            assert figure["value"] == pytest.approx(right)
            assert figure["low"] <= right <= figure["high"]
        assert bucket["cross_entropy"]["value"] == pytest.approx(np.mean(scores.loss[mine]))
        assert bucket["unigram"]["value"] == pytest.approx(np.mean(scores.unigram[mine]))
    assert sum(bucket["positions"] for bucket in found) == (scores.kind == MASKED).sum()


def test_the_counts_are_those_of_the_training_text(made_corpus: Corpus) -> None:
    frozen = freeze(made_corpus, 25)
    found = figures(score_frozen(Seer(made_corpus.vocabulary.size), frozen), frozen)
    tokens = np.concatenate([np.asarray(shard.tokens) for shard in made_corpus.split("train").shards])
    truth = frozen.masked.labels[frozen.masked.kind == MASKED]
    rare = sum(10 <= int((tokens == token).sum()) < 100 for token in truth)
    assert rare == next(b["positions"] for b in found["accuracy_by_frequency"] if b["bucket"] == "10 to 99")
    assert found["positions"]["masked"] == len(truth)


def test_the_model_is_left_in_the_mode_it_was_in(made_corpus: Corpus) -> None:
    frozen = freeze(made_corpus, 5)
    for training in (True, False):
        model = Seer(made_corpus.vocabulary.size).train(training)
        score_frozen(model, frozen)
        assert model.training is training
