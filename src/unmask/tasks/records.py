"""Files of examples as records with the place of each: csv, tsv, jsonl, CoNLL columns, JSON; plain or .gz.

What bites: text is kept as it stands, to the last space, since offsets count its code points; only the line ends of the
file itself go.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmask.errors import DataError, did_you_mean

JSON_LINES = (".jsonl", ".ndjson")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
_LONGEST_FIELD = 1 << 28


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a file."""

    path: Path
    line: int
    """At which it begins, from 1."""
    values: Mapping[str, Any]

    @property
    def where(self) -> str:
        """The row's place, as people write it."""
        return f"{self.path}:{self.line}"

    def wrong(self, what: str) -> DataError:
        """Return the error that says ``what`` is wrong with this row."""
        return DataError(self.path, what, line=self.line)

    def value(self, name: str) -> Any:
        """Return the field ``name``. Raises DataError where there is none."""
        if name not in self.values:
            raise self.wrong(f"has no field {name}{did_you_mean(name, self.values)}; it has {', '.join(self.values)}")
        return self.values[name]

    def text(self, name: str) -> str:
        """Return the field ``name``. Raises DataError where it is missing, no text, or empty."""
        value = self.value(name)
        if not isinstance(value, str):
            raise self.wrong(f"{name} must be text, got {type_of(value)}")
        if not value.strip():
            raise self.wrong(f"{name} is empty; fill it or leave the row out")
        return value

    def texts(self, name: str) -> list[str]:
        """Return the field ``name``. Raises DataError where it is missing or no list of text."""
        value = self.value(name)
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise self.wrong(f"{name} must be a list of text")
        return value


def kind_of(path: Path) -> str:
    """Return the suffix that says how ``path`` is written, .gz set aside."""
    return Path(path.stem).suffix.lower() if path.suffix == ".gz" else path.suffix.lower()


def read_text(path: Path) -> str:
    """Return the text of ``path``. Raises DataError where it can not be read, is not UTF-8 or is empty."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
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


def records(path: Path, fields: Mapping[str, str]) -> Iterator[Record]:
    """Yield the rows of a csv, tsv or jsonl file; ``fields`` says what the file calls a field, where it is not ours.

    Raises DataError for what is not such a file, at its line.
    """
    kind = kind_of(path)
    if kind in JSON_LINES:
        rows = _json_lines(path)
    elif kind in DELIMITERS:
        rows = _table(path, DELIMITERS[kind])
    else:
        raise DataError(path, f"must be csv, tsv or jsonl for this task, got {kind or 'no suffix'}")
    for row in rows:
        given = {ours: row.value(theirs) for ours, theirs in fields.items()}
        yield Record(path, row.line, {**row.values, **given})


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        values = parse_json(path, line, number)
        if not isinstance(values, dict):
            raise DataError(path, f"a line must hold a JSON object, this holds {type_of(values)}", line=number)
        yield Record(path, number, values)


def parse_json(path: Path, text: str, first_line: int = 1) -> Any:
    """Return what ``text`` says. Raises DataError where it is not JSON; NaN, and half a surrogate pair, are none."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number of JSON")

    try:
        value = json.loads(text, parse_constant=refuse)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise DataError(path, f"is not JSON ({error.msg}, column {error.colno})", line=line) from None
    except UnicodeEncodeError:
        raise DataError(path, "holds half of a surrogate pair (\\ud800 to \\udfff)", line=first_line) from None
    except ValueError as error:
        raise DataError(path, f"is not JSON ({error})", line=first_line) from None
    except RecursionError:
        raise DataError(path, "is not JSON of a sane depth", line=first_line) from None
    return value


def _table(path: Path, delimiter: str) -> Iterator[Record]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    begin = 1
    try:
        for row in reader:
            if row and header is None:
                header = [name.strip() for name in row]
            elif row and header is not None:
                if len(row) != len(header):
                    what = f"has {len(row)} columns, the header has {len(header)} ({', '.join(header)})"
                    raise DataError(path, what, line=begin)
                yield Record(path, begin, dict(zip(header, row, strict=True)))
            begin = reader.line_num + 1
    except csv.Error as error:
        way_out = "a text that holds a quote stands in quotes, its own doubled"
        raise DataError(path, f"is not a table ({error}); {way_out}", line=begin) from None


def columns(path: Path) -> Iterator[list[tuple[int, list[str]]]]:
    """Yield the blocks of a CoNLL file between blank lines: the number and the columns of each line."""
    block: list[tuple[int, list[str]]] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip() and not line.startswith("-DOCSTART-"):
            row = line.rstrip("\r")  # other signs that end a line somewhere may stand in a token
            block.append((number, row.split("\t") if "\t" in row else [part for part in row.split(" ") if part]))
        elif block:
            yield block
            block = []
    if block:
        yield block


def type_of(value: object) -> str:
    """Return what JSON calls ``value``."""
    names = {str: "text", list: "a list", dict: "an object", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number")
