"""Documents cut into windows, windows packed into rows, rows gathered into arrays.

Cutting and packing happen once; gathering is in the hot path of training and does no work per token in Python. What
bites: a window never crosses a document and begins at a word, unless a single word is longer than a window; and a row
never crosses a source, so rows are numbered source by source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unmask.batch import Rows
from unmask.corpus.order import RowOrder
from unmask.corpus.phrases import PhrasePlaces
from unmask.corpus.shards import Split, Tensors
from unmask.corpus.tokenizer import Vocabulary

Indices = npt.NDArray[np.int64]

NUM_SPECIAL = 2
"""Special tokens of a window: [CLS] at its beginning, [SEP] at its end."""

SHORTEST_ROW = NUM_SPECIAL + 1

_BLOCK = 4096  # windows that are packed together: more would gain nothing and mix documents from farther apart


@dataclass(frozen=True, slots=True)
class Windows:
    """Pieces of documents, in the order of their tokens. All arrays are (W,)."""

    begin: Indices
    """Number of the first token."""
    size: Indices
    """Tokens, special ones not counted."""
    document: Indices
    """Number of the document."""


def cut_windows(
    starts: Indices, begins: npt.NDArray[np.bool_], room: int, chosen: npt.NDArray[np.bool_] | None = None
) -> Windows:
    """Cut documents into windows of at most ``room`` tokens, each at the last word start that fits.

    ``starts`` (N + 1,) are the documents' places in the tokens, ``begins`` (T,) says where a word begins, ``chosen``
    (N,) which documents to cut (all if None). Each round cuts the next window off every document that is left.
    """
    last_begin = np.maximum.accumulate(np.where(begins, np.arange(len(begins)), -1))
    wanted = np.diff(starts) > 0
    document = np.flatnonzero(wanted if chosen is None else wanted & chosen)
    begin, end = starts[document], starts[document + 1]
    rounds = []
    while len(begin):
        cut = np.minimum(begin + room, end)
        inside = np.flatnonzero(cut < end)
        word = last_begin[cut[inside]]
        cut[inside] = np.where(word > begin[inside], word, cut[inside])
        rounds.append((begin, cut - begin, document))
        left = cut < end
        begin, end, document = cut[left], end[left], document[left]
    if not rounds:
        return Windows(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    begin, size, document = (np.concatenate(parts) for parts in zip(*rounds, strict=True))
    order = np.argsort(begin)
    return Windows(begin[order], size[order], document[order])


def pack(sizes: Indices, length: int) -> tuple[Indices, Indices]:
    """Pack things of ``sizes`` (W,) into rows of ``length``: best fit, largest first, within blocks of neighbours.

    Returns (W,) the things in the order of their rows, and (num_rows + 1,) where each row begins in it.
    """
    row_of = np.empty(len(sizes), dtype=np.int64)
    num_rows = 0
    for start in range(0, len(sizes), _BLOCK):
        block = sizes[start : start + _BLOCK]
        rows = _best_fit(block, length)
        row_of[start : start + len(block)] = np.array(rows) + num_rows
        num_rows += max(rows) + 1
    row_starts = np.concatenate(([0], np.cumsum(np.bincount(row_of, minlength=num_rows))))
    return np.argsort(row_of, kind="stable"), row_starts


def _best_fit(sizes: Indices, length: int) -> list[int]:
    """Return the row of each thing. Rows stand in buckets by free space; bit f of ``open_`` says that f has some."""
    buckets: list[list[int]] = [[] for _ in range(length + 1)]
    rows = [0] * len(sizes)
    open_ = num_rows = 0
    for thing in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[thing])
        fitting = open_ >> size
        if fitting:
            free = size + (fitting & -fitting).bit_length() - 1
            row = buckets[free].pop()
            if not buckets[free]:
                open_ ^= 1 << free
        else:
            free, row = length, num_rows
            num_rows += 1
        rows[thing] = row
        buckets[free - size].append(row)
        open_ |= 1 << (free - size)
    return rows


def pack_by_source(sizes: Indices, sources: Indices, length: int) -> tuple[Indices, Indices, npt.NDArray[np.int32]]:
    """Pack like :func:`pack`, each row with things of one of ``sources`` (W,) only, and the rows source by source.

    Also returns (num_rows,) the source of each row.
    """
    orders, row_sizes, row_sources = [], [], []
    for source in np.unique(sources):
        mine = np.flatnonzero(sources == source)
        order, row_starts = pack(sizes[mine], length)
        orders.append(mine[order])
        row_sizes.append(np.diff(row_starts))
        row_sources.append(np.full(len(row_starts) - 1, source, dtype=np.int32))
    nothing = np.zeros(0, dtype=np.int64)
    row_starts = np.cumsum(np.concatenate((np.zeros(1, dtype=np.int64), *row_sizes)))
    return np.concatenate((nothing, *orders)), row_starts, np.concatenate((nothing, *row_sources)).astype(np.int32)


def pack_split(split: Split, length: int, chosen: npt.NDArray[np.bool_] | None = None) -> Tensors:
    """Return the rows of ``split`` as the arrays that PackedRows reads; ``chosen`` (N,) are the documents wanted.

    Takes some 40 bytes a window of memory, and while it cuts a shard some 30 bytes a token of it.
    """
    parts: list[tuple[npt.NDArray[np.generic], ...]] = []
    for number, shard in enumerate(split.shards):
        begins = shard.begins()
        first = int(split.document_starts[number])
        mine = None if chosen is None else chosen[first : first + len(shard.ids)]
        cut = cut_windows(shard.starts, begins, length - NUM_SPECIAL, mine)
        start = shard.starts[cut.document]
        words = np.cumsum(begins, dtype=np.int32)  # a document's first token begins a word, so words start from 0 there
        parts.append(
            (
                cut.begin + split.token_starts[number],
                cut.size.astype(np.int32),
                (cut.begin - start).astype(np.int32),
                words[cut.begin] - words[start],
                split.documents()[first + cut.document],
                np.full(len(cut.begin), number, dtype=np.int32),
                shard.source[cut.document],
            )
        )
    names = ("begin", "size", "offset", "word", "document", "shard", "source")
    windows = {name: np.concatenate(arrays) for name, arrays in zip(names, zip(*parts, strict=True), strict=True)}
    filled, sources = windows["size"].astype(np.int64) + NUM_SPECIAL, windows.pop("source")
    order, row_starts, row_source = pack_by_source(filled, sources, length)
    packed = {name: array[order] for name, array in windows.items()}
    return packed | {"row_starts": row_starts, "row_source": row_source}


class PackedRows:
    """The rows of a split, each of some windows [CLS] ... [SEP] side by side."""

    def __init__(
        self,
        tensors: Tensors,
        split: Split,
        vocabulary: Vocabulary,
        length: int,
        weights: Sequence[float | None] = (None,),
        phrases: PhrasePlaces | None = None,
    ) -> None:
        """Read what pack_split made of ``split`` for ``length``; ``weights`` has one entry a source.

        ``phrases`` are where phrases stand in the split, whose words count as one.
        """
        self.length = length
        self.source: npt.NDArray[np.int32] = tensors["row_source"]
        """(num_rows,) the number of each row's source."""
        self.num_sources = len(weights)
        sizes = np.bincount(self.source, minlength=self.num_sources).tolist()
        given = [weight for weight in weights if weight is not None]
        self.order = RowOrder(sizes, given if len(given) > 1 else None)
        self.num_rows = len(tensors["row_starts"]) - 1
        self._row_starts, self._windows = tensors["row_starts"], tensors
        self._split, self._vocabulary = split, vocabulary
        self._phrases = phrases
        self._is_special = np.zeros(vocabulary.size, dtype=np.bool_)
        self._is_special[list(vocabulary.special_ids)] = True

    @property
    def num_windows(self) -> int:
        """How many windows there are in all rows."""
        return len(self._windows["size"])

    @property
    def num_tokens(self) -> int:
        """Tokens of text in all rows; special ones and padding not counted."""
        return int(self._windows["size"].sum(dtype=np.int64))

    @property
    def tokens_per_row(self) -> float:
        """Tokens of text in a row, the average over the order that rows are dealt in."""
        in_row = np.add.reduceat(self._windows["size"], self._row_starts[:-1], dtype=np.int64)
        if len(self.order.shares) == 1:
            return float(in_row.mean())
        by_source = np.bincount(self.source, weights=in_row) / np.bincount(self.source)
        return float(self.order.shares @ by_source)

    @property
    def efficiency(self) -> float:
        """The share of places that are not padding."""
        filled = self.num_tokens + NUM_SPECIAL * self.num_windows
        return filled / (self.num_rows * self.length) if self.num_rows else 0.0

    @property
    def phrases(self) -> dict[str, int | float] | None:
        """What PhrasePlaces.counts says of the split, where phrases count as words."""
        return None if self._phrases is None else self._phrases.counts(self._split)

    def gather(self, rows: Indices) -> Rows:
        """Return the rows of the numbers ``rows`` (R,); pure, and safe from several threads.

        A row is taken as its windows and one run of padding (of length 0 where it is full), end to end, so that every
        array is a repetition of one value a run over all R * L places.
        """
        first, last = self._row_starts[rows], self._row_starts[rows + 1]
        count = last - first + 1  # runs of a row
        run_row = np.repeat(np.arange(len(rows)), count)
        in_row = np.arange(len(run_row)) - np.repeat(np.cumsum(count) - count, count)
        text = in_row < count[run_row] - 1
        window = np.where(text, first[run_row] + in_row, first[run_row])
        size = np.where(text, self._windows["size"][window] + NUM_SPECIAL, 0)
        used = np.bincount(run_row, weights=size, minlength=len(rows)).astype(np.int64)
        size[~text] = self.length - used
        return self._spread(window, size, text, np.where(text, in_row + 1, 0))

    def _words_back(self, number: Indices) -> npt.NDArray[np.int32] | int:
        """Return how many words back the phrases of the tokens ``number`` begin; of no text, anything."""
        return 0 if self._phrases is None else self._phrases.back.take(number, mode="clip").astype(np.int32)

    def _spread(self, window: Indices, size: Indices, text: npt.NDArray[np.bool_], segment: Indices) -> Rows:
        """Lay runs of ``size`` end to end: ``window`` where ``text``, padding elsewhere."""
        stop = np.cumsum(size)
        cls, sep = (stop - size)[text], stop[text] - 1
        total = int(stop[-1]) if len(stop) else 0
        place = np.arange(total)
        to_first = stop - size + 1  # the place of a run's first token of text
        begin = self._windows["begin"][window] - to_first
        number = np.repeat(begin, size) + place
        tokens, begins = self._split.take(number, np.repeat(self._windows["shard"][window], size))
        is_text = np.repeat(text, size)
        is_text[cls] = is_text[sep] = False
        ids = np.where(is_text, tokens, np.int32(self._vocabulary.pad_id))
        ids[cls], ids[sep] = self._vocabulary.cls_id, self._vocabulary.sep_id
        words = np.cumsum(begins, dtype=np.int32)
        word = self._windows["word"][window] - words.take(to_first, mode="clip")
        offset = (self._windows["offset"][window] - to_first).astype(np.int32)
        document = np.where(text, self._windows["document"][window], np.uint64(0))
        shape = (-1, self.length)
        return Rows(
            input_ids=ids.reshape(shape),
            segment=np.repeat(segment.astype(np.int32), size).reshape(shape),
            document=np.repeat(document, size).reshape(shape),
            offset=((np.repeat(offset, size) + place.astype(np.int32)) * is_text).reshape(shape),
            word=((np.repeat(word, size) + words - self._words_back(number)) * is_text).reshape(shape),
            special=self._is_special.take(ids).reshape(shape),
        )
