"""What ``unmask.load`` returns, whatever stands behind it: every answer a model might give, refused until it can."""

# ruff: noqa: ARG002  # what refuses looks at nothing

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from unmask.corpus.tokenizer import Vocabulary
from unmask.errors import ModelError


class LoadedModel:
    """A model that is ready to answer; a pre-trained and a fine-tuned one each answer some of this."""

    info: dict[str, Any]
    """Engine, origin and shape."""
    made_for: str
    """What it answers, in words."""
    engine: Any
    """What runs the network: an Engine, or a TaskEngine where it was fine-tuned."""
    tokenizer: Tokenizer
    """Reads texts as the model is asked them: what merely says [MASK] is a mask for one that fills masks alone."""
    vocabulary: Vocabulary

    def fill(self, texts: Sequence[str], top_k: int = 5, targets: Sequence[str] | None = None) -> list[Any]:
        """Return the likeliest tokens for every mask."""
        self._refuse("fill")

    def score(self, texts: Sequence[str], method: Literal["pll", "word_l2r"] = "pll") -> list[dict[str, float]]:
        """Return the pseudo-log-likelihood of each text."""
        self._refuse("score")

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return (N, D) a vector for each text."""
        self._refuse("embed")

    def similarity(self, texts: Sequence[str], others: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return (N,) the cosines of text n and other n."""
        one, two = (np.asarray(self.embed(part), np.float64) for part in (texts, others))
        return np.asarray((one * two).sum(1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)))

    def classify(self, texts: Sequence[str], pairs: Sequence[str | None] | None = None) -> list[list[dict[str, Any]]]:
        """Return the labels of each text with their scores."""
        self._refuse("classify")

    def tag(
        self, texts: Sequence[str], words: Sequence[Sequence[tuple[int, int]]] | None = None
    ) -> list[list[dict[str, Any]]]:
        """Return the entities of each text."""
        self._refuse("tag")

    def answer(self, questions: Sequence[str], contexts: Sequence[str], top_k: int = 1) -> list[list[dict[str, Any]]]:
        """Return the answers to each question."""
        self._refuse("answer")

    def _refuse(self, what: str) -> NoReturn:
        raise ModelError(f"this model {self.made_for}, not to {what}")
