"""``resolver migrate`` and ``resolver sql``: the database."""

from __future__ import annotations

import csv
import sys
from typing import Annotated

import typer
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from resolver import service
from resolver.cli.tables import rows_table
from resolver.cli.terminal import console, say, stdout_for_programs
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
        with stdout_for_programs() as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)
        return
    console.print(rows_table(columns, [tuple(row) for row in rows]))
