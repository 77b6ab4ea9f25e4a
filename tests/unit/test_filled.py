"""What is written of a text with tokens in the place of its mask: the same as if all of it were decoded."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.made_text import sentences

from unmask.corpus.tokenizer import TokenizerSettings, train_tokenizer, vocabulary_of
from unmask.inference.predictor import Mask, Predictor

KINDS = ("wordpiece", "bpe", "unigram", "characters")
ODD = ["naïve café 東京 😀 👩‍👩‍👧 don't , no . \ufffd \u0301 [MASK] ##ing ▁a Ġb"]


@pytest.fixture(scope="module")
def predictors() -> dict[str, Predictor]:
    texts = [*sentences(200), *ODD * 20]
    found = {}
    for kind in KINDS:
        tokenizer = train_tokenizer(texts, TokenizerSettings(kind=cast("Any", kind), vocab_size=400))
        found[kind] = Predictor(cast("Any", None), tokenizer, vocabulary_of(tokenizer), {})
    return found


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_text_around_a_mask_may_be_decoded_once(
    kind: str, data: st.DataObject, predictors: dict[str, Predictor]
) -> None:
    predictor = predictors[kind]
    known = predictor.vocabulary
    ids = st.integers(0, known.size - 1)  # any bytes, halves of characters among them
    before, tokens, behind = (data.draw(st.lists(ids, min_size=least, max_size=6)) for least in (0, 1, 0))
    window = np.array([known.cls_id, *before, known.mask_id, *behind, known.sep_id], np.int32)
    written = predictor._with(Mask(window, 1 + len(before), known.mask_id))
    assert written(tokens) == predictor.tokenizer.decode([*before, *tokens, *behind], skip_special_tokens=False)
