"""What a pre-trained encoder can answer: fill a mask, score a text, embed a text.

What bites: text that merely says [MASK] is ordinary text everywhere but in :meth:`Predictor.fill`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from unmask.corpus.tokenizer import Vocabulary, parse_tokenizer
from unmask.errors import ModelError
from unmask.inference.loaded import LoadedModel

Windows = Sequence[npt.NDArray[np.int32]]


class Engine(Protocol):
    """What runs the network."""

    hidden_size: int
    max_length: int

    def logits(self, windows: Windows, asked: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return (N, V) logits at one place of each window."""

    def states(self, windows: Windows) -> list[npt.NDArray[np.float32]]:
        """Return the last states (L, D) of each window."""


class Predictor(LoadedModel):
    """A pre-trained model and its tokenizer, ready to fill, score and embed."""

    made_for = "was pre-trained to fill, score and embed"

    def __init__(self, engine: Engine, tokenizer: Tokenizer, vocabulary: Vocabulary, info: dict[str, Any]) -> None:
        """Build from parts; :func:`unmask.load` finds them."""
        self.info = info
        self.engine, self._vocabulary = engine, vocabulary
        self._with_masks, self._plain = (parse_tokenizer(tokenizer.to_str()) for _ in range(2))
        self._with_masks.encode_special_tokens, self._plain.encode_special_tokens = False, True

    @property
    def mask_token(self) -> str:
        """The text that stands for a hidden token in :meth:`fill`."""
        return str(self._with_masks.id_to_token(self._vocabulary.mask_id))

    def fill(self, texts: Sequence[str], top_k: int = 5, targets: Sequence[str] | None = None) -> list[Any]:
        """Return the likeliest tokens for every mask.

        A text with one mask gives a list of ``top_k`` dicts (``score``, ``token``, ``token_str``, ``sequence``), a text
        with several gives such a list for each. ``targets`` limits the choice to words of one token. Raises ModelError
        where a text has no mask, a target is not one token or ``top_k`` is out of range.
        """
        if not 1 <= top_k <= self._vocabulary.size:
            raise ModelError(f"top_k must be in [1, {self._vocabulary.size}], the size of the vocabulary, got {top_k}")
        windows = self._windows(self._with_masks, texts)
        places = [np.flatnonzero(window == self._vocabulary.mask_id) for window in windows]
        for number, found in enumerate(places, start=1):
            if not len(found):
                raise ModelError(
                    f"text {number} has no {self.mask_token}; write {self.mask_token} where a word is to be found"
                )
        choice = self._vocabulary.ordinary_ids if targets is None else self._single_tokens(targets)
        flat = [(text, int(place)) for text, found in enumerate(places) for place in found]
        logits = self.engine.logits([windows[text] for text, _ in flat], [place for _, place in flat])
        answers: list[list[list[dict[str, Any]]]] = [[] for _ in texts]
        for (text, place), row in zip(flat, logits, strict=True):
            answers[text].append(self._best(windows[text], place, row, choice, top_k))
        return [answer[0] if len(answer) == 1 else answer for answer in answers]

    def score(self, texts: Sequence[str], method: Literal["pll", "word_l2r"] = "pll") -> list[dict[str, float]]:
        """Return the pseudo-log-likelihood of each text in nats: every token hidden once, the logarithms added up.

        ``pll`` hides one token at a time (Salazar et al. 2020); ``word_l2r`` hides the rest of its word too (Kauf and
        Ivanova 2023), so that long words are not flattered. Not the logarithm of a probability: never put it beside a
        causal model's perplexity.
        """
        if method not in ("pll", "word_l2r"):
            raise ModelError(f"method must be one of pll, word_l2r, got {method!r}")
        windows = self._windows(self._plain, texts)
        words = [encoding.word_ids for encoding in self._plain.encode_batch(list(texts), add_special_tokens=False)]
        masked, asked, truth, text_of = [], [], [], []
        for text, window in enumerate(windows):
            for place in range(1, len(window) - 1):
                hidden, end = window.copy(), place + 1
                while method == "word_l2r" and end < len(window) - 1 and words[text][end - 1] == words[text][place - 1]:
                    end += 1
                hidden[place:end] = self._vocabulary.mask_id
                masked.append(hidden)
                asked.append(place)
                truth.append(int(window[place]))
                text_of.append(text)
        logits = self.engine.logits(masked, asked)
        found = _log_softmax(logits)[np.arange(len(truth)), truth]
        where = np.array(text_of, np.int64)
        totals = np.bincount(where, weights=found, minlength=len(texts))
        counts = np.bincount(where, minlength=len(texts))
        return [
            {
                "score": float(total),
                "tokens": int(count),
                "bits_per_character": -float(total) / math.log(2) / max(1, len(text)),
            }
            for text, total, count in zip(texts, totals, counts, strict=True)
        ]

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return (N, D) float32: the mean of the last states over a text's window, special tokens included.

        That is what sentence-transformers computes of the exported model.
        """
        vectors = [state.mean(0) for state in self.engine.states(self._windows(self._plain, texts))]
        return np.stack(vectors) if vectors else np.empty((0, self.engine.hidden_size), np.float32)

    def _windows(self, tokenizer: Tokenizer, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """Return [CLS] ... [SEP] of each text. Raises ModelError where one is longer than the model reads."""
        if isinstance(texts, str):
            raise ModelError("texts must be a list of texts, got one text; put it in a list")
        first, last, longest = self._vocabulary.cls_id, self._vocabulary.sep_id, self.engine.max_length
        windows = []
        for number, encoding in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False), start=1):
            if len(encoding) + 2 > longest:
                raise ModelError(f"text {number} has {len(encoding)} tokens; the model reads {longest - 2}: cut it")
            windows.append(np.array([first, *encoding.ids, last], np.int32))
        return windows

    def _single_tokens(self, words: Sequence[str]) -> npt.NDArray[np.int32]:
        ids = []
        for word, encoding in zip(words, self._plain.encode_batch(list(words), add_special_tokens=False), strict=True):
            if len(encoding) != 1 or encoding.ids[0] == self._vocabulary.unk_id:
                raise ModelError(
                    f"target {word!r} is not one token of this model ({' '.join(encoding.tokens) or 'nothing'})"
                )
            ids.append(encoding.ids[0])
        return np.array(ids, np.int32)

    def _best(
        self,
        window: npt.NDArray[np.int32],
        place: int,
        logits: npt.NDArray[np.float32],
        choice: npt.NDArray[np.int32],
        top_k: int,
    ) -> list[dict[str, Any]]:
        probability = np.exp(_log_softmax(logits[None])[0])[choice]
        answers = []
        for best in np.argsort(-probability, kind="stable")[:top_k]:
            token, filled = int(choice[best]), window[1:-1].copy()
            filled[place - 1] = token
            decoded = self._with_masks.decode([token])
            answers.append(
                {
                    "score": float(probability[best]),
                    "token": token,
                    "token_str": decoded.strip() or decoded,  # a token may be a space
                    "sequence": self._with_masks.decode(filled.tolist(), skip_special_tokens=False),
                }
            )
        return answers


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
