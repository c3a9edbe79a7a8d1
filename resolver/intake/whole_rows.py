"""Files of affiliations → their rows with all columns, in order.

`resolver.intake.files` reads the same files as records, with what a record needs and no more.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resolver.errors import IntakeError, SettingsError
from resolver.intake import json_lines, parquet, table, work_files
from resolver.intake.columns import Columns
from resolver.intake.delimited import BadRow
from resolver.intake.files import file_encoding
from resolver.intake.format import WORKS, Format, format_of
from resolver.intake.lines import Opened, not_in, opened
from resolver.intake.positions import Positions
from resolver.intake.rows import RowConverter
from resolver.validation import json_kind

WORK_COLUMNS = ("source", "id", "position", "affiliation", "asserted_ror_ids")
"""The columns of a file of works."""


@dataclass(frozen=True, slots=True)
class WholeRow:
    """A row with all its columns: `cells` has a value for each of `names`.

    In a table all rows have the names of its header, which may repeat; in JSON lines each has its
    own. `affiliation` is "" where the value is missing. `line` counts from 1.
    """

    line: int
    names: Sequence[str]
    cells: Sequence[object]
    affiliation: str


class RowFile(Iterator["WholeRow | IntakeError"]):
    """The rows of a file, read as it is iterated over, an error in the place of each bad one.

    `form` is how it is written; `delimiter` stands between the columns of a table, None in other
    files. `marked` says that it begins with a byte order mark of UTF-8, as Excel writes it.
    `schema` is that of a Parquet file (`pyarrow.Schema`), None of others.
    """

    def __init__(self, start: Opened, converter: RowConverter, files: ExitStack) -> None:
        self.delimiter: str | None = None
        self.marked = start.head.startswith(codecs.BOM_UTF8)
        self.schema: Any = None
        self._converter = converter
        self._files = files
        rows = _READERS[converter.form](self, start, converter)
        # Reads the header now, so that a wrong one is reported before anything is resolved.
        self._first = next(rows, None)
        self._rows = rows
        self.form = converter.form

    def __next__(self) -> WholeRow | IntakeError:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            return next(self._rows)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._files.close()

    def remarks(self) -> list[str]:
        """What a user should know of how the file was read; complete when all rows are read."""
        # No ids are needed here, so lines are not numbered for want of them.
        self._converter.numbered = False
        return self._converter.remarks()


def read_rows(
    path: Path,
    *,
    format: Format = Format.AUTO,
    affiliation: str = "affiliation",
    delimiter: str | None = None,
    quoted: bool | None = None,
    encoding: str | None = None,
) -> RowFile:
    """The rows of a file in order. Formats are recognised as by `resolver.intake.files.read_file`;
    `affiliation` is the column that must be there.

    Raises (at once or while rows are read):
        SettingsError: the file cannot be used, or a line is not in its encoding; says which.
        FileBroken: the file breaks off.
    """
    columns = Columns(affiliation)
    with ExitStack() as files:
        start = files.enter_context(opened(path))
        form = format_of(path, start, format, columns, delimiter, encoding)
        converter = RowConverter(
            name=start.name,
            form=form,
            columns=columns,
            given=None,
            source="",
            encoding=file_encoding(start, form, encoding),
            recognised=format is Format.AUTO,
            delimiter=delimiter,
            quoted=quoted,
            blank=True,
            positions=files.enter_context(Positions()),
        )
        return RowFile(start, converter, files.pop_all())


Rows = Iterator[WholeRow | IntakeError]


def _table_rows(file: RowFile, start: Opened, converter: RowConverter) -> Rows:
    read = table.opened(start, converter)
    file.delimiter = read.delimiter
    column = read.header.index(converter.columns.affiliation)
    assert converter.encoding is not None
    position = -1
    for row in read.rows:
        position += 1
        if isinstance(row, BadRow):
            yield converter.refusal(table.bad_row_reason(row), position=position, line=row.line)
            continue
        if not any(row.cells):
            continue
        for cell in row.cells:
            _require_encoding(cell, converter, row.line)
        if len(row.cells) != len(read.header):
            reason = f"{len(row.cells)} cells under a header of {len(read.header)}"
            yield converter.refusal(reason, position=position, line=row.line)
            continue
        yield WholeRow(row.line, read.header, row.cells, row.cells[column])


def _json_rows(_file: RowFile, start: Opened, converter: RowConverter) -> Rows:
    position = -1
    for number, line in converter.lines(start):
        if line is not None and not line.strip():
            continue
        position += 1
        _require_encoding(line or "", converter, number)
        try:
            row = json_lines.json_object(converter.text(line), converter.columns)
            text = _text(row.get(converter.columns.affiliation))
        except ValueError as error:
            yield converter.refusal(str(error), position=position, line=number)
            continue
        yield WholeRow(number, list(row), list(row.values()), text)


def _text_rows(_file: RowFile, start: Opened, converter: RowConverter) -> Rows:
    names = [converter.columns.affiliation]
    for number, line in converter.lines(start):
        _require_encoding(line or "", converter, number)
        try:
            text = converter.text(line)
        except ValueError as error:
            yield converter.refusal(str(error), position=number - 1, line=number)
            continue
        yield WholeRow(number, names, [text], text)


def _parquet_rows(file: RowFile, start: Opened, converter: RowConverter) -> Rows:
    with parquet.opened(start, converter) as read:
        file.schema = read.schema_arrow
        names = list(file.schema.names)
        converter.require_columns(names)
        column = names.index(converter.columns.affiliation)
        number = 0
        for batch in parquet.batches(read, converter):
            columns = [values.to_pylist() for values in batch.columns]
            for cells in zip(*columns, strict=True):
                number += 1
                try:
                    text = _text(cells[column])
                except ValueError as error:
                    yield converter.refusal(str(error), position=number - 1, line=number)
                    continue
                yield WholeRow(number, names, cells, text)


def _work_rows(_file: RowFile, start: Opened, converter: RowConverter) -> Rows:
    for number, record in enumerate(work_files.read(start, converter), 1):
        if isinstance(record, IntakeError):
            yield record
            continue
        asserted = list(getattr(record, "asserted", ()))
        cells = [record.source, record.external_id, record.position, record.affiliation, asserted]
        yield WholeRow(number, WORK_COLUMNS, cells, record.affiliation)


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"affiliation: is {json_kind(value)}, not a string")
    return value


def _require_encoding(text: str, converter: RowConverter, line: int) -> None:
    """Refuse to go on where a line is not in the encoding of the file: more will follow."""
    assert converter.encoding is not None
    if not text.isascii() and (problem := not_in(converter.encoding, text)):
        raise SettingsError(
            f"{converter.name}, line {line}: {problem}",
            remedy="name the encoding that it was saved in, such as --encoding windows-1252",
        )


_READERS: Mapping[Format, Callable[[RowFile, Opened, RowConverter], Rows]] = {
    Format.JSONL: _json_rows,
    Format.CSV: _table_rows,
    Format.TSV: _table_rows,
    Format.PARQUET: _parquet_rows,
    Format.TXT: _text_rows,
    **dict.fromkeys((Format.AUTO, *WORKS), _work_rows),
}
