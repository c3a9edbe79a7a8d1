"""``resolver migrate`` and ``resolver sql``: the database."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from resolver import service
from resolver.cli.terminal import console, say
from resolver.database import connection, migrating
from resolver.errors import SettingsError
from resolver.settings import load_settings


def migrate(
    revision: Annotated[
        str, typer.Argument(help="head, or a revision to go up or down to.")
    ] = "head",
) -> None:
    """Bring the database's tables and views to this version of the code."""
    with service.database(load_settings()) as engine:
        before = migrating.current(engine)
        migrating.migrate(engine, revision)
        after = migrating.current(engine)
    say(f"database at {after or 'base'}" + ("" if before != after else ", nothing to do"))


def sql(
    query: Annotated[str | None, typer.Argument(help="One SELECT; without it, stdin.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table.")] = False,
) -> None:
    """Run a read-only query, such as those of docs/sql.md; of use where there is no psql."""
    statement = query or sys.stdin.read()
    with service.database(load_settings()) as engine:
        connection.require_schema(engine)
        with engine.connect() as session:
            session.execute(text("SET TRANSACTION READ ONLY"))
            try:
                # exec_driver_sql: a colon or a percent sign in the query is its own.
                result = session.exec_driver_sql(statement.rstrip().rstrip(";"))
            except ProgrammingError as error:
                raise SettingsError(
                    f"the query failed: {str(error.orig).splitlines()[0]}"
                ) from error
            columns = list(result.keys())
            rows = result.fetchall()
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows(rows)
        return
    console.print(rows_table(columns, [tuple(row) for row in rows]))


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
