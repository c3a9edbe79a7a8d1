"""``resolver migrate`` and ``resolver sql``: the database."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from resolver import service
from resolver.cli import exporting
from resolver.cli.terminal import console, say
from resolver.database import connection, migrating, querying
from resolver.database.querying import Answer
from resolver.errors import SettingsError
from resolver.settings import load_settings


def migrate(
    revision: Annotated[
        str, typer.Argument(help="head, or a revision to go up or down to.")
    ] = "head",
    yes: Annotated[
        bool, typer.Option("--yes", help="Yes, go down, and lose what is stored there.")
    ] = False,
) -> None:
    """Bring the database's tables and views to this version of the code.

    A way down that would lose anything stored says what, table by table, and is gone with --yes
    alone.
    """
    with service.database(load_settings()) as engine:
        before = migrating.current(engine)
        if not yes and (lost := migrating.losses(engine, revision)):
            raise SettingsError(
                f"going to {revision} drops what is stored: {lost}",
                remedy="keep it: resolver backup before.dump; then: "
                f"resolver migrate {revision} --yes",
            )
        lost = migrating.migrate(engine, revision)
        after = migrating.current(engine)
    say(f"database at {after or 'base'}" + ("" if before != after else ", nothing to do"))
    if lost:
        say(f"gone: {lost}")


def sql(
    query: Annotated[str | None, typer.Argument(help="One SELECT; without it, stdin.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table.")] = False,
    parquet: Annotated[
        Path | None, typer.Option(help="Write a Parquet file instead of a table.")
    ] = None,
) -> None:
    """Run a read-only query, such as those of docs/sql.md; of use where there is no psql."""
    if as_csv and parquet:
        raise SettingsError("--csv and --parquet exclude each other")
    statement = sys.stdin.read() if query is None else query
    with service.database(load_settings()) as engine:
        connection.require_schema(engine)
        with querying.asking(engine, statement, typed=parquet is not None) as answer:
            if parquet:
                written = exporting.write_parquet(parquet, answer)
                say(f"{escape(str(parquet))}: {written:,} rows")
            elif as_csv:
                with _utf8() as file:
                    exporting.write_csv(file, answer)
            else:
                _print(answer)


@contextmanager
def _utf8() -> Iterator[TextIO]:
    """Standard output for data: UTF-8 whatever the terminal's encoding is."""
    file = TextIOWrapper(sys.stdout.buffer, "utf-8", newline="")
    try:
        yield file
    finally:
        # Stdout stays open.
        file.detach()


def _print(answer: Answer) -> None:
    """Page by page, each a table of its own: a result of any length takes the memory of one."""
    columns = [column.name for column in answer.columns]
    pages = iter(lambda: list(islice(answer.rows, querying.PAGE)), [])
    for page in chain([next(pages, [])], pages):
        console.print(rows_table(columns, [tuple(map(_cell, row)) for row in page]))


def _cell(value: object) -> object:
    """Numbers as they are, for they stand on the right; all else as text."""
    numeric = isinstance(value, NUMBERS) and not isinstance(value, bool)
    return value if numeric or value is None else exporting.shown(value)


NUMBERS = (int, float, Decimal)
SHORT = 24
"""Columns whose values are at most this wide are never broken: ids, numbers, dates."""


def rows_table(
    columns: Sequence[str], rows: Sequence[tuple[object, ...]], *, one_line: bool = False
) -> Table:
    """A query's result for a person.

    Long values are wrapped, or cut with `one_line`. Where there are too many columns for the
    terminal, each row becomes a block of lines.
    """
    shown = [["" if value is None else str(value) for value in row] for row in rows]
    widths = [max(map(len, values)) for values in zip(columns, *shown, strict=True)]
    long = sum(width > SHORT for width in widths)
    left = console.width - sum(width + 3 for width in widths if width <= SHORT)
    if left < (SHORT + 3) * long:
        return _blocks(columns, shown)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, (column, width) in enumerate(zip(columns, widths, strict=True)):
        table.add_column(
            column,
            no_wrap=one_line or width <= SHORT,
            max_width=left // long - 3 if width > SHORT else None,
            justify="right" if any(isinstance(row[number], NUMBERS) for row in rows) else "left",
        )
    for row in shown:
        table.add_row(*map(Text, row))
    return table


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            table.add_row(column, Text(value))
        table.add_section()
    return table
