"""Tables in text (CSV, TSV) → records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from resolver.errors import SettingsError
from resolver.intake import delimited
from resolver.intake.delimited import BadRow, Row
from resolver.intake.format import Format
from resolver.intake.lines import Opened, not_in
from resolver.intake.message import MAX_POSITION
from resolver.intake.rows import Records, RowConverter, shown

LOOK = 100
"""Rows looked at to learn whether the ids of a table are whole numbers that became fractions."""

_FRACTION = re.compile(r"\d{1,16}\.0")
"""A whole number as pandas writes it in a column where some are missing."""

_SCIENTIFIC = re.compile(r"\d(\.\d+)?[eE]\+\d+")
"""A long number as Excel and pandas write it: its last digits are lost."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose header was read. `rows` are those below it; `quoted` says whether cells may be
    in quotes."""

    header: list[str]
    rows: Iterator[Row | BadRow]
    delimiter: str
    quoted: bool


def opened(start: Opened, converter: RowConverter) -> Table:
    """A table up to its header.

    Raises:
        SettingsError: the header lacks a column, or cannot be read.
    """
    assert converter.encoding is not None
    usual = "\t" if converter.form is Format.TSV else ","
    first = start.first_line(converter.encoding)
    wanted = converter.columns.affiliation
    delimiter = converter.delimiter or delimited.delimiter_of(first, wanted, usual) or usual
    if delimiter != usual:
        converter.separated = delimited.NAMES.get(delimiter, repr(delimiter))
    quoted = converter.quoted
    if quoted is None:
        quoted = delimiter != "\t" or first.lstrip().startswith('"')
    rows = delimited.rows(converter.lines(start), delimiter=delimiter, quoted=quoted)
    header: list[str] | None = None
    for row in rows:
        if isinstance(row, BadRow):
            raise SettingsError(
                f"{converter.name}, line {row.line}: {row.reason}, in the header",
                remedy="the first line must name the columns",
            )
        if any(cell.strip() for cell in row.cells):
            header = [name.strip() for name in row.cells]
            break
    converter.require_columns(header or [])
    assert header is not None
    converter.begin(header)
    return Table(header, rows, delimiter, quoted)


def bad_row_reason(row: BadRow) -> str:
    """Why a line is no row, with what helps."""
    if "quote" in row.reason:
        return f"{row.reason}; double it, or say that quotes are part of the text (--unquoted)"
    return row.reason


def read(start: Opened, converter: RowConverter) -> Records:
    table = opened(start, converter)
    header, rows, quoted = table.header, table.rows, table.quoted
    position = -1
    for row in _with_whole_ids(rows, header, converter):
        if isinstance(row, Row) and not any(row.cells):
            continue
        position += 1
        if isinstance(row, BadRow):
            yield converter.refusal(bad_row_reason(row), position=position, line=row.line)
            continue
        if row.lines > 1:
            converter.counts.spread += 1
            converter.counts.longest = max(converter.counts.longest, (row.lines, row.line))
        if not quoted and any(len(c) > 1 and c[0] == c[-1] == '"' for c in row.cells):
            converter.counts.in_quotes += 1
        try:
            cells = _cells(row, header, converter)
        except ValueError as error:
            yield converter.refusal(str(error), position=position, line=row.line)
        else:
            yield converter.record(cells, position=position, line=row.line)


def _cells(row: Row, header: list[str], converter: RowConverter) -> dict[str, object]:
    """The cells of a row by the names of their columns, positions as numbers.

    Raises:
        ValueError: says what is wrong with the row.
    """
    if len(row.cells) != len(header):
        raise ValueError(f"{len(row.cells)} cells under a header of {len(header)}")
    assert converter.encoding is not None
    for cell in row.cells:
        if not cell.isascii() and (problem := not_in(converter.encoding, cell)):
            raise ValueError(problem.split(" (", maxsplit=1)[0])
    cells: dict[str, object] = dict(zip(header, row.cells, strict=True))
    names = converter.columns
    place = cells.get(names.position)
    if isinstance(place, str):
        place = place.strip()
        if not place:
            del cells[names.position]
        elif len(place) <= len(str(MAX_POSITION)) + len(".0") and (
            place.isdecimal() or _FRACTION.fullmatch(place)
        ):
            cells[names.position] = int(place.removesuffix(".0"))
    number = cells.get(names.id)
    if isinstance(number, str):
        if _SCIENTIFIC.fullmatch(number):
            raise ValueError(
                f"id: {number} has lost its digits (Excel and pandas write long numbers so): "
                "store the column as text"
            )
        pointed = _FRACTION.fullmatch(number) is not None
        if pointed and converter.fractions:
            cells[names.id] = number.removesuffix(".0")
        elif pointed:
            converter.counts.pointed += 1
        elif converter.fractions and number.strip():
            raise ValueError(f"id: {shown(number)!r} among ids that are numbers (123.0)")
    return cells


def _with_whole_ids(
    rows: Iterator[Row | BadRow], header: list[str], converter: RowConverter
) -> Iterator[Row | BadRow]:
    """The same rows, after a look at the first `LOOK` ids: where all of them end in .0, they are
    whole numbers that became fractions."""
    if converter.columns.id not in header:
        return rows
    column = header.index(converter.columns.id)
    ahead: list[Row | BadRow] = []
    fractions = 0
    for row in rows:
        ahead.append(row)
        if isinstance(row, BadRow) or len(row.cells) <= column or not row.cells[column].strip():
            continue
        if not _FRACTION.fullmatch(row.cells[column]):
            fractions = 0
            break
        fractions += 1
        if fractions == LOOK:
            break
    converter.fractions = fractions > 0
    return chain(ahead, rows)
