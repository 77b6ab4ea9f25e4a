"""Rows of jsonl, csv, tsv and parquet: one row one document, its text in one named field.

What bites: a row is held whole, so rows over MAX_ROW are refused. Where no row of a file has the field, that is the
user's mistake and not a matter of counting: DataError.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, AnyStr

from unmask.corpus.refusals import (
    BROKEN_CSV,
    BROKEN_JSON,
    EMPTY,
    FIELD_MISSING,
    FIELD_NOT_TEXT,
    NOT_UTF8,
    ROW_TOO_LONG,
    Refusals,
)
from unmask.corpus.streams import opened, opened_for_seeking, opened_text, suffixes_of
from unmask.errors import DataError, MissingExtra, did_you_mean

if TYPE_CHECKING:
    import pyarrow

MAX_ROW = 64 * 2**20
"""Bytes of a line of jsonl; characters of a field of csv."""

_PIECE = 1 << 16
_PARQUET_ROWS = 256


def read_jsonl(name: str, field: str, refused: Refusals) -> Iterator[tuple[str, int]]:
    """Yield the text in ``field`` of each line, with the line's number."""
    odd: int | None = None
    others: dict[str, int] = {}  # the fields of rows without ours, with the line that had them first
    is_field_known = False
    with opened(name) as stream:
        for line, raw in _bounded_lines(stream, b"\n", name, refused):
            if not raw:
                continue
            row = _parsed(raw)
            if not isinstance(row, dict):
                odd = odd or (line if row == BROKEN_JSON else None)
                refused.add(str(row), f"{name}:{line}")
            elif field not in row:
                refused.add(FIELD_MISSING, f"{name}:{line}")
                others = others or dict.fromkeys(row, line)
            else:
                is_field_known = True
                if isinstance(row[field], str):
                    yield row[field], line
                else:
                    refused.add(FIELD_NOT_TEXT, f"{name}:{line}")
    if others and not is_field_known:
        raise _no_such_field(name, field, list(others), next(iter(others.values())))
    if odd and not is_field_known:
        raise DataError(name, "this line is no JSON object, nor is any other; write one object a line", line=odd)


def _parsed(raw: bytes) -> dict[str, Any] | str:
    """Return the object in a line of jsonl, or the reason why there is none."""
    if not raw.strip():
        return EMPTY
    try:
        row = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return NOT_UTF8
    except (ValueError, RecursionError):  # also numbers of too many digits
        return BROKEN_JSON
    return row if isinstance(row, dict) else BROKEN_JSON


def read_csv(name: str, field: str, refused: Refusals) -> Iterator[tuple[str, int]]:
    """Yield the text in the column ``field`` of each row, with the number of the row's first line.

    The first row names the columns. Quoting is strict: a quote that is out of place makes a broken row.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))  # the default of 128 KB is below many documents
    delimiter = "\t" if suffixes_of(name)[0] == ".tsv" else ","
    with opened_text(name, newline="") as stream:
        lines = (text for _, text in _bounded_lines(stream, "\n", name, refused))
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        column: int | None = None
        while True:
            line = rows.line_num + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error:
                refused.add(BROKEN_CSV, f"{name}:{line}")
                continue
            if row and column is None:
                column = _column(name, field, [cell.strip() for cell in row], line)
            elif column is not None and column < len(row):
                yield row[column], line
            elif row:
                refused.add(FIELD_MISSING, f"{name}:{line}")


def read_parquet(name: str, field: str, refused: Refusals) -> Iterator[tuple[str, int]]:
    """Yield the text in the column ``field`` of each row, with the row's number from 1."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("train", "pyarrow") from None
    with opened_for_seeking(name) as file:
        row = 0
        try:
            table = pyarrow.parquet.ParquetFile(file)
            index = _column(name, field, table.schema_arrow.names, None)
            _check_is_text(name, field, table.schema_arrow.types[index])
            for batch in table.iter_batches(batch_size=_PARQUET_ROWS, columns=[field]):
                for value in _as_bytes(batch.column(0)):
                    row += 1
                    if value is None:
                        refused.add(FIELD_MISSING, f"{name}:{row}")
                    else:
                        yield value.decode("utf-8", "surrogateescape"), row
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(name, f"is no sound parquet file ({' '.join(str(error).split())})", line=row + 1) from None


def _bounded_lines(stream: IO[AnyStr], end: AnyStr, name: str, refused: Refusals) -> Iterator[tuple[int, AnyStr]]:
    """Yield the lines of ``stream`` with their numbers; one over MAX_ROW is refused and comes out empty."""
    line = 1
    while row := stream.readline(MAX_ROW):
        if len(row) == MAX_ROW and not row.endswith(end):
            refused.add(ROW_TOO_LONG, f"{name}:{line}")
            while (rest := stream.readline(_PIECE)) and not rest.endswith(end):
                pass
            row = end[:0]
        yield line, row
        line += 1


def _column(name: str, field: str, columns: Sequence[str], line: int | None) -> int:
    if field not in columns:
        raise _no_such_field(name, field, columns, line)
    return list(columns).index(field)


def _no_such_field(name: str, field: str, known: Sequence[str], line: int | None) -> DataError:
    has = did_you_mean(field, known) or f"; there are {', '.join(known[:8])}"
    return DataError(name, f"no field '{field}' here{has}; set corpus.field", line=line)


def _check_is_text(name: str, field: str, kind: pyarrow.DataType) -> None:
    from pyarrow import types

    value = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(value) or types.is_large_string(value) or types.is_string_view(value)):
        raise DataError(name, f"the field '{field}' holds {kind}, not text; set corpus.field to a column of strings")


def _as_bytes(column: pyarrow.Array) -> Iterator[bytes | None]:
    """Yield the values of a column of strings as bytes: a string that is not UTF-8 could not be converted otherwise."""
    import pyarrow

    for value in column.cast(pyarrow.large_binary()):
        yield value.as_py()
