"""The result of a query as CSV and as Parquet, written row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from resolver.database.querying import QueryResult
from resolver.errors import SettingsError

if TYPE_CHECKING:
    import pyarrow
    from psycopg import Column

ROW_GROUP = 20_000
"""Rows in memory at a time, and of a row group of a Parquet file."""


def shown(value: object) -> str:
    """A value as text: lists and objects as JSON, nothing for null."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() | tuple() | dict():
            return orjson.dumps(value, default=str).decode()
        case _:
            return str(value)


def write_csv(file: IO[str], answer: QueryResult) -> None:
    writer = csv.writer(file)
    writer.writerow([column.name for column in answer.columns])
    writer.writerows(map(shown, row) for row in answer.rows)


def write_parquet(path: Path, answer: QueryResult) -> int:
    """Write a file, whole or not at all; returns the number of rows.

    Numbers, booleans, dates, times and bytes keep their type, and so do arrays of them and of text.
    A ``numeric`` of no fixed precision becomes a double. All else is text; JSON is JSON text.

    Raises:
        SettingsError: pyarrow is not installed, or the file cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise SettingsError(
            "writing Parquet needs pyarrow",
            remedy="pip install 'affiliation-resolver[parquet]'",
        ) from error
    names = [column.name for column in answer.columns]
    if len(set(names)) < len(names):
        raise SettingsError(
            f"two columns have the name {max(names, key=names.count)!r}",
            remedy="name them apart: SELECT a.text AS one, b.text AS other …",
        )
    types = [_type(column) for column in answer.columns]
    schema = pyarrow.schema(list(zip(names, types, strict=True)))
    part = path.with_name(f".{path.name}.part")
    written = 0
    try:
        with parquet.ParquetWriter(part, schema) as writer:
            for rows in _groups(answer.rows):
                columns = [
                    pyarrow.array([_cell(value, type_) for value in column], type_)
                    for column, type_ in zip(zip(*rows, strict=True), types, strict=True)
                ]
                writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
                written += len(rows)
        part.replace(path)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return written


def _groups(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    rows = iter(rows)
    while group := list(islice(rows, ROW_GROUP)):
        yield group


def _type(column: Column) -> pyarrow.DataType:
    """By the numbers that Postgres' own types have for good (its ``pg_type.dat``)."""
    import pyarrow

    plain = {
        16: pyarrow.bool_(),
        17: pyarrow.binary(),
        20: pyarrow.int64(),
        21: pyarrow.int16(),
        23: pyarrow.int32(),
        700: pyarrow.float32(),
        701: pyarrow.float64(),
        1082: pyarrow.date32(),
        1083: pyarrow.time64("us"),
        1114: pyarrow.timestamp("us"),
        1184: pyarrow.timestamp("us", tz="UTC"),
    }
    arrays = {1000: 16, 1001: 17, 1016: 20, 1005: 21, 1007: 23, 1021: 700, 1022: 701,
              1182: 1082, 1183: 1083, 1115: 1114, 1185: 1184}  # fmt: skip
    code = column.type_code
    if code == 1700:
        if column.precision is not None and column.precision <= 38 and (column.scale or 0) >= 0:
            return pyarrow.decimal128(column.precision, column.scale or 0)
        return pyarrow.float64()
    if code in (1009, 1015, 1003):  # text[], varchar[], name[]
        return pyarrow.list_(pyarrow.string())
    if code in arrays:
        return pyarrow.list_(plain[arrays[code]])
    return plain.get(code, pyarrow.string())


def _cell(value: Any, type_: pyarrow.DataType) -> Any:
    import pyarrow

    if value is None:
        return None
    if pyarrow.types.is_string(type_):
        return shown(value)
    return float(value) if pyarrow.types.is_float64(type_) else value
