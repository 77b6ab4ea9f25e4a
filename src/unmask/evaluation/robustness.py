"""What errors in the text cost a model: the slope of its figure per per cent of characters that are wrong.

For a language model the question stays the same at every rate: whole words are hidden and never touched, all else gets
errors, and the loss at the hidden words is compared word by word with that in clean text. What bites: text with errors
has other tokens and more of them, so a loss averaged over its own tokens could not be compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from unmask.batch import IGNORE_INDEX, Batch, collate
from unmask.corpus.documents import document_id
from unmask.corpus.tokenizer import Vocabulary
from unmask.evaluation.asking import asked_logits
from unmask.evaluation.corruption import CORRUPTIONS, Kind, corrupted
from unmask.masking import noise
from unmask.model.heads import MaskedLM
from unmask.objectives import cross_entropies
from unmask.stats.figure import Combine, Floats, bootstrap, mean_of
from unmask.tasks.block import TaskName
from unmask.tasks.examples import AnswerExample, ClassifyExample, EmbedExample, TagExample

RATES: Final = (0.01, 0.02, 0.05, 0.1)
HIDDEN: Final = 0.15
"""Share of the words that are asked for."""
ROWS_AT_ONCE = 32
_WORD = re.compile(r"\S+")

Span = tuple[int, int]
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A text with words to ask for."""

    text: str
    document: int
    words: tuple[Span, ...]


def asked_words(documents: Sequence[Sequence[str]], seed: int = 0) -> list[Asked]:
    """Return the pieces of ``documents`` with HIDDEN of their words to ask for; which ones hangs on the text alone."""
    found = []
    for number, pieces in enumerate(documents):
        for piece in pieces:
            name = np.frombuffer(document_id(piece)[:8], "<u8").astype(np.uint64)
            spans = [word.span() for word in _WORD.finditer(piece)]
            chance = noise.words(noise.document_keys(seed, 0, name), np.arange(len(spans)), noise.FREE)
            chosen = noise.uniform(chance) < HIDDEN
            words = tuple(span for span, hidden in zip(spans, chosen, strict=True) if hidden)
            if words:
                found.append(Asked(piece, number, words))
    return found


@dataclass(frozen=True, slots=True)
class _Hidden:
    """A window with words hidden: what each hidden place should be, and which word it belongs to (-1 nowhere)."""

    input_ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    word: npt.NDArray[np.int32]


class MaskedRobustness:
    """Asks a language model for the same words in clean text and in text with errors."""

    def __init__(self, model: MaskedLM, tokenizer: Tokenizer, vocabulary: Vocabulary, longest: int) -> None:
        """Build from parts; ``tokenizer`` reads special tokens as plain text, ``longest`` is the longest row."""
        self._model, self._tokenizer, self._vocabulary, self._longest = model, tokenizer, vocabulary, longest

    def measure(self, documents: Sequence[Sequence[str]], told: Told) -> dict[str, Any]:
        """Return nats per hidden token, clean and by kind and rate, and the slopes, with intervals over documents."""
        asked = asked_words(documents)
        clean = self._losses(asked, None, 0.0)
        kinds, total = {}, len(CORRUPTIONS) * len(RATES)
        for number, kind in enumerate(CORRUPTIONS):
            noisy = []
            for place, rate in enumerate(RATES):
                noisy.append(self._losses(asked, kind, rate))
                told(number * len(RATES) + place + 1, total)
            kinds[kind] = self._summary(asked, [clean, *noisy])
        return {"figure": "nats per token of a hidden word", "documents": len(documents), "kinds": kinds}

    def _summary(self, asked: Sequence[Asked], losses: Sequence[Floats]) -> dict[str, Any]:
        """Return decay() of ``losses``, each (W, 2) of all words, over the words that are whole in all of them."""
        whole = np.all([found[:, 1] > 0 for found in losses], axis=0)
        document = np.repeat([one.document for one in asked], [len(one.words) for one in asked])[whole]
        tables = [
            np.stack([np.bincount(document, found[whole, column]) for column in range(2)], 1).astype(np.float64)
            for found in losses
        ]
        has_words = tables[0][:, 1] > 0
        found = decay([table[has_words] for table in tables], mean_of)
        return {**found, "words": int(whole.sum()), "lost_words": int((~whole).sum())}

    def _losses(self, asked: Sequence[Asked], kind: Kind | None, rate: float) -> Floats:
        """Return (W, 2) loss in nats and number of tokens of every word; none where they are not the clean ones."""
        hidden = self._windows(asked, kind, rate)
        first = np.concatenate(([0], np.cumsum([len(one.words) for one in asked])))
        found = np.zeros((int(first[-1]), 2))
        order = sorted(range(len(hidden)), key=lambda number: len(hidden[number].input_ids))
        order = [number for number in order if (hidden[number].word >= 0).any()]
        groups = [order[start : start + ROWS_AT_ONCE] for start in range(0, len(order), ROWS_AT_ONCE)]
        batches = (self._batch([hidden[number] for number in group]) for group in groups)
        for group, (logits, targets) in zip(groups, asked_logits(self._model, batches), strict=True):
            words = [first[number] + hidden[number].word[hidden[number].word >= 0] for number in group]
            losses = cross_entropies(logits, targets).double().cpu().numpy()
            np.add.at(found, np.concatenate(words), np.stack([losses, np.ones_like(losses)], 1))
        return found

    def _windows(self, asked: Sequence[Asked], kind: Kind | None, rate: float) -> list[_Hidden]:
        """Return each text with its words hidden, in the order of ``asked``."""
        parts = [
            list(one.text) if kind is None else corrupted(one.text, kind, rate, protected=_kept(one)) for one in asked
        ]
        encodings = self._tokenizer.encode_batch(["".join(part) for part in parts], add_special_tokens=False)
        clean = self._tokenizer.encode_batch([one.text for one in asked], add_special_tokens=False)
        made = []
        for one, part, encoding, original in zip(asked, parts, encodings, clean, strict=True):
            starts = np.concatenate(([0], np.cumsum([len(piece) for piece in part])))
            found = [_tokens_in(encoding.offsets, int(starts[start]), int(starts[end])) for start, end in one.words]
            wanted = [_tokens_in(original.offsets, start, end) for start, end in one.words]
            made.append(self._hidden(encoding.ids, found, [[original.ids[place] for place in of] for of in wanted]))
        return made

    def _hidden(self, ids: list[int], places: list[list[int]], wanted: list[list[int]]) -> _Hidden:
        """Return the window of ``ids`` with the words at ``places`` hidden, asked for where they are ``wanted``."""
        of = self._vocabulary
        window = np.array([of.cls_id, *ids[: self._longest - 2], of.sep_id], np.int32)
        labels, word = np.full(len(window), IGNORE_INDEX, np.int32), np.full(len(window), -1, np.int32)
        for number, (inside, truth) in enumerate(zip(places, wanted, strict=True)):
            if [ids[place] for place in inside] != truth or not inside or inside[-1] + 1 >= len(window) - 1:
                continue
            at = np.array(inside) + 1
            labels[at], word[at], window[at] = window[at], number, of.mask_id
        return _Hidden(window, labels, word)

    def _batch(self, windows: Sequence[_Hidden]) -> Batch:
        shape = (len(windows), max(len(window.input_ids) for window in windows))
        ids, labels = np.full(shape, self._vocabulary.pad_id, np.int32), np.full(shape, IGNORE_INDEX, np.int32)
        segment = np.zeros(shape, np.int32)
        for row, window in enumerate(windows):
            size = len(window.input_ids)
            ids[row, :size], labels[row, :size], segment[row, :size] = window.input_ids, window.labels, 1
        return collate(
            input_ids=ids,
            segment=segment,
            labels=labels,
            kind=np.full(shape, -1),
            read_before=self._model.config.predicts_next,
        )


