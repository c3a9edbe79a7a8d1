"""Parquet → records."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from resolver.errors import SettingsError
from resolver.intake.columns import Columns
from resolver.intake.lines import Opened
from resolver.intake.rows import Records, RowConverter

_BATCH = 4096
"""Rows held in memory at once."""


def read(start: Opened, converter: RowConverter) -> Records:
    with opened(start, converter) as table:
        names = list(table.schema_arrow.names)
        converter.require_columns(names)
        converter.begin(names)
        wanted = set(converter.columns.all())
        position = -1
        for batch in batches(table, converter, [name for name in names if name in wanted]):
            for row in _rows(batch):
                position += 1
                yield converter.record(
                    _numbers(row, converter.columns), position=position, line=position + 1
                )


@contextmanager
def opened(start: Opened, converter: RowConverter) -> Iterator[Any]:
    """The file as a `pyarrow.parquet.ParquetFile`.

    Raises:
        SettingsError: pyarrow is not installed, or the file is none of Parquet.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise SettingsError(
            f"{converter.name}: reading Parquet needs pyarrow",
            remedy="pip install 'affiliation-resolver[parquet]'",
        ) from error
    with ExitStack() as files:
        stream = start.stream
        try:
            if start.sought:
                stream = files.enter_context(Path(converter.name).open("rb"))
            else:
                # A Parquet file has its directory at the end.
                stream = files.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(start.stream, stream)
        except OSError as error:
            raise SettingsError(
                f"{converter.name}: no temporary copy of it could be made: "
                f"{error.strerror or error}",
                remedy="name the file instead, unpacked; or a folder with room for it (TMPDIR)",
            ) from error
        try:
            table = parquet.ParquetFile(stream)
        except (pyarrow.ArrowException, OSError) as error:
            raise SettingsError(f"{converter.name}: not a Parquet file: {error}") from error
        yield table


def batches(table: Any, converter: RowConverter, columns: list[str] | None = None) -> Iterator[Any]:
    """The rows of a file in `pyarrow.RecordBatch`es, with these columns or all.

    Raises:
        FileBroken: the file cannot be read further.
    """
    import pyarrow

    read = 0
    try:
        for batch in table.iter_batches(_BATCH, columns=columns):
            yield batch
            read += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise converter.broken(error, line=read + 1) from error


def _numbers(row: dict[str, object], columns: Columns) -> dict[str, object]:
    """A row as it should be: without a position where that is empty (pandas writes "not a number"),
    and with the id a whole number where it is a decimal of that value."""
    place, number = row.get(columns.position, 0), row.get(columns.id)
    if place is None or place != place:
        del row[columns.position]
    if isinstance(number, Decimal) and number == number.to_integral_value():
        row[columns.id] = int(number)
    return row


def _rows(batch: Any) -> list[dict[str, object]]:
    """The rows of a batch; a string that is not UTF-8 stays bytes, and is refused later."""
    try:
        return cast("list[dict[str, object]]", batch.to_pylist())
    except UnicodeDecodeError:
        columns = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            columns[name] = [_scalar(value) for value in column]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _scalar(value: Any) -> object:
    try:
        return cast(object, value.as_py())
    except UnicodeDecodeError:
        return bytes(value.as_buffer())
