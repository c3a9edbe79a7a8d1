"""Rows and texts on their way into Postgres."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import psycopg

Cursor = psycopg.Cursor[tuple[object, ...]]

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What a text of Postgres cannot hold: NUL, and surrogates that belong to no pair."""


def storable(text: str) -> str:
    """The text with U+FFFD for each character that Postgres cannot hold."""
    return UNSTORABLE.sub("\ufffd", text)


def copy(
    cursor: Cursor,
    table: str,
    types: Sequence[str],
    rows: Iterable[Sequence[object]],
) -> None:
    """Copy the rows into all columns of a table, whose Postgres types are `types`."""
    with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as stream:
        stream.set_types(types)
        for row in rows:
            stream.write_row(row)
