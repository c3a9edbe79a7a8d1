"""``resolver migrate`` and ``resolver sql``: the database."""

from __future__ import annotations

import sys
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer

from resolver.cli import exporting
from resolver.cli.tables import rows_table
from resolver.cli.terminal import console, say, stdout_for_programs
from resolver.database import querying, schema
from resolver.database.querying import Answer
from resolver.errors import SettingsError
from resolver.service import service
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
        before = schema.current(engine)
        if not yes and (lost := schema.losses(engine, revision)):
            raise SettingsError(
                f"going to {revision} drops what is stored: {lost}",
                remedy="keep it: resolver backup before.dump; then: "
                f"resolver migrate {revision} --yes",
            )
        lost = schema.migrate(engine, revision)
        after = schema.current(engine)
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
        schema.require_schema(engine)
        with querying.asking(engine, statement, typed=parquet is not None) as answer:
            if parquet:
                written = exporting.write_parquet(parquet, answer)
                say(f"{parquet}: {written:,} rows")
            elif as_csv:
                with stdout_for_programs() as file:
                    exporting.write_csv(file, answer)
            else:
                _print(answer)


def _print(answer: Answer) -> None:
    """Page by page, each a table of its own: a result of any length takes the memory of one."""
    columns = [column.name for column in answer.columns]
    pages = iter(lambda: list(islice(answer.rows, querying.PAGE)), [])
    for page in chain([next(pages, [])], pages):
        console.print(rows_table(columns, [tuple(map(_cell, row)) for row in page]))


def _cell(value: object) -> object:
    """Numbers as they are, for they stand on the right; all else as text."""
    numeric = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return value if numeric or value is None else exporting.shown(value)
