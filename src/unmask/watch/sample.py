"""What is measured on a sample of the texts: how well hidden tokens are guessed, and the vector that stands for a text.

Both are of the first WINDOW tokens. The masks follow from the tokens alone, so a text is measured under the same masks
by every model that cuts it the same way. Where the model and the frozen one it came from both do worse, the traffic has
moved; where the model alone does, it has forgotten. What bites: a token that is unknown can not be guessed, and neither
it nor its characters are counted: text of unknown words is told by ``unknown_share``, not by this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from unmask.inference.asks import Ask, Chances, Ids, Mean, Score
from unmask.inference.task_predictor import TaskPredictor
from unmask.masking import noise
from unmask.watch.signals import Reader
from unmask.watch.window import Floats, Vectors

WINDOW: Final = 128
"""Tokens of a text that are looked at, special ones included."""

HIDDEN_SHARE: Final = 0.15
SEED: Final = 0x7761746368

Asking = Callable[[Sequence[Ask]], list[Any] | None]
"""Has the network of one model asked; None where it had no time."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first tokens of a text."""

    window: Ids
    """(L,) special tokens included."""
    known: npt.NDArray[np.bool_]
    """(L,) which tokens can be guessed."""
    characters: int
    """How many characters the known ones stand for, spaces between them included."""


def beginning(reader: Reader, text: str) -> Beginning:
    """Return the first WINDOW tokens of ``text``, or as many as the model reads."""
    encoding, roles = reader.tokenizer.encode(text, add_special_tokens=False), reader.vocabulary
    room = min(WINDOW - 2, len(encoding) if reader.room is None else reader.room)
    ids, offsets = np.array(encoding.ids[:room], np.int32), encoding.offsets[:room]
    known = ~np.isin(ids, roles.special_ids)
    end = len(text) if len(encoding) <= room else offsets[-1][1]
    lost = sum(last - first for (first, last), is_known in zip(offsets, known, strict=True) if not is_known)
    window = np.concatenate([[roles.cls_id], ids, [roles.sep_id]]).astype(np.int32)
    return Beginning(window, np.concatenate([[False], known, [False]]), end - lost)


def hidden(of: Beginning, mask_id: int) -> Chances | None:
    """Return what asks for the tokens of ``of`` that are hidden: each by HIDDEN_SHARE, one at least.

    None where no token is known.
    """
    candidates = np.flatnonzero(of.known)
    if not len(candidates):
        return None
    name = np.frombuffer(blake2b(of.window.tobytes(), digest_size=8).digest(), "<u8")
    chance = noise.uniform(noise.words(noise.document_keys(SEED, 0, name), candidates, noise.HIDDEN))
    chosen = candidates[chance < max(HIDDEN_SHARE, np.nextafter(chance.min(), 1))]
    window = of.window.copy()
    window[chosen] = mask_id
    return Chances(window, chosen.astype(np.int32), of.window[chosen])


@dataclass(frozen=True, slots=True)
class Asked:
    """A model, and how its network is asked."""

    reader: Reader
    ask: Asking

    @property
    def fills(self) -> bool:
        """Whether it guesses hidden tokens."""
        return self.reader.block is None

    @property
    def embeds(self) -> bool:
        """Whether it gives vectors."""
        return self.reader.block is None or self.reader.block.name == "embed"

    def bits(self, beginnings: Sequence[Beginning]) -> Floats | None:
        """Return (N,) bits per character: the mean loss of the hidden tokens, for each token there is, by characters.

        NaN where nothing could be hidden; None where the network had no time.
        """
        asks = [hidden(one, self.reader.vocabulary.mask_id) for one in beginnings]
        found = self.ask([one for one in asks if one is not None])
        if found is None:
            return None
        bits, each = np.full(len(beginnings), np.nan), iter(found)
        for n, (one, asked) in enumerate(zip(beginnings, asks, strict=True)):
            if asked is not None:
                nats = -float(np.mean(next(each))) * int(one.known.sum())
                bits[n] = nats / math.log(2) / max(1, one.characters)
        return bits

    def vectors(self, texts: Sequence[str], beginnings: Sequence[Beginning]) -> Vectors | None:
        """Return (N, D) the vectors of ``texts``, or None where the network had no time."""
        model = self.reader.model
        asks: list[Ask] = [Mean(one.window) for one in beginnings]
        if isinstance(model, TaskPredictor):
            asks = [Score(window) for window in model.maker.texts(texts)]
        found = self.ask(asks)
        return None if found is None else np.asarray(np.stack(found), np.float32)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of N texts: (N,) bits of both models, NaN where there are none, and vectors (N, D)."""

    live_bits: Floats
    base_bits: Floats
    embedding: Vectors | None


@dataclass(frozen=True, slots=True)
class Sampler:
    """Measures texts by the model that answers and, where there is one, by the frozen one that it came from."""

    live: Asked
    base: Asked | None = None

    @property
    def measures(self) -> bool:
        """Whether there is anything to measure: a classifier alone guesses nothing and gives no vectors."""
        return self.base is not None or self.live.embeds

    def measure(self, texts: Sequence[str]) -> Measured | None:
        """Return what is measured of ``texts``, or None where a network had no time. One text at least."""
        bits: list[Floats] = []
        embedding: Vectors | None = None
        for model in (self.live, self.base):
            bits.append(np.full(len(texts), np.nan))
            if model is None or not model.embeds:
                continue
            beginnings = [beginning(model.reader, text) for text in texts]
            if model.fills:
                if (found := model.bits(beginnings)) is None:
                    return None
                bits[-1] = found
            if model is self.base or self.base is None:  # the frozen one's vectors stay what they are
                embedding = model.vectors(texts, beginnings)
                if embedding is None:
                    return None
        return Measured(bits[0], bits[1], embedding)
