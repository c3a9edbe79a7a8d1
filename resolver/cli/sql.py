"""``resolver sql``: a query of the database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from resolver.cli import query_files
from resolver.cli.tables import rows_table
from resolver.cli.terminal import console, progress, say, stdout_for_programs
from resolver.database import querying
from resolver.database.querying import QueryResult
from resolver.errors import SettingsError
from resolver.service.installation import Installation
from resolver.settings import load_settings


def sql(
    query: Annotated[str | None, typer.Argument(help="One SELECT; without it, stdin.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table.")] = False,
    parquet: Annotated[
        Path | None, typer.Option(help="Write a Parquet file instead of a table.")
    ] = None,
) -> None:
    """Run a read-only query, such as those of docs/sql.md; useful where there is no psql."""
    if as_csv and parquet:
        raise SettingsError("--csv and --parquet exclude each other")
    statement = sys.stdin.read() if query is None else query
    with (
        Installation(load_settings()) as installation,
        querying.asking(installation.engine, statement, typed=parquet is not None) as answer,
    ):
        if parquet:
            written = query_files.write_parquet(parquet, _counted(answer))
            say(f"{parquet}: {written:,} {'row' if written == 1 else 'rows'}")
        elif as_csv:
            with stdout_for_programs() as file:
                query_files.write_csv(file, answer if console.watched else _counted(answer))
        else:
            _print(answer)


def _counted(answer: QueryResult) -> QueryResult:
    """The same rows, with a bar of progress; Postgres does not tell how many there will be."""

    def rows() -> Iterator[tuple[Any, ...]]:
        with progress("rows") as report:
            done = 0
            for done, row in enumerate(answer.rows, start=1):
                yield row
                if done % querying.PAGE == 0:
                    report(done)
            report(done)

    return QueryResult(answer.columns, rows())


def _print(answer: QueryResult) -> None:
    """Print each page as a table of its own: a result of any length takes the memory of a page."""
    columns = [column.name for column in answer.columns]
    pages = iter(lambda: list(islice(answer.rows, querying.PAGE)), [])
    for page in chain([next(pages, [])], pages):
        console.print(rows_table(columns, [tuple(map(_cell, row)) for row in page]))


def _cell(value: object) -> object:
    """Numbers as they are, to be aligned on the right; all else as text."""
    numeric = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return value if numeric or value is None else query_files.shown(value)
