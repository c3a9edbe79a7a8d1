"""Curators' decisions about texts. A decision is never changed, only ended.

The text need not have been sent. After a change, mark the answers that it concerns with
`resolver.database.due_answers.mark_texts`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, Row, text

from resolver.database.connection import driver, transaction
from resolver.database.copying import copy
from resolver.matching.override import Ending, Override, OverrideProblem, Verdict
from resolver.registry.organisation import OrganisationStatus
from resolver.text.affiliation import text_hash

_OVERRIDE_LOCK = 0x726F7206
"""Key of the advisory lock that keeps two changes of overrides apart."""

REPLACED = "replaced"
"""The note at the end of an override that was replaced by another one."""


def add(engine: Engine, overrides: Iterable[Override]) -> int:
    """Store the new overrides, all or none; returns how many were new.

    The same verdict by the same author with the same note changes nothing. Another one on the same
    text and organisation ends the override before. Of two in `overrides` the later counts. Their
    `id`, `created_at` and `ended` are ignored.
    """
    latest = {override.key: override for override in overrides}
    rows = [
        (
            place,
            text_hash(o.affiliation),
            o.affiliation,
            o.ror_id,
            o.verdict.value,
            o.author,
            o.note,
        )
        for place, o in enumerate(latest.values())
    ]
    if not rows:
        return 0
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_OVERRIDE_LOCK,))
        cursor.execute(_CREATE_INCOMING)
        types = ("int4", "bytea", "text", "text", "text", "text", "text")
        copy(cursor, "incoming_override", types, rows)
        moment = cursor.execute("SELECT statement_timestamp()").fetchone()
        assert moment is not None  # a function has a result
        cursor.execute(_NAME_FORGOTTEN)
        values = {"note": REPLACED, "moment": moment[0]}
        cursor.execute(_END_REPLACED, values)
        return cursor.execute(_INSERT, values).rowcount


def end(engine: Engine, keys: Iterable[tuple[str, str]], author: str, note: str = "") -> int:
    """End the overrides of these pairs (normalised text, ROR id); returns how many there were."""
    pairs = [(text_hash(affiliation), ror_id) for affiliation, ror_id in keys]
    if not pairs:
        return 0
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_OVERRIDE_LOCK,))
        return cursor.execute(
            _END,
            {
                "hashes": [hashed for hashed, _ in pairs],
                "ror_ids": [ror_id for _, ror_id in pairs],
                "author": author,
                "note": note,
            },
        ).rowcount


def current(engine: Engine) -> list[Override]:
    """All overrides that hold, by text and ROR id; those of forgotten texts first."""
    return _read(engine, "x.ended_at IS NULL", order=_BY_TEXT)


def history(engine: Engine, affiliation: str | None = None) -> list[Override]:
    """All overrides, past ones too, of this normalised text or of any, in the order of their
    making."""
    if affiliation is None:
        return _read(engine, "true", order="x.id")
    return _read(engine, "x.text_hash = :hash", order="x.id", hash=text_hash(affiliation))


def applying(engine: Engine, texts: Collection[str]) -> dict[str, list[Override]]:
    """The overrides that hold for these normalised texts, by text, in the order of their making; a
    text without any is left out."""
    by_hash = {text_hash(affiliation): affiliation for affiliation in texts}
    overrides: dict[str, list[Override]] = defaultdict(list)
    condition = "x.ended_at IS NULL AND x.text_hash = ANY(:hashes)"
    for row in _rows(engine, condition, order="x.id", hashes=list(by_hash)):
        affiliation = by_hash[row.text_hash]
        overrides[affiliation].append(replace(_override(row), affiliation=affiliation))
    return dict(overrides)


def problems(engine: Engine) -> list[OverrideProblem]:
    """The overrides that hold of organisations without an active record in the release in use, by
    text."""
    with transaction(engine) as connection:
        rows = connection.execute(
            text(
                f"SELECT {_COLUMNS}, p.status, p.successors"  # noqa: S608
                " FROM override_problems p JOIN link_override x ON x.id = p.override_id"
                f" ORDER BY {_BY_TEXT}"
            )
        ).all()
    return [
        OverrideProblem(
            _override(row),
            None if row.status is None else OrganisationStatus(row.status),
            tuple(row.successors),
        )
        for row in rows
    ]


def _read(engine: Engine, condition: str, *, order: str, **values: object) -> list[Override]:
    return [_override(row) for row in _rows(engine, condition, order=order, **values)]


def _rows(engine: Engine, condition: str, *, order: str, **values: object) -> Sequence[Row[Any]]:
    with transaction(engine) as connection:
        return connection.execute(
            text(f"SELECT {_COLUMNS} FROM link_override x WHERE {condition} ORDER BY {order}"),  # noqa: S608
            values,
        ).all()


def _override(row: Row[Any]) -> Override:
    return Override(
        id=row.id,
        affiliation=row.affiliation or "",
        ror_id=row.ror_id,
        verdict=Verdict(row.verdict),
        author=row.author,
        note=row.note,
        created_at=row.created_at,
        name=row.name,
        ended=row.ended_at and Ending(row.ended_at, row.ended_by_author, row.ended_note),
    )


_BY_TEXT = "x.affiliation NULLS FIRST, x.ror_id, x.id"

_COLUMNS = """
    x.id, x.text_hash, x.affiliation, x.ror_id, x.verdict, x.author, x.note, x.created_at,
    x.ended_at, x.ended_by_author, x.ended_note,
    (
        SELECT v.name FROM organisation_version v
        WHERE v.ror_id = x.ror_id ORDER BY v.id DESC LIMIT 1
    ) AS name
"""

_CREATE_INCOMING = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_override (
        place integer, text_hash bytea, affiliation text, ror_id text, verdict text,
        author text, note text
    ) ON COMMIT DELETE ROWS
"""

_NAME_FORGOTTEN = """
    UPDATE link_override x SET affiliation = i.affiliation
    FROM incoming_override i
    WHERE x.text_hash = i.text_hash AND x.affiliation IS NULL
"""
"""A curator gives the text again, so it is known again."""

_END_REPLACED = """
    UPDATE link_override x SET
        ended_at = %(moment)s, ended_by_author = i.author, ended_note = %(note)s
    FROM incoming_override i
    WHERE (x.text_hash, x.ror_id) = (i.text_hash, i.ror_id) AND x.ended_at IS NULL
    AND (x.verdict, x.author, x.note) <> (i.verdict, i.author, i.note)
"""

_INSERT = """
    INSERT INTO link_override
        (text_hash, affiliation, ror_id, verdict, author, note, created_at)
    SELECT i.text_hash, i.affiliation, i.ror_id, i.verdict, i.author, i.note, %(moment)s
    FROM incoming_override i
    WHERE NOT EXISTS (
        SELECT FROM link_override x
        WHERE (x.text_hash, x.ror_id) = (i.text_hash, i.ror_id) AND x.ended_at IS NULL
    )
    ORDER BY i.place
"""

_END = """
    UPDATE link_override x SET
        ended_at = statement_timestamp(), ended_by_author = %(author)s, ended_note = %(note)s
    FROM unnest(%(hashes)s::bytea[], %(ror_ids)s::text[]) AS k(text_hash, ror_id)
    WHERE (x.text_hash, x.ror_id) = (k.text_hash, k.ror_id) AND x.ended_at IS NULL
"""
