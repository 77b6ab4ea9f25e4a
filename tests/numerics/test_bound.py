"""Nats of whole texts: exact for who reads on, a bound for who fills, and both at the entropy for the best model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unmask.batch import Batch
from unmask.cli.limit import RECIPE, source_corpus
from unmask.cli.planning import PretrainSettings
from unmask.corpus.directory import Corpus
from unmask.errors import CheckFailed
from unmask.evaluation.bound import require_possible_text, text_likelihood
from unmask.evaluation.limit import KnownSource, best_answers, known_source
from unmask.evaluation.masked import figures, freeze, score_frozen
from unmask.model.config import EncoderConfig, ModelSettings, resolve
from unmask.oracle.posterior import causal_losses, emission_rule, onward, posterior
from unmask.oracle.sources import hmm
from unmask.settings import read_settings

SYMBOLS = 9


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Return a corpus of 600 texts of a hidden Markov model of nine symbols."""
    chosen = read_settings(PretrainSettings, defaults=RECIPE, overrides=["corpus.validation=0.3"])
    known = hmm(SYMBOLS, np.random.Generator(np.random.Philox(2)))
    return source_corpus(known, "hmm", 600, tmp_path_factory.mktemp("known"), chosen, lambda *_: None)


@pytest.fixture(scope="module")
def known(corpus: Corpus) -> KnownSource:
    found = known_source(corpus)
    assert found is not None
    return found


class Best(nn.Module):
    """The best possible model of a source, behind the face of a network: it answers from what a batch shows."""

    def __init__(self, known: KnownSource, corpus: Corpus, *, is_causal: bool, trust: float = 1.0) -> None:
        super().__init__()
        self.known, self.vocabulary, self.trust = known, corpus.vocabulary, trust
        shape = resolve(ModelSettings(preset="tiny"), corpus.vocabulary.size, corpus.vocabulary.pad_id)
        self.config: EncoderConfig = replace(shape, is_causal=is_causal, predicts_next=is_causal)
        self.leak = 0.0

    def forward(self, batch: Batch) -> Tensor:
        symbol_of = np.full(self.vocabulary.size, -1)
        symbol_of[self.known.token_ids] = np.arange(SYMBOLS)
        shown = symbol_of[batch.input_ids[:, 1:-1].numpy()]
        hides = emission_rule(rate=0.5, mask=1, random=0, pool=SYMBOLS)
        source = self.known.source
        answers = onward(source, shown) if self.config.is_causal else posterior(source, shown, hides)
        found = np.zeros((*batch.input_ids.shape, self.vocabulary.size))
        first = 0 if self.config.is_causal else 1  # the place before tells of the next
        found[:, first : first + shown.shape[1], self.known.token_ids] = np.nan_to_num(answers) ** self.trust
        logits = torch.from_numpy(found).flatten(0, 1)[batch.asked].log().clamp(min=-99)
        return logits + self.leak * nn.functional.one_hot(batch.targets.clamp(min=0), logits.shape[1])


def test_read_on_the_nats_are_those_of_the_texts_themselves(corpus: Corpus, known: KnownSource) -> None:
    text = text_likelihood(Best(known, corpus, is_causal=True), corpus, 1000)  # type: ignore[arg-type]
    rows = corpus.rows(128, split="validation").gather(np.arange(corpus.rows(128, split="validation").num_rows))
    symbol_of = {int(token): symbol for symbol, token in enumerate(known.token_ids)}
    texts = np.array([[symbol_of[int(token)] for token in row[1:-1]] for row in rows.input_ids])
    expected = causal_losses(known.source, texts).mean()
    assert text["is_exact"]
    for name in ("nats_per_token", "entropy"):
        assert text[name]["value"] == pytest.approx(expected, abs=1e-6)
    assert text["above"]["value"] == pytest.approx(0, abs=1e-6)
    bits = text["bits_per_character"]["value"]
    described = corpus.manifest.splits["validation"]
    assert bits == pytest.approx(expected / np.log(2) * described["tokens"] / described["characters"])
    assert text["documents"] == len(rows.input_ids)
    require_possible_text(text)


def test_the_bound_of_the_best_model_is_the_entropy(corpus: Corpus, known: KnownSource) -> None:
    text = text_likelihood(Best(known, corpus, is_causal=False), corpus, 1000)  # type: ignore[arg-type]
    assert not text["is_exact"]
    assert abs(text["above"]["value"]) < 3 * text["above"]["standard_error"]
    assert text["above"]["standard_error"] < 0.02 * text["entropy"]["value"]
    require_possible_text(text)


def test_a_worse_model_has_a_higher_bound_and_a_leak_is_called_a_bug(corpus: Corpus, known: KnownSource) -> None:
    worse = text_likelihood(Best(known, corpus, is_causal=False, trust=0.3), corpus, 1000)  # type: ignore[arg-type]
    assert worse["above"]["value"] > 6 * worse["above"]["standard_error"]
    for is_causal in (False, True):
        leaky = Best(known, corpus, is_causal=is_causal)
        leaky.leak = 1.0
        with pytest.raises(CheckFailed, match="less than its source can"):
            require_possible_text(text_likelihood(leaky, corpus, 1000))  # type: ignore[arg-type]


def test_the_limit_of_who_reads_on_is_what_stands_before_alone(corpus: Corpus, known: KnownSource) -> None:
    best = Best(known, corpus, is_causal=True)
    frozen = freeze(corpus, 1000, config=best.config)
    hidden = freeze(corpus, 1000)
    assert frozen.fingerprint != hidden.fingerprint
    assert np.array_equal(frozen.masked.labels, hidden.masked.labels)
    assert np.array_equal(frozen.masked.input_ids, frozen.rows.input_ids)
    mlm = figures(score_frozen(best, frozen), frozen)
    assert mlm["limit"]["captured"]["value"] == pytest.approx(1, abs=1e-6)
    assert mlm["cross_entropy"]["masked"]["value"] == pytest.approx(mlm["limit"]["cross_entropy"]["masked"]["value"])
    assert mlm["cross_entropy"]["kept"] is None
    rows, masked = frozen.rows, frozen.masked
    answers = best_answers(known, rows, masked, None, corpus.vocabulary)
    assert np.allclose(answers.sum(1), 1)
