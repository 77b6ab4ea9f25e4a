"""Files of examples as records with the place of each: csv, tsv, jsonl, CoNLL columns, JSON; plain or .gz.

What bites: text is kept as it stands, to the last space, since offsets count its code points; only the line ends of the
file itself go.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unmask.errors import DataError, did_you_mean

Record = tuple[int, Mapping[str, Any]]
"""The line at which a record begins, from 1, and its fields."""

JSON_LINES = (".jsonl", ".ndjson")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
_LONGEST_FIELD = 1 << 28


def read_text(path: Path) -> str:
    """Return the text of ``path``. Raises DataError where it can not be read or is not UTF-8."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError) as error:
        what = "there is no such file" if isinstance(error, FileNotFoundError) else f"can not be read ({error})"
        raise DataError(path, what) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(path, "is not UTF-8; save it as UTF-8", line=line) from None
    if not text.strip():
        raise DataError(path, "is empty")
    return text


def kind_of(path: Path) -> str:
    """Return the suffix that says how ``path`` is written, .gz set aside."""
    return Path(path.stem).suffix.lower() if path.suffix == ".gz" else path.suffix.lower()


def records(path: Path) -> Iterator[Record]:
    """Yield the rows of a csv, tsv or jsonl file. Raises DataError for what is none of them."""
    kind = kind_of(path)
    if kind in JSON_LINES:
        yield from _json_lines(path)
    elif kind in DELIMITERS:
        yield from _table(path, DELIMITERS[kind])
    else:
        raise DataError(path, f"must be csv, tsv or jsonl for this task, got {kind or 'no suffix'}")


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        record = parse_json(path, line, number)
        if not isinstance(record, dict):
            raise DataError(path, f"a line must hold a JSON object, this holds {_type_of(record)}", line=number)
        yield number, record


def parse_json(path: Path, text: str, first_line: int = 1) -> Any:
    """Return what ``text`` says. Raises DataError where it is not JSON; NaN and its like are none."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number of JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise DataError(path, f"is not JSON ({error.msg}, column {error.colno})", line=line) from None
    except ValueError as error:
        raise DataError(path, f"is not JSON ({error})", line=first_line) from None
    except RecursionError:
        raise DataError(path, "is not JSON of a sane depth", line=first_line) from None


def _table(path: Path, delimiter: str) -> Iterator[Record]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    begin = 1
    try:
        for row in reader:
            if header is None:
                header = [name.strip() for name in row]
            elif row:
                if len(row) != len(header):
                    what = f"has {len(row)} columns, the header has {len(header)} ({', '.join(header)})"
                    raise DataError(path, what, line=begin)
                yield begin, dict(zip(header, row, strict=True))
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(path, f"is not a table ({error})", line=begin) from None


def columns(path: Path) -> Iterator[tuple[int, list[tuple[int, list[str]]]]]:
    """Yield the blocks of a CoNLL file between blank lines: the first line, and each line with its columns."""
    block: list[tuple[int, list[str]]] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip() and not line.startswith("-DOCSTART-"):
            block.append((number, line.split("\t") if "\t" in line else line.split()))
        elif block:
            yield block[0][0], block
            block = []
    if block:
        yield block[0][0], block


def field(path: Path, record: Record, name: str, kind: type = str) -> Any:
    """Return the field ``name`` of a record. Raises DataError where it is missing, of another type or empty text."""
    line, values = record
    if name not in values:
        raise DataError(path, f"has no field {name}{did_you_mean(name, values)}; it has {_listed(values)}", line=line)
    value = values[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(path, f"{name} must be {_NAMES[kind]}, got {_type_of(value)}", line=line)
    if isinstance(value, str) and not value.strip():
        raise DataError(path, f"{name} is empty; fill it or leave the row out", line=line)
    return value


_NAMES: dict[type, str] = {str: "text", list: "a list", dict: "an object"}


def _type_of(value: object) -> str:
    names = {str: "text", list: "a list", dict: "an object", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number")


def _listed(names: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(map(str, names)) or "none"
