"""FASTA: records, pieces, and what is wrong with a file."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from unmask.corpus import plain, sequences
from unmask.corpus.readers import Refusals, read_documents
from unmask.errors import DataError

RECORDS = b""">one a header with words
MKVLA
ttgc*

>two
\tAC GT-N.\r
>three
>four
MKV

LA
"""

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def read(path: Path, refused: Refusals) -> list[tuple[str, int]]:
    found = read_documents(str(path), name="s", document="line", field="text", refused=refused)
    return [(document.text, int(document.where.rpartition(":")[2])) for document in found]


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("suffix", [".fasta", ".fa", ".faa", ".fna", ".FA"])
def test_a_record_is_a_document_without_its_header(tmp_path: Path, suffix: str, compression: str) -> None:
    path, refused = tmp_path / f"a{suffix}{compression}", Refusals()
    path.write_bytes(COMPRESS[compression](RECORDS))
    assert read(path, refused) == [("MKVLAttgc*", 1), ("ACGT-N.", 5), ("MKVLA", 8)]
    assert refused.plain() == {"empty": {"count": 1, "first": f"{path}:7"}}


@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 16])
def test_a_record_of_any_length_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(plain, "_PIECE", piece)
    monkeypatch.setattr(sequences, "MAX_DOCUMENT", 10)
    path, refused = tmp_path / "a.fa", Refusals()
    path.write_text(">a > b\n" + "ACGTT" * 5 + "\nAC\n>c\n" + "A" * 10 + "\n>d\n" + "C" * 20)
    assert read(path, refused) == [
        ("ACGTTACGTT", 1), ("ACGTTACGTT", 1), ("ACGTTAC", 1), ("A" * 10, 4), ("C" * 10, 6), ("C" * 10, 6),
    ]  # fmt: skip
    assert refused == {}


def test_what_is_no_sequence_is_refused_record_by_record(tmp_path: Path) -> None:
    path, refused = tmp_path / "a.fa", Refusals()
    path.write_bytes(b">a\nACGT\n1 ACGT\nACGT\n>b\nAC\n>c\n\xff\n>d\nA\0C\n")
    assert read(path, refused) == [("AC", 5)]
    assert refused.plain() == {"not a sequence": {"count": 3, "first": f"{path}:3"}}


@pytest.mark.parametrize("content", [b"\nACGT\n>a\nACGT\n", b"\n@read\nACGT\n+\n!!!!\n", b"\n\x89PNG\n"])
def test_a_file_without_records_is_answered_in_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.fa"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path, Refusals())
    assert str(caught.value) == f"{path}:2: no record begins before this line; headers start with >"
