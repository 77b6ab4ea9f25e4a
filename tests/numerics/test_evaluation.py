"""Evaluation is frozen, agrees with a slow twin, and knows its unigram line."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unmask.batch import IGNORE_INDEX, KINDS, Batch
from unmask.corpus.directory import Corpus
from unmask.evaluation.masked import Scores, figures, freeze, means, score_frozen, unigram_line


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
    found = figures(score_frozen(Unigram(frozen.unigram), frozen), frozen)
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
        assert scores.rank[at] == int((logits > logits[label]).sum())
        assert scores.kind[at] == frozen.masked.kind[row, place]
        assert scores.document[at] == frozen.rows.document[row, place]
        at += 1
    assert at == len(scores.loss)


def test_a_category_that_was_never_asked_has_no_figure(made_corpus: Corpus) -> None:
    frozen = freeze(made_corpus, 5)
    one = np.ones(1)
    scores = Scores(one, np.zeros(1, np.int64), one, np.zeros(1, np.int8), np.zeros(1, np.uint64))
    assert figures(scores, frozen)["cross_entropy"]["random"] is None
    assert means(scores)["kept"] is None
    assert means(scores)["masked"] == 1


def test_the_model_is_left_in_the_mode_it_was_in(made_corpus: Corpus) -> None:
    frozen = freeze(made_corpus, 5)
    for training in (True, False):
        model = Seer(made_corpus.vocabulary.size).train(training)
        score_frozen(model, frozen)
        assert model.training is training
