"""Curators' decisions about texts. A decision is never changed, only ended.

The text need not have been sent. What changes decisions runs in the caller's transaction: mark the
answers that it concerns in the same one, with `resolver.database.due_answers.mark_texts`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from resolver.database.connection import driver, transaction
from resolver.database.copying import copy
from resolver.database.resolver_versions import SWITCH_LOCK
from resolver.matching.override import Ending, Key, Override, OverrideProblem, Verdict, exclude
from resolver.registry.organisation import OrganisationStatus
from resolver.text.affiliation import text_hash

OVERRIDE_LOCK = 0x726F7206
"""Key of the advisory lock that keeps two changes of overrides apart. Who takes `SWITCH_LOCK` too
takes this one first."""

OTHER_OVERRIDES = """
    o.overrides <> ARRAY(
        SELECT x.id FROM link_override x
        WHERE x.text_hash = a.text_hash AND x.ended_at IS NULL
        ORDER BY x.id
    )
"""
"""Whether the answer `o` for the affiliation `a` was given with other overrides than hold now."""

REPLACED = "replaced"
"""The note at the end of an override that was replaced by another one."""


@dataclass(frozen=True, slots=True)
class Added:
    """What `add` came to, as `link_override.id`.

    `holding` are those that hold what was given, in its order; `new` those of them that did not
    hold before; `ended` those that were replaced, in ascending order.
    """

    holding: tuple[int, ...] = ()
    new: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()


def add(connection: Connection, overrides: Iterable[Override]) -> Added:
    """Store the new overrides.

    The same verdict by the same author with the same note changes nothing. Another one on the same
    text and organisation ends the override before; so does *none* all that the text *is*, and the
    reverse. Of two in `overrides` that cannot both hold the later counts. Their `id`, `created_at`
    and `ended` are ignored.
    """
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
        for place, o in enumerate(_latest(overrides))
    ]
    if not rows:
        return Added()
    with driver(connection).cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (OVERRIDE_LOCK,))
        cursor.execute(_CREATE_INCOMING)
        types = ("int4", "bytea", "text", "text", "text", "text", "text")
        copy(cursor, "incoming_override", types, rows)
        moment = cursor.execute("SELECT statement_timestamp()").fetchone()
        assert moment is not None  # a function has a result
        cursor.execute(_NAME_FORGOTTEN)
        values = {"note": REPLACED, "moment": moment[0]}
        ended = cursor.execute(_END_REPLACED, values).fetchall()
        new = cursor.execute(_INSERT, values).fetchall()
        holding = cursor.execute(_HOLDING).fetchall()
    return Added(_ids(holding), _ids(new), tuple(sorted(_ids(ended))))


def end(
    connection: Connection, ids: Collection[int], author: str, note: str = ""
) -> dict[int, bytes]:
    """End overrides, by id; returns those that held until now, each with the hash of its text."""
    if not ids:
        return {}
    with driver(connection).cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (OVERRIDE_LOCK,))
        values = {"ids": list(ids), "author": author, "note": note}
        return dict(cursor.execute(_END, values).fetchall())


def lock_with_answers(connection: Connection) -> None:
    """Keep others from changing overrides and from storing answers until the transaction ends."""
    with driver(connection).cursor() as cursor:
        for lock in (OVERRIDE_LOCK, SWITCH_LOCK):
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (lock,))


def _latest(overrides: Iterable[Override]) -> list[Override]:
    """Without those that a later one takes the place of; in their order."""
    given = list(overrides)
    latest: dict[str, dict[Key, int]] = defaultdict(dict)
    for place, override in enumerate(given):
        of_text = latest[override.affiliation]
        for key, before in list(of_text.items()):
            if exclude(given[before].verdict, override.verdict):
                del of_text[key]
        of_text[override.key] = place
    return [
        given[place] for place in sorted(p for of_text in latest.values() for p in of_text.values())
    ]


def _ids(rows: Iterable[Sequence[Any]]) -> tuple[int, ...]:
    return tuple(row[0] for row in rows)


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


def by_hash(engine: Engine) -> dict[bytes, list[Override]]:
    """All overrides that hold, by the hash of their text, in the order of their making. The text of
    one that was forgotten is empty; it holds for whatever text has the hash."""
    overrides: dict[bytes, list[Override]] = defaultdict(list)
    for row in _rows(engine, "x.ended_at IS NULL", order="x.id"):
        overrides[bytes(row.text_hash)].append(_override(row))
    return dict(overrides)


def holding(connection: Connection, text_hash: bytes) -> list[Override]:
    """The overrides of a text that hold, in the order of their making."""
    condition = "x.ended_at IS NULL AND x.text_hash = :hash"
    return [_override(row) for row in _select(connection, condition, "x.id", hash=text_hash)]


def of_ids(connection: Connection, ids: Collection[int]) -> list[Override]:
    """The overrides of these ids, in the order of their making."""
    return [
        _override(row) for row in _select(connection, "x.id = ANY(:ids)", "x.id", ids=list(ids))
    ]


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
        return _select(connection, condition, order, **values)


def _select(
    connection: Connection, condition: str, order: str, **values: object
) -> Sequence[Row[Any]]:
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


_BY_TEXT = "x.affiliation NULLS FIRST, x.ror_id NULLS FIRST, x.id"

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
    ) ON COMMIT DELETE ROWS;
    DELETE FROM incoming_override
"""

_NAME_FORGOTTEN = """
    UPDATE link_override x SET affiliation = i.affiliation
    FROM incoming_override i
    WHERE x.text_hash = i.text_hash AND x.affiliation IS NULL
"""
"""A curator gives the text again, so it is known again."""

_SAME = "x.text_hash = i.text_hash AND x.ror_id IS NOT DISTINCT FROM i.ror_id"
"""Whether only one of a stored override and an incoming one can hold, by what they are about."""

_END_REPLACED = f"""
    UPDATE link_override x SET
        ended_at = %(moment)s, ended_by_author = r.author, ended_note = %(note)s
    FROM (
        SELECT DISTINCT ON (x.id) x.id, i.author
        FROM link_override x JOIN incoming_override i USING (text_hash)
        WHERE x.ended_at IS NULL
        AND (
            ({_SAME} AND (x.verdict, x.author, x.note) <> (i.verdict, i.author, i.note))
            OR (x.verdict, i.verdict) IN (('is', 'none'), ('none', 'is'))
        )
        ORDER BY x.id, i.place DESC
    ) r
    WHERE x.id = r.id
    RETURNING x.id
"""  # noqa: S608

_INSERT = f"""
    INSERT INTO link_override
        (text_hash, affiliation, ror_id, verdict, author, note, created_at)
    SELECT i.text_hash, i.affiliation, i.ror_id, i.verdict, i.author, i.note, %(moment)s
    FROM incoming_override i
    WHERE NOT EXISTS (SELECT FROM link_override x WHERE {_SAME} AND x.ended_at IS NULL)
    ORDER BY i.place
    RETURNING id
"""  # noqa: S608

_HOLDING = f"""
    SELECT x.id FROM incoming_override i
    JOIN link_override x ON {_SAME} AND x.ended_at IS NULL
    ORDER BY i.place
"""  # noqa: S608

_END = """
    UPDATE link_override SET
        ended_at = statement_timestamp(), ended_by_author = %(author)s, ended_note = %(note)s
    WHERE id = ANY(%(ids)s) AND ended_at IS NULL
    RETURNING id, text_hash
"""
