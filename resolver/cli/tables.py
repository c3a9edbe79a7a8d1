"""Tables in which nothing is ever cut.

A word, and so an id or a figure, is never broken. On a narrow terminal lines are broken between
words; where that is not enough, each row becomes a block of lines. In a file or a pipe a table is
as wide as it needs to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from decimal import Decimal
from typing import Any

import rich.table
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from resolver.cli.terminal import UNBOUNDED, harmless

SHORT = 24
"""Columns of at most this width are narrowed last: names of two words, times."""

PIECE = 12
"""Least width of the pieces of a long word that is not ASCII: other scripts may write without
spaces. Ids and figures are ASCII."""


class Table(rich.table.Table):
    """A table that fits any terminal without losing anything; cells are `str` or `Text`.

    Its options are those of Rich's table, except for the frame: only a line below the headers.
    """

    def __init__(self, *headers: str, **options: Any) -> None:
        usual: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}
        super().__init__(*headers, **usual | options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row. A control character takes no room, but the sign that is shown for it does, so
        that the sign must be there before the widths are measured."""
        super().add_row(*map(_harmless, cells), **options)

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
        """Each row as lines of "column  value", without empty values."""
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
    """The result of a query as a table, with numbers on the right."""
    table = Table()
    for number, column in enumerate(columns):
        numeric = any(isinstance(row[number], (int, float, Decimal)) for row in rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    return table


def add_counts(table: Table, title: str, counts: Mapping[str, int]) -> None:
    """Add one row for each kind that is counted; the title stands before the first."""
    for number, (kind, count) in enumerate(counts.items() or (("nothing", 0),)):
        table.add_row("" if number else title, f"{count:,} {kind}" if count else str(kind))


def _shared_out(least: Sequence[int], most: Sequence[int], room: int) -> list[int] | None:
    """Widths of the columns; None where a word does not fit."""
    for widths in (
        [wide if wide <= SHORT else narrow for narrow, wide in zip(least, most, strict=True)],
        list(least),
    ):
        if sum(widths) <= room:
            return _grown(widths, most, room)
    return None


def _grown(widths: list[int], most: Sequence[int], room: int) -> list[int]:
    """Widths after the room that is left was shared equally among the columns that need it."""
    while True:
        short = [number for number, width in enumerate(widths) if width < most[number]]
        share = (room - sum(widths)) // len(short) if short else 0
        if not share:
            return widths
        for number in short:
            widths[number] = min(widths[number] + share, most[number])


def _harmless(cell: Any) -> Any:
    if isinstance(cell, str):
        return harmless(cell)
    if isinstance(cell, Text) and (shown := harmless(cell.plain)) != cell.plain:
        cell = cell.copy()
        cell.plain = shown
    return cell


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def _words(text: str) -> Iterator[int]:
    for line in text.splitlines():
        # An indented line keeps its indent.
        indent = len(line) - len(line.lstrip())
        for word in line.split():
            yield indent + (cell_len(word) if word.isascii() else min(cell_len(word), PIECE))
            indent = 0


def _lines(text: str) -> Iterator[int]:
    yield from map(cell_len, text.splitlines())
