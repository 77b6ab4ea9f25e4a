"""Scores of sentences equal those of minicons, in both forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from minicons import scorer
from tests.made_text import sentences
from tests.published import publish
from transformers import PreTrainedTokenizerFast

import unmask
from unmask.evaluation.likelihood import Method

SENTENCES = 200
FURTHEST = 1e-4  # nats
FORMS: dict[Method, str] = {"pll": "original", "word_l2r": "within_word_l2r"}


def glued(sentence: str, number: int) -> str:
    """Return ``sentence`` with two of its words written as one, so that it is one of many pieces."""
    words = sentence.split()
    place = number % (len(words) - 2)
    return " ".join([*words[:place], words[place] + words[place + 1].lower(), *words[place + 2 :]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bert")


@pytest.fixture(scope="module")
def theirs(folder: Path) -> scorer.MaskedLMScorer:
    model = publish("bert", folder)
    roles = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    named = {f"{role}_token": token for role, token in roles.items()}
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_file=str(folder / "tokenizer.json"), **named
    )
    return scorer.MaskedLMScorer(model, "cpu", tokenizer=tokenizer)


@pytest.mark.parametrize("form", FORMS)
def test_both_forms_equal_minicons(theirs: scorer.MaskedLMScorer, folder: Path, form: Method) -> None:
    texts = [glued(text, number) for number, text in enumerate(sentences(SENTENCES, seed=3))]
    expected: list[float] = []
    for first in range(0, SENTENCES, 20):
        part = theirs.tokenizer(texts[first : first + 20], padding=True)  # its own call is gone from transformers 5
        expected += theirs.sequence_score(part, reduction=lambda logs: logs.sum().item(), PLL_metric=FORMS[form])
    found = [answer["score"] for answer in unmask.load(folder).score(texts, form)]
    assert np.abs(np.array(found) - expected).max() < FURTHEST
    assert np.std(found) > 1  # they are not all alike


def test_the_two_forms_differ_on_these_sentences(theirs: scorer.MaskedLMScorer, folder: Path) -> None:
    texts = [glued(text, number) for number, text in enumerate(sentences(20, seed=3))]
    model = unmask.load(folder)
    one, other = ([answer["score"] for answer in model.score(texts, form)] for form in FORMS)
    assert sum(abs(a - b) > 10 * FURTHEST for a, b in zip(one, other, strict=True)) >= 15
