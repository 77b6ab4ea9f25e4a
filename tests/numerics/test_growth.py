"""A grown model: one matrix still, means of the old pieces, and nothing else moved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.published import publish

from unmask.inference.resolve import resolve
from unmask.inference.torch_engine import TorchEngine, read_model
from unmask.model.growth import grown_masked_lm
from unmask.model.heads import MaskedLM

PIECES = [[20, 21, 22], [30, 31], [20, 40]]


def logits(model: MaskedLM, seed: int) -> np.ndarray:
    """Return (N, V) at a place of rows of several lengths, of tokens that every model here has."""
    chance = np.random.default_rng(seed)
    rows = [chance.integers(5, 300, size=length).astype(np.int32) for length in (1, 2, 17, 40)]
    return TorchEngine(model, pad_id=0).logits(rows, [len(row) // 2 for row in rows])


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "electra", "distilbert"])
@pytest.mark.parametrize("padding", [0, 2, 64])
def test_what_is_said_of_old_tokens_stays_to_the_bit(family: str, padding: int, tmp_path: Path) -> None:
    publish(family, tmp_path, vocab_size=300 + padding)
    found = resolve(tmp_path)
    first = found.vocabulary.size
    model = read_model(found)
    before = logits(model, 0)
    grown = grown_masked_lm(model, first, PIECES)
    after = logits(grown, 0)
    assert after.shape[1] == grown.config.vocab_size == max(first + len(PIECES), first + padding)
    assert np.array_equal(after[:, :first], before[:, :first])
    assert np.array_equal(after[:, first + len(PIECES) :], before[:, first + len(PIECES) : first + padding])
    means = np.stack([before[:, ids].mean(1) for ids in PIECES], 1)
    np.testing.assert_allclose(after[:, first : first + len(PIECES)], means, atol=2e-5 * np.abs(before).max())


def test_the_tie_holds_and_rows_are_means(tmp_path: Path) -> None:
    publish("bert", tmp_path)
    model = read_model(resolve(tmp_path))
    grown = grown_masked_lm(model, 300, PIECES)
    assert (grown.has_new_head, grown.training) == (False, False)
    names = [name for name, value in grown.named_parameters() if 303 in value.shape]
    assert names == ["model.embeddings.tok_embeddings.weight", "decoder.bias"]
    table, bias = (dict(model.named_parameters())[name] for name in names)
    torch.testing.assert_close(grown.model.embeddings.tok_embeddings.weight[300], table[20:23].mean(0))
    torch.testing.assert_close(grown.decoder.bias[301], bias[30:32].mean())
    grown.model.embeddings.tok_embeddings.weight.data[302] += 1.0  # read and written by the same storage
    assert (logits(grown, 0)[:, 302] != logits(grown_masked_lm(model, 300, PIECES), 0)[:, 302]).all()
    assert replace(grown.config, vocab_size=300) == model.config
    model.has_new_head = True
    assert grown_masked_lm(model.train(), 300, PIECES).has_new_head
