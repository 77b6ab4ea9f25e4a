"""The one door to text: whatever a source is, documents come out, one at a time, and what is refused is counted.

What bites: the format is told by the suffix of the name (see streams), and anything of unknown suffix is read as text.
"""

from __future__ import annotations

from collections.abc import Iterator

from unmask.corpus.docstrings import SOURCE, read_docstrings
from unmask.corpus.documents import Document
from unmask.corpus.plain import cut, read_text
from unmask.corpus.refusals import Refusals, flaw_of
from unmask.corpus.sequences import SUFFIXES, read_fasta
from unmask.corpus.streams import files_of, suffixes_of
from unmask.corpus.tables import read_csv, read_jsonl, read_parquet
from unmask.errors import SettingError

__all__ = ["Refusals", "read_documents"]

UNITS = ("file", "paragraph", "line")
TABLES = {".jsonl": read_jsonl, ".ndjson": read_jsonl, ".csv": read_csv, ".tsv": read_csv, ".parquet": read_parquet}


def read_documents(source: str, *, name: str, document: str, field: str, refused: Refusals) -> Iterator[Document]:
    """Yield the documents of ``source``: a file, a folder, a glob, ``-`` (standard input) or ``docstrings``.

    ``name`` is the source's name in the mixture, ``document`` the unit of text files (one of UNITS), ``field`` the name
    of the text in a row. Raises DataError for what can not be read at all; what is refused singly goes to ``refused``.
    """
    if document not in UNITS:
        raise SettingError(f"corpus.document must be one of {', '.join(UNITS)}, got '{document}'")
    if source == SOURCE:
        for documented in read_docstrings():
            yield Document(documented.text, name, documented.name)
        return
    for file in files_of(source):
        for text, line in _located(file, document, field, refused):
            where = f"{file}:{line}"
            yield from (Document(part, name, where) for part in _sound_parts(text, where, refused))


def _located(file: str, document: str, field: str, refused: Refusals) -> Iterator[tuple[str, int]]:
    """Yield the texts in ``file``, each with its line, by the form that the suffix tells."""
    suffix = suffixes_of(file)[0]
    if suffix in TABLES:
        return TABLES[suffix](file, field, refused)
    if suffix in SUFFIXES:
        return read_fasta(file, refused)
    return read_text(file, document, refused)


def _sound_parts(text: str, where: str, refused: Refusals) -> Iterator[str]:
    while True:
        part, text = cut(text)
        flaw = flaw_of(part)
        if flaw:
            refused.add(flaw, where)
        else:
            yield part.strip()
        if not text:
            return
