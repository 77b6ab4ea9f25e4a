"""FASTA: one record one document, its lines joined, its header left out (Pearson and Lipman 1988).

What bites: a record may be a whole chromosome on one line, so it comes in pieces of at most MAX_DOCUMENT symbols. Case
is kept, since lower case marks repeats there; and near copies are told by words, of which a sequence has one, so only
equal sequences are known as copies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from unmask.corpus.plain import MAX_DOCUMENT, pieces_of
from unmask.corpus.refusals import EMPTY, NOT_A_SEQUENCE, Refusals
from unmask.corpus.streams import opened_text
from unmask.errors import DataError

SUFFIXES = (".fasta", ".fa", ".faa", ".fna")

_SYMBOLS = re.compile(r"[A-Za-z*.-]*")


def read_fasta(name: str, refused: Refusals) -> Iterator[tuple[str, int]]:
    """Yield the sequence of each record with the line of its header.

    Raises DataError where something stands before the first record; a record with anything but letters, ``*``, ``-``
    and ``.`` in its sequence is refused from there on.
    """
    with opened_text(name, newline=None) as stream:
        records = _Records(name, refused)
        at_start = True
        for line, piece in pieces_of(stream):
            yield from records.take(piece, line, at_start)
            at_start = piece.endswith("\n")
        yield from records.end()


class _Records:
    """Takes pieces of lines and gives sequences."""

    def __init__(self, name: str, refused: Refusals) -> None:
        self._name, self._refused = name, refused
        self._header: int | None = None
        self._is_header = self._is_broken = self._has_given = False
        self._held: list[str] = []
        self._size = 0

    def take(self, piece: str, line: int, at_start: bool) -> Iterator[tuple[str, int]]:
        """Take a piece of ``line`` and yield what is ready by it."""
        if at_start and piece.startswith(">"):
            yield from self.end()
            self._header, self._is_header = line, True
            self._is_broken = self._has_given = False
        elif at_start:
            self._is_header = False
        if self._is_header or not (symbols := "".join(piece.split())) or self._is_broken:
            return
        if self._header is None:
            raise DataError(self._name, "no record begins before this line; headers start with >", line=line)
        if not _SYMBOLS.fullmatch(symbols):
            self._refused.add(NOT_A_SEQUENCE, f"{self._name}:{line}")
            self._is_broken, self._held, self._size = True, [], 0
            return
        self._held.append(symbols)
        self._size += len(symbols)
        while self._size > MAX_DOCUMENT:
            whole = "".join(self._held)
            self._held, self._size = [whole[MAX_DOCUMENT:]], len(whole) - MAX_DOCUMENT
            self._has_given = True
            yield whole[:MAX_DOCUMENT], self._header

    def end(self) -> Iterator[tuple[str, int]]:
        """Yield what is left of the last record."""
        if self._header is None or self._is_broken:
            return
        if self._size:
            yield "".join(self._held), self._header
        elif not self._has_given:
            self._refused.add(EMPTY, f"{self._name}:{self._header}")
        self._held, self._size = [], 0
