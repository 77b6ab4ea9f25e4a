"""Readers: every form of text, what is refused, and what is answered with an error."""

import csv
import gzip
import io
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from unmask.corpus import plain, readers, tables
from unmask.corpus.documents import Document
from unmask.corpus.extract import Documented
from unmask.corpus.readers import Refusals, read_documents
from unmask.errors import DataError, SettingError

TEXTS = ["one fish", "two\nfish", "redü fish", 'quoted "blue", fish']


def read(
    source: Path | str, document: str = "paragraph", field: str = "text", refused: Refusals | None = None
) -> list[str]:
    return [found.text for found in located(source, document, field, refused)]


def located(source: Path | str, document: str, field: str = "text", refused: Refusals | None = None) -> list[Document]:
    counts = Refusals() if refused is None else refused
    return list(read_documents(str(source), name="s", document=document, field=field, refused=counts))


def first_of(refused: Refusals) -> dict[str, tuple[int, str]]:
    return {reason: (refusal.count, Path(refusal.first).name) for reason, refusal in refused.items()}


def encode(suffix: str, texts: list[str]) -> bytes:
    match suffix:
        case ".txt":
            return "\n\n".join(texts).encode()
        case ".jsonl" | ".ndjson":
            return "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in texts).encode()
        case ".parquet":
            sink = io.BytesIO()
            pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), sink)
            return sink.getvalue()
        case _:
            out = io.StringIO(newline="")
            writer = csv.writer(out, delimiter="\t" if suffix == ".tsv" else ",")
            writer.writerows([["id", "text"], *([1, text] for text in texts)])
            return out.getvalue().encode()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("by", ["file", "stdin"])
def test_every_form_gives_the_same_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, compression: str, by: str
) -> None:
    data = COMPRESS[compression](encode(suffix, TEXTS))
    refused = Refusals()
    if by == "stdin":
        stream = io.BufferedReader(Unseekable(data))
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
        assert read(f"-{suffix}{compression}", refused=refused) == TEXTS
    else:
        path = tmp_path / f"a{suffix.upper()}{compression}"
        path.write_bytes(data)
        assert read(path, refused=refused) == TEXTS
    assert refused == {}


class Unseekable(io.BytesIO):
    """A pipe."""

    def seekable(self) -> bool:
        return False


def test_a_dash_is_text_and_standard_input_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BufferedReader(io.BytesIO(b'{"text": "a"}\n'))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    assert read("-") == ['{"text": "a"}']
    assert not stream.closed


def test_units_of_text_and_their_places(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(b"\xef\xbb\xbf\n\none\r\ntwo\r\n \t\r\n\r\n\rthree")
    assert [(found.text, found.where) for found in located(path, "paragraph")] == [
        ("one\ntwo", f"{path}:3"),
        ("three", f"{path}:8"),
    ]
    refused = Refusals()
    assert [(found.text, found.where) for found in located(path, "line", refused=refused)] == [
        ("one", f"{path}:3"),
        ("two", f"{path}:4"),
        ("three", f"{path}:8"),
    ]
    assert first_of(refused) == {"empty": (5, "a.md:1")}
    assert read(path, "file") == ["one\ntwo\n \t\n\n\nthree"]
    assert [found.source for found in located(path, "file")] == ["s"]


@given(st.lists(st.text(st.sampled_from("ab \n\r\t\u00e9\u3000"), max_size=30), max_size=8), st.integers(2, 40))
def test_no_word_is_lost_however_small_the_pieces(parts: list[str], piece: int) -> None:
    text = "\n\n".join(parts)
    expected = text.split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "_PIECE", piece)
        stream = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", newline=None)
        pieces = list(plain.pieces_of(stream))
        for unit in readers.UNITS:
            found = list(plain._documents(iter(pieces), unit))
            assert "".join("".join(document.split()) for document, _ in found) == "".join(expected)