def _kept(asked: Asked) -> list[Span]:
    """Return what must not change: the words asked for and the character on either side of each."""
    return [(max(0, start - 1), end + 1) for start, end in asked.words]


def _tokens_in(offsets: Sequence[Span], start: int, end: int) -> list[int]:
    """Return the places of the tokens that share a character with the span."""
    return [place for place, (first, last) in enumerate(offsets) if first < end and last > start]


def decay(tables: Sequence[npt.NDArray[np.floating]], combine: Combine) -> dict[str, Any]:
    """Return the figure clean and at each of RATES, and how much it changes per per cent of errors.

    ``tables`` are (N, K) of the same items, clean first. The slope is of the least-squares line through the clean
    figure; items are drawn once for all rates.
    """
    per_cent, columns = 100 * np.array(RATES), tables[0].shape[1]

    def slope(sums: Floats) -> Floats:
        found = combine(sums.reshape(*sums.shape[:-1], len(tables), columns))
        return np.asarray((found[..., 1:] - found[..., :1]) @ per_cent / (per_cent @ per_cent))

    clean, *noisy = [bootstrap(table, combine).plain() for table in tables]
    return {
        "clean": clean,
        "at": {f"{rate:g}": figure for rate, figure in zip(RATES, noisy, strict=True)},
        "slope": bootstrap(np.concatenate(tables, 1), slope).plain(),
    }


def _noisy(text: str, kind: Kind, rate: float) -> str:
    """Return ``text`` with errors, or as it is where nothing would be left of it."""
    made = "".join(corrupted(text, kind, rate))
    return made if made.strip() else text


def _classify(example: ClassifyExample, kind: Kind, rate: float) -> ClassifyExample:
    pair = None if example.text_pair is None else _noisy(example.text_pair, kind, rate)
    return replace(example, text=_noisy(example.text, kind, rate), text_pair=pair)


def _tag(example: TagExample, kind: Kind, rate: float) -> TagExample:
    """Return the example with errors in its words; no word ends or begins elsewhere."""
    pieces = corrupted(" ".join(example.tokens), kind, rate)
    ends = np.cumsum([len(token) + 1 for token in example.tokens])
    starts = [0, *ends[:-1].tolist()]
    words = ["".join(pieces[start : start + len(token)]) for start, token in zip(starts, example.tokens, strict=True)]
    return replace(example, tokens=tuple(word or token for word, token in zip(words, example.tokens, strict=True)))


def _answer(example: AnswerExample, kind: Kind, rate: float) -> AnswerExample:
    """Return the example with errors in its question: the answer is still to be found in the context as it stands."""
    return replace(example, question=_noisy(example.question, kind, rate))


def _embed(example: EmbedExample, kind: Kind, rate: float) -> EmbedExample:
    one, other = (_noisy(text, kind, rate) for text in (example.sentence1, example.sentence2))
    return replace(example, sentence1=one, sentence2=other)


_NOISY: dict[TaskName, Callable[[Any, Kind, float], Any]] = {
    "classify": _classify,
    "tag": _tag,
    "answer": _answer,
    "embed": _embed,
}


def noisy_examples(task: TaskName, examples: Sequence[Any], kind: Kind, rate: float) -> list[Any]:
    """Return ``examples`` of ``task`` with errors of ``kind`` at ``rate`` in what a user would type."""
    return [_NOISY[task](example, kind, rate) for example in examples]
