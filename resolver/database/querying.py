"""An analyst's query, read row by row; it cannot change what is stored.

The query runs in a read-only transaction, which is never committed. It is the body of a cursor,
which takes nothing but queries, or else one statement of the extended protocol; this refuses a
second statement, so the query cannot end the transaction and begin another. The rows stay at the
server until they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Column, ServerCursor
from psycopg.types.string import TextLoader
from sqlalchemy import Engine

from resolver.database.connection import driver, translate
from resolver.errors import SettingsError

PAGE = 1_000
"""Rows fetched at a time."""

_AS_TEXT = ("json", "jsonb", "timetz", "interval")
"""Types whose values stay as Postgres writes them: JSON is JSON."""

_AS_TEXT_OR_TYPED = ("date", "timestamp", "timestamptz", "time", "bytea")
"""Likewise, unless Python's types are asked for, which have no infinite date."""

_WITHOUT_CURSOR = re.compile(rb"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*(?:EXPLAIN|SHOW)\b", re.I | re.S)
"""Queries that read, but that no cursor takes."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The columns of a query, and its rows, which can be read once."""

    columns: Sequence[Column]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def asking(engine: Engine, query: str, *, typed: bool = False) -> Iterator[QueryResult]:
    """The answer to a query, to be read inside the block.

    JSON and intervals are text, as Postgres writes it; dates, times and bytes are, too, unless
    `typed` asks for Python's.

    Raises:
        SettingsError: the query has a mistake, is none, or would change something; as soon as it is
            known, so it may come while rows are read.
        DatabaseUnavailable: the server does not answer, or gives up.
    """
    if not query.strip(" \t\r\n;"):
        raise SettingsError("there is no query", remedy="as in: resolver sql 'TABLE unmatched'")
    try:
        written = query.encode()
    except UnicodeEncodeError:
        raise SettingsError("the query is not UTF-8") from None
    with translate(engine), engine.connect() as pooled:
        connection = driver(pooled)
        connection.read_only = True
        for name in _AS_TEXT if typed else (*_AS_TEXT, *_AS_TEXT_OR_TYPED):
            connection.adapters.register_loader(name, TextLoader)
        try:
            # If the transaction ended all the same, the next one would be read-only, too.
            connection.execute("SET default_transaction_read_only = on")
            # Plan for all rows, not for the first few.
            connection.execute("SET cursor_tuple_fraction = 1")
            with _mistakes():
                yield _answer(connection, written)
        finally:
            # With the settings.
            pooled.invalidate()


def _answer(connection: psycopg.Connection[Any], query: bytes) -> QueryResult:
    # No parameters are given, so a percent sign is the query's own.
    if _WITHOUT_CURSOR.match(query):
        # Prepared: that is the extended protocol.
        result = connection.execute(query, prepare=True)
        return QueryResult(result.description or (), iter(result))
    cursor = ServerCursor(connection, "resolver_sql")
    cursor.execute(query)
    return QueryResult(cursor.description or (), _pages(cursor))


def _pages(cursor: ServerCursor[Any]) -> Iterator[tuple[Any, ...]]:
    with cursor:
        while page := cursor.fetchmany(PAGE):
            yield from page


@contextmanager
def _mistakes() -> Iterator[None]:
    """Turn the server's error about a query into one line."""
    try:
        yield
    except psycopg.Error as error:
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            raise
        message = error.diag.message_primary or str(error)
        raise SettingsError(
            f"the query failed: {' '.join(message.split())}", remedy=_remedy(error)
        ) from error


def _remedy(error: psycopg.Error) -> str | None:
    match error:
        case psycopg.errors.ReadOnlySqlTransaction():
            return "this is read-only; to change something use the other commands, or psql"
        case psycopg.errors.SyntaxError():
            return (
                error.diag.message_hint
                or "this is read-only: one SELECT, TABLE, VALUES, WITH, EXPLAIN or SHOW; for all "
                "else use psql"
            )
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return error.diag.message_hint or "docs/sql.md lists the views and their columns"
        case _:
            return error.diag.message_hint