def test_long_documents_are_cut_at_white_space_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "MAX_DOCUMENT", 100)
    monkeypatch.setattr(plain, "_PIECE", 32)
    words = [f"w{number}" for number in range(2000)]
    path = tmp_path / "a.txt"
    path.write_text(" ".join(words) + "\n" + "\n".join(words))
    for unit in ("file", "paragraph"):
        found = located(path, unit)
        assert max(len(document.text) for document in found) <= 100
        assert " ".join(document.text for document in found).split() == words * 2
        assert found[0].where.endswith(":1")
        lines = {word: number for number, word in enumerate(words, start=2)}
        for document in found[-5:]:
            assert document.where == f"{path}:{lines[document.text.split()[0]]}"
    row = tmp_path / "a.jsonl"
    row.write_text(json.dumps({"text": "x" * 250}))
    assert [len(text) for text in read(row)] == [100, 100, 50]


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz", ".log"])
def test_a_line_of_fifty_megabytes_is_never_held_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with gzip.open(path, "wb", compresslevel=1) if suffix.endswith("gz") else path.open("wb") as file:
        for _ in range(50):
            file.write(b"nine char " * 100_000)
    counts = Refusals()
    tracemalloc.start()
    sizes = [
        len(found.text) for found in read_documents(str(path), name="s", document="line", field="", refused=counts)
    ]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) == 50_000_000 - len(sizes)
    assert max(sizes) <= plain.MAX_DOCUMENT
    assert peak < 10_000_000


