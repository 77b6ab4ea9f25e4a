"""What a pre-trained encoder can answer: fill a mask, score a text, embed a text.

What bites: text that merely says [MASK] is ordinary text everywhere but in :meth:`Predictor.fill`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders

from unmask.corpus.tokenizer import Vocabulary, parse_tokenizer
from unmask.errors import ModelError
from unmask.inference.asks import Answer, Ask, Chance, Engine, Ids, Likeliest, Mean, Question, answered
from unmask.inference.loaded import LoadedModel

_HALF: Final = "\ufffd"
"""What stands for bytes that are no whole character."""

_TOKEN_BY_TOKEN: Final = (decoders.ByteLevel, decoders.Metaspace, decoders.WordPiece)

Ranked = tuple[tuple[int, ...], float]
"""Tokens in place of a mask, and their log-probability."""


@dataclass(frozen=True, slots=True)
class Mask:
    """A hidden place of a window."""

    window: Ids
    place: int
    mask_id: int

    def filled(self, tokens: Sequence[int]) -> Ids:
        """Return the window with ``tokens`` at the place."""
        before, behind = np.split(self.window, [self.place])
        return np.concatenate([before, np.array(tokens, np.int32), behind[1:]])

    def chance(self, tokens: Sequence[int], place: int) -> Chance:
        """Return what asks for token ``place`` of ``tokens``: those before it are seen, it and the rest are hidden."""
        hidden = [*tokens[:place], *[self.mask_id] * (len(tokens) - place)]
        return Chance(self.filled(hidden), self.place + place, tokens[place])


class Predictor(LoadedModel):
    """A pre-trained model and its tokenizer, ready to fill, score and embed."""

    made_for = "was pre-trained to fill, score and embed"

    def __init__(self, engine: Engine, tokenizer: Tokenizer, vocabulary: Vocabulary, info: dict[str, Any]) -> None:
        """Build from parts; :func:`unmask.load` finds them."""
        self.info = info
        self.engine, self.vocabulary = engine, vocabulary
        self.tokenizer, self._plain = (parse_tokenizer(tokenizer.to_str()) for _ in range(2))
        self.tokenizer.encode_special_tokens, self._plain.encode_special_tokens = False, True

    @property
    def mask_token(self) -> str:
        """The text that stands for a hidden token in :meth:`fill`."""
        return str(self.tokenizer.id_to_token(self.vocabulary.mask_id))

    def fill(self, texts: Sequence[str], top_k: int = 5, targets: Sequence[str] | None = None) -> list[Any]:
        """Return the likeliest tokens for every mask.

        A text with one mask gives a list of ``top_k`` dicts (``score``, ``token``, ``token_str``, ``sequence``), a text
        with several gives such a list for each. ``targets`` limits the choice to these words; one of several tokens
        scores the product of their chances, each seeing those before it and not those behind (Kauf and Ivanova 2023),
        and has them all under ``tokens``. Raises ModelError where a text has no mask, a target can not be written in
        this vocabulary or ``top_k`` is out of range.
        """
        return self._answered(self.filling(texts, top_k, targets))

    def filling(
        self, texts: Sequence[str], top_k: int = 5, targets: Sequence[str] | None = None
    ) -> Question[list[Any]]:
        """Ask what :meth:`fill` asks."""
        if not 1 <= top_k <= self.vocabulary.size:
            raise ModelError(f"top_k must be in [1, {self.vocabulary.size}], the size of the vocabulary, got {top_k}")
        windows = self._windows(self.tokenizer, texts)
        flat: list[tuple[int, int]] = []
        for text, window in enumerate(windows):
            places = np.flatnonzero(window == self.vocabulary.mask_id)
            flat += [(text, int(place)) for place in places]
            if not len(places):
                raise ModelError(
                    f"text {text + 1} has no {self.mask_token}; write {self.mask_token} where a word is to be found"
                )
        masks = [Mask(windows[text], place, self.vocabulary.mask_id) for text, place in flat]
        if targets is None:
            found = yield [Likeliest(mask.window, mask.place, None, top_k) for mask in masks]
            ranked = [_ranked(one) for one in found]
        else:
            ranked = yield from self._among(masks, self._target_ids(targets), top_k)
        answers: list[list[list[dict[str, Any]]]] = [[] for _ in texts]
        for (text, _), mask, best in zip(flat, masks, ranked, strict=True):
            written = self._with(mask)
            answers[text].append([self._filled(written, tokens, chance) for tokens, chance in best])
        return [answer[0] if len(answer) == 1 else answer for answer in answers]

    def _among(
        self, masks: Sequence[Mask], targets: Sequence[tuple[int, ...]], top_k: int
    ) -> Question[list[list[Ranked]]]:
        """Ask how likely each of ``targets`` is at each mask, and rank them by log-probability."""
        longest = self.engine.max_length
        if any(len(mask.window) - 1 + max(map(len, targets)) > longest for mask in masks):
            raise ModelError(f"a text is longer with its target than the {longest} tokens that the model reads: cut it")
        single = np.array([target[0] for target in targets if len(target) == 1], np.int32)
        several = [target for target in targets if len(target) > 1]
        asks: list[Ask] = [Likeliest(mask.window, mask.place, single, len(single)) for mask in masks if len(single)]
        asks += [mask.chance(target, place) for mask in masks for target in several for place in range(len(target))]
        found = iter((yield asks))
        ranked: list[list[Ranked]] = [_ranked(next(found)) if len(single) else [] for _ in masks]
        for of_mask in ranked:
            of_mask += [(target, sum(next(found) for _ in target)) for target in several]
            of_mask.sort(key=lambda pair: -pair[1])
        return [of_mask[:top_k] for of_mask in ranked]

    def score(self, texts: Sequence[str], method: Literal["pll", "word_l2r"] = "pll") -> list[dict[str, float]]:
        """Return the pseudo-log-likelihood of each text in nats: every token hidden once, the logarithms added up.

        ``pll`` hides one token at a time (Salazar et al. 2020); ``word_l2r`` hides the rest of its word too (Kauf and
        Ivanova 2023), so that long words are not flattered. Not the logarithm of a probability: never put it beside a
        causal model's perplexity.
        """
        return self._answered(self.scoring(texts, method))

    def scoring(
        self, texts: Sequence[str], method: Literal["pll", "word_l2r"] = "pll"
    ) -> Question[list[dict[str, float]]]:
        """Ask what :meth:`score` asks."""
        if method not in ("pll", "word_l2r"):
            raise ModelError(f"method must be one of pll, word_l2r, got {method!r}")
        windows = self._windows(self._plain, texts)
        words = [encoding.word_ids for encoding in self._plain.encode_batch(list(texts), add_special_tokens=False)]
        asks, text_of = [], []
        for text, window in enumerate(windows):
            for place in range(1, len(window) - 1):
                hidden, end = window.copy(), place + 1
                while method == "word_l2r" and end < len(window) - 1 and words[text][end - 1] == words[text][place - 1]:
                    end += 1
                hidden[place:end] = self.vocabulary.mask_id
                asks.append(Chance(hidden, place, int(window[place])))
                text_of.append(text)
        found = yield asks
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
        return self._answered(self.embedding(texts))

    def embedding(self, texts: Sequence[str]) -> Question[npt.NDArray[np.float32]]:
        """Ask what :meth:`embed` asks."""
        vectors = yield [Mean(window) for window in self._windows(self._plain, texts)]
        return np.stack(vectors) if vectors else np.empty((0, self.engine.hidden_size), np.float32)

    def _windows(self, tokenizer: Tokenizer, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """Return [CLS] ... [SEP] of each text. Raises ModelError where one is longer than the model reads."""
        if isinstance(texts, str):
            raise ModelError("texts must be a list of texts, got one text; put it in a list")
        first, last, longest = self.vocabulary.cls_id, self.vocabulary.sep_id, self.engine.max_length
        windows = []
        for number, encoding in enumerate(tokenizer.encode_batch_fast(list(texts), add_special_tokens=False), start=1):
            if len(encoding) + 2 > longest:
                raise ModelError(f"text {number} has {len(encoding)} tokens; the model reads {longest - 2}: cut it")
            windows.append(np.array([first, *encoding.ids, last], np.int32))
        return windows

    def _target_ids(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        ids = []
        for word, encoding in zip(words, self._plain.encode_batch(list(words), add_special_tokens=False), strict=True):
            if not encoding.ids or self.vocabulary.unk_id in encoding.ids:
                raise ModelError(
                    f"target {word!r} can not be written in this vocabulary ({' '.join(encoding.tokens) or 'nothing'})"
                )
            ids.append(tuple(encoding.ids))
        if not ids:
            raise ModelError("targets must name a word at least, got none; leave it out to choose among all")
        return ids

    def _filled(
        self, written: Callable[[Sequence[int]], str], tokens: tuple[int, ...], chance: float
    ) -> dict[str, Any]:
        """Return one answer for a mask; ``chance`` is a log-probability."""
        decoded = self.tokenizer.decode(list(tokens))
        return {
            "score": math.exp(chance),
            "token": tokens[0],
            "token_str": decoded.strip() or decoded,  # a token may be a space
            "sequence": written(tokens),
            **({"tokens": list(tokens)} if len(tokens) > 1 else {}),
        }

    def _with(self, mask: Mask) -> Callable[[Sequence[int]], str]:
        """Return what writes the text of ``mask`` with tokens in its place.

        Where a token is written by what it is and whether it is the first, the text around the place is decoded once
        for all that may stand there; but for a character of several bytes that the place cuts in two.
        """
        if isinstance(self.tokenizer.decoder, _TOKEN_BY_TOKEN) and mask.place > 1:
            last = mask.window[mask.place - 1 : mask.place].tolist()
            start = len(self._text(last))
            before = self._text(mask.window[1 : mask.place].tolist())
            behind = self._text(last + mask.window[mask.place + 1 : -1].tolist())[start:]
            if not before.endswith(_HALF) and not behind.startswith(_HALF):
                return lambda tokens: before + self._text([*last, *tokens])[start:] + behind
        return lambda tokens: self._text(mask.filled(tokens)[1:-1].tolist())

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False))

    def _answered(self, question: Question[Answer]) -> Answer:
        return answered(question, self.engine, self.vocabulary.ordinary_ids)


def _ranked(likeliest: tuple[Ids, npt.NDArray[np.float64]]) -> list[Ranked]:
    """Return single tokens and their log-probabilities, as an engine answers them, in pairs."""
    return [((token,), chance) for token, chance in zip(*(part.tolist() for part in likeliest), strict=True)]
