"""Rows of cells: CSV and formats like it. A bad row never spoils the rows after it."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

DELIMITERS = (",", ";", "\t", "|")
"""What may stand between the columns of a header."""

NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a row. `line` is the number of its first line, `lines` the count of its lines: a
    quoted cell may hold line breaks."""

    line: int
    lines: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that cannot be read as a row, alone or together with the lines after it."""

    line: int
    reason: str


def rows(
    lines: Iterable[tuple[int, str | None]], *, delimiter: str, quoted: bool
) -> Iterator[Row | BadRow]:
    """Numbered lines with their ends (`resolver.intake.lines`) → rows.

    With `quoted` a cell may stand in double quotes, as in CSV (RFC 4180). A quote that is not
    closed, or is closed in the middle of a cell, spoils its own line only: reading goes on with the
    next line. Without `quoted` a quote is a character like others.
    """
    source, waiting = iter(lines), deque[tuple[int, str | None]]()

    def take() -> tuple[int, str | None] | None:
        return waiting.popleft() if waiting else next(source, None)

    while (taken := take()) is not None:
        number, line = taken
        if line is None:
            yield BadRow(number, TOO_LONG)
        elif not quoted or '"' not in line:
            yield Row(number, 1, line.rstrip("\r\n").split(delimiter))
        else:
            beyond: list[tuple[int, str | None]] = []

            def feed(first: str, beyond: list[tuple[int, str | None]]) -> Iterator[str]:
                yield first
                while (more := take()) is not None:
                    beyond.append(more)
                    if more[1] is None:
                        return
                    yield more[1]

            try:
                cells = next(csv.reader(feed(line, beyond), delimiter=delimiter, strict=True))
            except csv.Error as error:
                waiting.extendleft(reversed(beyond))
                yield BadRow(number, _reason(error, alone=not beyond))
            else:
                yield Row(number, 1 + len(beyond), cells)


TOO_LONG = "longer than any line may be"


def _reason(error: csv.Error, *, alone: bool) -> str:
    if alone and "expected after" in str(error):
        return "a quote inside a quoted cell is not doubled"
    return "a quote is opened and not closed"


def header(line: str, delimiter: str) -> list[str]:
    """The names in a first line, without the quotes and space around them."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        cells = line.split(delimiter)
    return [cell.strip() for cell in cells]


def delimiter_of(line: str, wanted: str, likely: str) -> str | None:
    """The delimiter by which a header has the column `wanted`; `likely` is tried first. None where
    no delimiter gives it that column."""
    for delimiter in (likely, *DELIMITERS):
        if wanted in header(line, delimiter):
            return delimiter
    return None


def repeated(names: Sequence[str], used: Iterable[str]) -> list[str]:
    """Those of the `used` names that a header has more than once."""
    return [name for name in dict.fromkeys(used) if names.count(name) > 1]