def test_folders_and_globs_are_sorted_and_hidden_files_passed_over(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/c.jsonl", ".hidden.txt", ".git/x.txt", "a/.x"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(path.suffix if path.suffix == ".jsonl" else ".txt", [name]))
    assert read(tmp_path) == ["b.txt", "a/c.jsonl", "a/z.txt"]
    assert read(tmp_path / "*.txt") == ["b.txt"]
    assert read(tmp_path / "**" / "*.txt") == ["a/z.txt", "b.txt"]
    assert read(tmp_path / "*/c*") == ["a/c.jsonl"]


def test_bad_text_is_refused_singly(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("good\n\nläd\n\nnu\0l\n\n".encode("latin-1") + "für".encode())
    refused = Refusals()
    assert read(path, refused=refused) == ["good", "für"]
    assert first_of(refused) == {"not UTF-8": (1, "a.txt:3"), "NUL bytes": (1, "a.txt:5")}
    assert refused.plain()["not UTF-8"] == {"count": 1, "first": f"{path}:3"}


def test_a_file_of_unknown_suffix_is_text_only_where_it_decodes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\n\nreadable words here")
    (tmp_path / "b.bin").write_bytes(b"words\0words")
    (tmp_path / "c.log").write_text("a" * (plain._PIECE - 4) + "\u20ac" * 9)  # a character on the edge of the look
    (tmp_path / "d.tex").write_bytes(b"")
    refused = Refusals()
    assert [len(text) for text in read(tmp_path, refused=refused)] == [plain._PIECE + 5]
    assert first_of(refused) == {"not UTF-8": (1, "a.png:1"), "NUL bytes": (1, "b.bin:1"), "empty": (1, "d.tex:1")}


def test_bad_lines_of_jsonl_are_refused_singly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROW", 1000)
    lines = [
        b'\xef\xbb\xbf{"text": "good"}',
        b'{"text": "cut',
        b'["text"]',
        b'{"text": 5}',
        b'{"text": null}',
        b'{"other": "x"}',
        b"",
        b'{"text": " "}',
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        b'{"text": "\\u0000"}',
        b'{"text": "' + b"x" * 2000 + b'"}',
        b"[" * 900,
        b'{"text": "also good"}',
    ]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    refused = Refusals()
    assert [(found.text, found.where) for found in located(path, "line", refused=refused)] == [
        ("good", f"{path}:1"),
        ("also good", f"{path}:14"),
    ]
    assert first_of(refused) == {
        "broken JSON": (3, "a.jsonl:2"),
        "field not text": (2, "a.jsonl:4"),
        "field missing": (1, "a.jsonl:6"),
        "empty": (2, "a.jsonl:7"),
        "not UTF-8": (2, "a.jsonl:9"),
        "NUL bytes": (1, "a.jsonl:11"),
        "row too long": (1, "a.jsonl:12"),
    }


@pytest.mark.parametrize("line", ["[" * 200_000, '{"text": 1' + "0" * 5000 + "}"], ids=["deep", "many digits"])
def test_json_that_python_balks_at_is_broken(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\n' + line)
    refused = Refusals()
    assert read(path, refused=refused) == ["good"]
    assert first_of(refused) == {"broken JSON": (1, "a.jsonl:2")}


def test_bad_rows_of_csv_are_refused_singly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROW", 200_000)  # the csv module itself stops at 131,072
    path = tmp_path / "a.csv"
    long = "y " * 80_000
    rows = [b"id, text", b'1,"two\nlines"', b"2", b'3,"a" b', b"4,\xff", b"", b"5,", b"6," + b"x" * 300_000, b"7,good"]
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(rows) + b"\r\n8," + long.encode() + b"\r\n")
    refused = Refusals()
    found = located(path, "line", refused=refused)
    assert [(document.text, document.where) for document in found] == [
        ("two\nlines", f"{path}:2"),
        ("good", f"{path}:10"),
        (long.strip(), f"{path}:11"),
    ]
    assert first_of(refused) == {
        "field missing": (1, "a.csv:4"),
        "broken CSV": (1, "a.csv:5"),
        "not UTF-8": (1, "a.csv:6"),
        "empty": (1, "a.csv:8"),
        "row too long": (1, "a.csv:9"),
    }


def test_bad_rows_of_parquet_are_refused_singly(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    column = pa.chunked_array([pa.array(["good", None, ""]), bad])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": column}), path)
    refused = Refusals()
    assert read(path, refused=refused) == ["good"]
    assert first_of(refused) == {
        "field missing": (1, "a.parquet:2"),
        "empty": (1, "a.parquet:3"),
        "not UTF-8": (1, "a.parquet:4"),
    }


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_parquet_of_any_kind_of_string(tmp_path: Path, kind: pa.DataType) -> None:
    pq.write_table(pa.table({"text": pa.array(["a", "b", "a"]).cast(kind)}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == ["a", "b", "a"]


MISTAKES = {
    "nothing/there.txt": (None, "there is no such file or folder"),
    "a.tx": (None, "no such file or folder; did you mean 'a.txt'?"),
    "*.nothing": (None, "no file fits this pattern"),
    "broken.txt.gz": (gzip.compress(b"words " * 9999)[:-20], "its compression is broken"),
    "no.txt.gz": (b"plain words", "its compression is broken"),
    "broken.txt.zst": (zstandard.ZstdCompressor().compress(bytes(range(256)) * 99)[:-9], "its compression is broken"),
    "list.jsonl": (b'["a",\n"b"]', "list.jsonl:1: this line is no JSON object"),
    "other.jsonl": (b'{"x": 1, "Text": "a"}\n', "other.jsonl:1: no field 'text' here; did you mean 'Text'?"),
    "other.csv": (b"id,body\n1,a\n", "other.csv:1: no field 'text' here; there are id, body; set corpus.field"),
    "no.parquet": (b"words", "is no sound parquet file"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_in_one_line(tmp_path: Path, name: str) -> None:
    content, answer = MISTAKES[name]
    (tmp_path / "a.txt").write_text("text")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert answer in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_mistakes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no file"):
        read(tmp_path)
    with pytest.raises(SettingError, match=r"corpus\.document must be one of file, paragraph, line, got 'page'"):
        read(tmp_path, "page")
    pq.write_table(pa.table({"text": [1], "texts": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="the field 'text' holds int64, not text"):
        read(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no field 'txt' here; did you mean 'text'"):
        read(tmp_path / "a.parquet", field="txt")
    loop = tmp_path / "folder" / "loop.txt"
    loop.parent.mkdir()
    loop.symlink_to(loop)
    with pytest.raises(DataError, match="can not be read"):
        read(loop.parent)


def test_docstrings_come_as_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "read_docstrings", lambda: iter([Documented("Text.", "a.b", "a", "class", ())]))
    found = located("docstrings", "line")
    assert [(document.text, document.source, document.where) for document in found] == [("Text.", "s", "a.b")]


UNIT_TEXT = "\n\nfirst line\nsecond line\n\n\n  third\n"
UNITS = {
    "file": [("first line\nsecond line\n\n\n  third", 1)],
    "paragraph": [("first line\nsecond line", 3), ("third", 7)],
    "line": [("first line", 3), ("second line", 4), ("third", 7)],
}


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("suffix", [".txt", ".md", ".log"])
@pytest.mark.parametrize("unit", UNITS)
def test_a_document_is_a_file_a_paragraph_or_a_line(tmp_path: Path, unit: str, suffix: str, compression: str) -> None:
    path = tmp_path / f"a{suffix}{compression}"
    path.write_bytes(COMPRESS[compression](UNIT_TEXT.encode()))
    assert [(found.text, found.where) for found in located(path, unit)] == [
        (text, f"{path}:{line}") for text, line in UNITS[unit]
    ]
