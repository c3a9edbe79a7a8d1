"""Tables for a person, of which nothing is ever cut.

A word, and so an id or a figure, stays in one piece. Where a terminal is too narrow, lines are
broken between words; where that is not enough, each row becomes a block of lines. What goes to a
file or another program is as wide as it needs to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from decimal import Decimal
from typing import Any

import rich.table
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from resolver.cli.terminal import UNBOUNDED

SHORT = 24
"""Columns that are at most this wide are broken last: names of two words, times."""

PIECE = 12
"""Cells that a long word of another script is broken into at least: such scripts may write without
spaces. Ids and figures are ASCII."""


class Table(rich.table.Table):
    """A table that fits any terminal without losing anything; cells are `str` or `Text`.

    Options are those of Rich's table, but for the frame: a line below the headers alone.
    """

    def __init__(self, *headers: str, **options: Any) -> None:
        usual: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}
        super().__init__(*headers, **usual | options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - self._frame(console, options)
        widths = _shared_out(
            [self._longest(number, _words) for number in range(len(self.columns))],
            [self._longest(number, _lines) for number in range(len(self.columns))],
            room,
        )
        if widths is None and self.show_header:
            yield from self._blocks().__rich_console__(console, options)
            return
        fitted = copy(self)
        fitted.columns = [copy(column) for column in self.columns]
        for number, column in enumerate(fitted.columns):
            column.overflow = "fold"
            column.width = None if widths is None else max(widths[number], 1)
            column.no_wrap = False
        yield from rich.table.Table.__rich_console__(fitted, console, options)

    def _frame(self, console: Console, options: ConsoleOptions) -> int:
        """Width of the lines and spaces between and around the columns."""
        empty = copy(self)
        empty.columns = [copy(column) for column in self.columns]
        empty.min_width = None
        for column in empty.columns:
            column.width, column.no_wrap = 1, True
        measured = empty.__rich_measure__(console, options.update(width=UNBOUNDED))
        return measured.maximum - len(empty.columns)

    def _longest(self, number: int, measure: Callable[[str], Iterable[int]]) -> int:
        column = self.columns[number]
        cells = [*column.cells, column.header if self.show_header else ""]
        return max((width for cell in cells for width in measure(_plain(cell))), default=0)

    def _blocks(self) -> rich.table.Table:
        """Each row as lines of "column  value", with nothing for what is empty."""
        blocks = rich.table.Table(
            title=self.title,
            title_justify=self.title_justify,
            title_style=self.title_style,
            caption=self.caption,
            caption_justify=self.caption_justify,
            box=box.SIMPLE,
            show_header=False,
            pad_edge=False,
        )
        blocks.add_column(style="dim", no_wrap=True)
        blocks.add_column(overflow="fold")
        columns = [list(column.cells) for column in self.columns]
        for row, cells in zip(self.rows, zip(*columns, strict=True), strict=True):
            for column, cell in zip(self.columns, cells, strict=True):
                if _plain(cell).strip():
                    blocks.add_row(column.header, cell, style=row.style)
            blocks.add_section()
        return blocks


def rows_table(columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> Table:
    """A query's result for a person; numbers to the right."""
    table = Table()
    for number, column in enumerate(columns):
        numeric = any(isinstance(row[number], (int, float, Decimal)) for row in rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    return table


def _shared_out(least: Sequence[int], most: Sequence[int], room: int) -> list[int] | None:
    """Widths of the columns; None where not every word has room."""
    for widths in (
        [wide if wide <= SHORT else narrow for narrow, wide in zip(least, most, strict=True)],
        list(least),
    ):
        if sum(widths) <= room:
            return _grown(widths, most, room)
    return None


def _grown(widths: list[int], most: Sequence[int], room: int) -> list[int]:
    """What is left of the room, given to the columns that can use it, alike to each."""
    while True:
        short = [number for number, width in enumerate(widths) if width < most[number]]
        share = (room - sum(widths)) // len(short) if short else 0
        if not share:
            return widths
        for number in short:
            widths[number] = min(widths[number] + share, most[number])


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def _words(text: str) -> Iterator[int]:
    for word in text.split():
        yield cell_len(word) if word.isascii() else min(cell_len(word), PIECE)


def _lines(text: str) -> Iterator[int]:
    yield from map(cell_len, text.splitlines())
