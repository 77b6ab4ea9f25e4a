"""The ends of what text can be: nothing to ask, documents of one token, documents of twenty thousand.

A vocabulary of 250,000 is in tests/integration/test_large_vocabulary.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.one_step import one_step
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.directory import Corpus
from unmask.corpus.tokenizer import SPECIAL, TokenizerSettings

NAMES = [f"w{number}" for number in range(500)]


@pytest.fixture
def corpus_of(tmp_path: Path) -> Callable[[list[str]], Corpus]:
    """Return what builds a corpus of documents, each word of which is a token."""
    vocabulary = {name: number for number, name in enumerate([*SPECIAL, *NAMES])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.WhitespaceSplit(), decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    def build(documents: list[str]) -> Corpus:
        (tmp_path / "text.txt").write_text("\n\n".join(documents))
        source = Source(name="made", where=str(tmp_path / "text.txt"))
        chosen = TokenizerSettings(path=tmp_path / "tokenizer.json")
        return build_corpus([source], tmp_path / "corpus", CorpusSettings(validation=0.3, test=0.3), chosen)

    return build


def test_nothing_asked(made_corpus: Corpus) -> None:
    step = one_step(made_corpus, "masking.mlm_probability=1e-9", "training.row_length=16")
    assert (step.loss, step.asked) == (0.0, 0.0)
    assert step.gradients
    assert step.is_finite
    assert not any(gradient.any() for gradient in step.gradients)


def test_documents_of_one_token(corpus_of: Callable[[list[str]], Corpus]) -> None:
    corpus = corpus_of(NAMES)
    assert corpus.split("train").num_tokens == corpus.split("train").num_documents > 150
    for length, rate in ((8, 0.999), (128, 0.3), (128, 0.999)):
        step = one_step(corpus, f"training.row_length={length}", f"masking.mlm_probability={rate}")
        assert step.is_finite
        assert step.asked > 0
        assert any(gradient.any() for gradient in step.gradients)


def test_documents_of_twenty_thousand_tokens(corpus_of: Callable[[list[str]], Corpus]) -> None:
    chance = np.random.default_rng(0)
    corpus = corpus_of([" ".join(chance.choice(NAMES, 20_000)) for _ in range(24)])
    assert corpus.split("train").num_tokens == 20_000 * corpus.split("train").num_documents
    for words in (["training.row_length=64"], ["training.row_length=2048", "training.batch_rows=2"]):
        step = one_step(corpus, *words, "masking.unit=span" if "=64" in words[0] else "masking.unit=token")
        assert step.is_finite
        assert step.loss / step.asked == pytest.approx(np.log(505), rel=0.05)  # it knows nothing yet
