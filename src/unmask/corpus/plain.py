"""Plain text, cut into documents by unit: the file, its paragraphs between blank lines, or its lines.

What bites: neither a file nor a line fits in memory, so text comes in bounded pieces of lines, and a document over
MAX_DOCUMENT characters is cut at white space.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from unmask.corpus.refusals import NOT_UTF8, NUL_BYTES, Refusals
from unmask.corpus.streams import opened, opened_text, suffixes_of

MAX_DOCUMENT = 1_000_000
"""Characters of the longest document."""

_PIECE = 1 << 16
_TEXT_SUFFIXES = ("", ".txt", ".text", ".md", ".rst")


def read_text(name: str, unit: str, refused: Refusals) -> Iterator[tuple[str, int]]:
    """Yield the documents of a text file, each with the number of its first line; one empty document for an empty file.

    A file of unknown suffix whose beginning is not text is refused as a whole.
    """
    flaw = None if suffixes_of(name)[0] in _TEXT_SUFFIXES else _flaw_at_start(name)
    if flaw:
        refused.add(flaw, f"{name}:1")
        return
    with opened_text(name, newline=None) as stream:
        found = False
        for document in _documents(pieces_of(stream), unit):
            found = True
            yield document
        if not found:
            yield "", 1


def cut(text: str) -> tuple[str, str]:
    """Return a head of ``text`` of at most MAX_DOCUMENT characters that ends in white space, and the rest.

    It is the longest one; where there is no white space, it is cut hard.
    """
    if len(text) <= MAX_DOCUMENT:
        return text, ""
    place = 1 + max(text.rfind(space, 0, MAX_DOCUMENT) for space in " \n\t\u3000")
    return text[: place or MAX_DOCUMENT], text[place or MAX_DOCUMENT :]


def _documents(pieces: Iterator[tuple[int, str]], unit: str) -> Iterator[tuple[str, int]]:
    held: list[str] = []
    size, start = 0, 1
    for line, piece in pieces:
        is_blank = unit == "paragraph" and piece.isspace()
        if is_blank and not held:
            continue
        start = start if held else line
        held.append(piece)
        size += len(piece)
        while size > MAX_DOCUMENT:
            head, tail = cut("".join(held))
            yield head, start
            start += head.count("\n")
            held, size = [tail], len(tail)
        if is_blank or (unit == "line" and piece.endswith("\n")):
            yield "".join(held), start
            held, size = [], 0
    if held:
        yield "".join(held), start


def pieces_of(stream: io.TextIOWrapper) -> Iterator[tuple[int, str]]:
    """Yield the lines of ``stream`` with their numbers, each in pieces of at most _PIECE characters."""
    line = 1
    while piece := stream.readline(_PIECE):
        yield line, piece
        line += piece.endswith("\n")


def _flaw_at_start(name: str) -> str | None:
    with opened(name) as stream:
        start = stream.read(_PIECE)
    if b"\0" in start:
        return NUL_BYTES
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:  # the last character may be cut in two
        return NOT_UTF8 if error.reason != "unexpected end of data" else None
    return None
