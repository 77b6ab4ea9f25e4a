"""Example fills: chosen by the text alone, of words that the model can answer, with the model's own probabilities."""

from __future__ import annotations

from typing import Any

import pytest
from tests.made_text import sentences
from tokenizers import Tokenizer

from unmask.corpus.tokenizer import TokenizerSettings, train_tokenizer
from unmask.evaluation.fills import example_fills

TEXTS = [f"{first} {second}" for first, second in zip(sentences(60), sentences(60, seed=1), strict=True)]


@pytest.fixture(scope="module", params=["wordpiece", "bpe", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    size = 400 if request.param == "bpe" else 200
    return train_tokenizer(TEXTS, TokenizerSettings(kind=request.param, vocab_size=size))


def answer(texts: list[str], targets: list[str] | None = None) -> list[Any]:
    """Stand in for a model: anything is "guess" with 0.5, a word that is asked for has a hundredth of its length."""
    if targets is None:
        return [[{"token_str": "guess", "score": 0.5}] for _ in texts]
    return [[{"token_str": word, "score": len(word.strip()) / 100} for word in targets] for _ in texts]


def test_a_hidden_word_is_one_known_token_and_has_its_own_probability(tokenizer: Tokenizer) -> None:
    made = example_fills(answer, "[MASK]", tokenizer, TEXTS, 6)
    assert len(made) == 6
    for fill in made:
        before, hidden, after = fill["pieces"]
        assert before["text"] + hidden["text"] + after["text"] in "  ".join(TEXTS)
        assert len(tokenizer.encode(f" {hidden['text']}", add_special_tokens=False)) == 1
        assert hidden["probability"] == len(hidden["text"]) / 100
        assert hidden["predictions"] == [{"token": "guess", "probability": 0.5}]


def test_the_choice_hangs_on_the_sentences_and_not_on_their_order(tokenizer: Tokenizer) -> None:
    made = example_fills(answer, "[MASK]", tokenizer, TEXTS, 6)
    assert made == example_fills(answer, "[MASK]", tokenizer, TEXTS[::-1], 6)
    assert made[:3] == example_fills(answer, "[MASK]", tokenizer, TEXTS, 3)


def test_a_word_that_the_tokenizer_does_not_know_is_not_asked_for() -> None:
    tokenizer = train_tokenizer(TEXTS, TokenizerSettings(vocab_size=200))
    assert (
        example_fills(answer, "[MASK]", tokenizer, ["In it we go to \u0434\u0435\u0440\u0435\u0432\u043e or so."], 6)
        == []
    )


def test_headings_stay_out_of_sentences_and_wrapped_lines_are_joined() -> None:
    wrapped = "The small array copies the large matrix in memory\nand returns it to a reader."
    text = f"Notes\n{wrapped}\n\nSee also\nNothing."
    tokenizer = train_tokenizer([text] * 9, TokenizerSettings(vocab_size=200))
    [fill] = example_fills(answer, "[MASK]", tokenizer, [text], 6)
    whole = "".join(piece["text"] for piece in fill["pieces"])
    assert whole == wrapped.replace("\n", " ")


def test_text_without_sentences_has_no_examples(tokenizer: Tokenizer) -> None:
    assert example_fills(answer, "[MASK]", tokenizer, ["ACGTACGTTAGC", "", "一二三四五六七八九十。"], 6) == []
