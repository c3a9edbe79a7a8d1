"""What sources send: records are taken in, replaced, withdrawn or refused.

Every write can be repeated, and any number of workers write at the same time.

Chunks are copied into temporary tables and merged from there in the order of keys, so that two
workers with common rows wait for each other and never deadlock. The temporary tables belong to the
connection and are emptied by each commit: one made for each chunk would bloat the catalogue.

What is replaced or withdrawn moves to `past_record` in the same transaction. The clock is read when
the rows are locked, and never before the start of what it ends: the spells of a record follow each
other without overlap, whatever order workers come in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import orjson
from sqlalchemy import Engine

from resolver.database import policies, review_upkeep
from resolver.database.connection import driver, transaction
from resolver.database.copying import UNSTORABLE, copy, storable
from resolver.database.resolver_versions import valid_versions
from resolver.database.tables import MAX_PAYLOAD
from resolver.errors import IntakeError
from resolver.intake.record import (
    MAX_EXTERNAL_ID,
    MAX_SOURCE,
    Key,
    RefusedRecord,
    SourceRecord,
    WholeRecord,
)
from resolver.matching.policy import Policy
from resolver.text.affiliation import MAX_CHARACTERS, Affiliation, text_hash

_MAX_POSITION = 2**31 - 1
"""The largest `integer` of Postgres."""

RECORD_LOCK = 0x726F7205
"""Key of the advisory lock that intake shares and that withdrawing and forgetting hold alone: so a
record that comes in again begins after it was withdrawn, and no text is deleted that comes in."""

MAX_EXAMPLES = 10
"""Unknown keys that a `WithdrawReport` names."""


@dataclass(frozen=True, slots=True)
class StoredAffiliation:
    """A distinct normalised text; `resolved` when it has an answer under this policy that is
    valid for this resolver version, and not stale."""

    id: int
    text: str
    resolved: bool


@dataclass(frozen=True, slots=True)
class WithdrawReport:
    """How many `keys` were withdrawn: `keys` = `found` + `before` + `unknown`.

    `found` keys were there, with `records` (a key without a position may have several); `before`
    keys had been withdrawn earlier; `unknown` keys were never sent, and `examples` are the first of
    them, `MAX_EXAMPLES` at most.
    """

    keys: int
    found: int
    before: int
    unknown: int
    records: int
    examples: tuple[Key, ...] = ()


def check_key(record: SourceRecord, *, position: int) -> None:
    """Refuse a record whose key Postgres cannot hold; `position` is its place in the input.

    Raises:
        IntakeError: says which part of the key, and why.
    """
    for name, value, longest in (
        ("source", record.source, MAX_SOURCE),
        ("external_id", record.external_id, MAX_EXTERNAL_ID),
    ):
        if not value:
            raise IntakeError(position=position, reason=f"{name} is empty")
        if len(value) > longest:
            raise IntakeError(
                position=position,
                reason=f"{name} has {len(value):,} characters, at most {longest} are taken",
            )
        if UNSTORABLE.search(value):
            raise IntakeError(position=position, reason=f"{name} holds NUL or a lone surrogate")
    if not 0 <= record.position <= _MAX_POSITION:
        raise IntakeError(
            position=position, reason=f"position {record.position} is not in 0 to {_MAX_POSITION}"
        )


def intake(
    engine: Engine,
    version_id: int,
    records: Sequence[SourceRecord],
    policy: Policy = Policy(),
) -> list[StoredAffiliation]:
    """Store what sources sent; returns its distinct affiliations, in order of appearance.

    A record that is sent again with the same text and policy stays as it is. With another text or
    policy it gets these, and what it was moves to the past. Of a record twice in one chunk the
    later counts. A chunk is one transaction: keep it to some thousand records.

    Raises:
        IntakeError: the key of a record cannot be stored (see `check_key`); nothing was stored.
    """
    stored, _ = take(engine, version_id, records, (), policy)
    return stored


def take(
    engine: Engine,
    version_id: int,
    records: Sequence[SourceRecord],
    whole: Sequence[WholeRecord],
    policy: Policy = Policy(),
) -> tuple[list[StoredAffiliation], int]:
    """As `intake`, and in the same transaction withdraw the positions that are stored of a `whole`
    record but neither among its positions nor in `records`; returns also how many these were.

    Raises:
        as `intake`.
    """
    rows = []
    for ordinal, record in enumerate(records):
        check_key(record, position=ordinal)
        text = Affiliation.of(record.affiliation).text
        raw = storable(record.affiliation[:MAX_CHARACTERS])
        rows.append(
            (
                ordinal,
                record.source,
                record.external_id,
                record.position,
                text_hash(text),
                text,
                None if raw == text else raw,
            )
        )
    if not rows and not whole:
        return [], 0
    try:
        return _taken(engine, version_id, rows, whole, policy, alone=False)
    except _SomethingLeft:
        return _taken(engine, version_id, rows, whole, policy, alone=True)


class _SomethingLeft(Exception):
    """There is something to withdraw, which needs the lock held alone."""


def _taken(
    engine: Engine,
    version_id: int,
    rows: Sequence[tuple[object, ...]],
    whole: Sequence[WholeRecord],
    policy: Policy,
    *,
    alone: bool,
) -> tuple[list[StoredAffiliation], int]:
    """As `take`, with the lock held alone or shared.

    Raises:
        _SomethingLeft: it is shared, and there is something to withdraw; nothing was stored.
    """
    withdrawn = 0
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        keys: dict[str, object] = {"policy": policies.key(cursor, policy)}
        cursor.execute(_CREATE_INCOMING_RECORD)
        copy(
            cursor,
            "incoming_record",
            ("int4", "text", "text", "int4", "bytea", "text", "text"),
            rows,
        )
        lock = _LOCK_FOR_WITHDRAWAL if alone else _LOCK_FOR_INTAKE
        cursor.execute(lock, {"lock": RECORD_LOCK})
        cursor.execute(_CREATE_MOVED)
        cursor.execute(_INSERT_AFFILIATIONS)
        (taken,) = cursor.execute(_TAKE_SOURCE_RECORDS, keys).fetchone() or (0,)
        if taken:
            cursor.execute(_REPLACE_SOURCE_RECORDS, keys)
        if whole:
            cursor.execute(_CREATE_INCOMING_WHOLE)
            copy(
                cursor,
                "incoming_whole",
                ("text", "text", "int4[]"),
                [(record.source, record.external_id, list(record.positions)) for record in whole],
            )
            cursor.execute(_CREATE_LEAVING)
            if cursor.execute(_FIND_LEFT).rowcount:
                if not alone:
                    raise _SomethingLeft
                withdrawn = cursor.execute(_WITHDRAW).rowcount
        keys["valid"] = valid_versions(cursor, version_id)
        rows_read = cursor.execute(_READ_AFFILIATIONS, keys).fetchall()
        review_upkeep.count_records(cursor)
        return [StoredAffiliation(*row) for row in rows_read], withdrawn


def store_texts(engine: Engine, texts: Sequence[str]) -> list[int]:
    """Store distinct normalised texts without a record; returns their ids, in order. One that is
    there stays as it is."""
    if not texts:
        return []
    rows = [(ordinal, text_hash(text), text) for ordinal, text in enumerate(texts)]
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        cursor.execute(_CREATE_INCOMING_TEXT)
        copy(cursor, "incoming_text", ("int4", "bytea", "text"), rows)
        cursor.execute(_LOCK_FOR_INTAKE, {"lock": RECORD_LOCK})
        cursor.execute(_INSERT_TEXTS)
        return [row[0] for row in cursor.execute(_READ_TEXTS).fetchall()]


def withdraw(
    engine: Engine,
    keys: Iterable[Key],
    *,
    batch: int = 1_000,
    progress: Callable[[int], None] | None = None,
) -> WithdrawReport:
    """Withdraw a source's records; a second time there is nothing left to withdraw.

    They and their links stay in the past (`link_history`). One transaction for every `batch` keys;
    after each, `progress` gets the number of keys done so far.
    """
    iterator = iter(keys)
    report = WithdrawReport(0, 0, 0, 0, 0)
    while rows := list(islice(iterator, batch)):
        with transaction(engine) as connection, driver(connection).cursor() as cursor:
            cursor.execute(_LOCK_FOR_WITHDRAWAL, {"lock": RECORD_LOCK})
            cursor.execute(_CREATE_WITHDRAWN)
            copy(cursor, "withdrawn", ("text", "text", "int4"), rows)
            cursor.execute(_CREATE_LEAVING)
            cursor.execute(_CREATE_MOVED)
            cursor.execute(_FIND_LEAVING)
            absent = cursor.execute(_FIND_ABSENT).fetchall()
            records = cursor.execute(_WITHDRAW).rowcount
            review_upkeep.count_records(cursor)
        unknown = [
            (source, external_id, position)
            for source, external_id, position, withdrawn_before in absent
            if not withdrawn_before
        ]
        report = WithdrawReport(
            keys=report.keys + len(rows),
            found=report.found + len(rows) - len(absent),
            before=report.before + len(absent) - len(unknown),
            unknown=report.unknown + len(unknown),
            records=report.records + records,
            examples=(*report.examples, *unknown)[:MAX_EXAMPLES],
        )
        if progress:
            progress(report.keys)
    return report


def refuse(engine: Engine, refused: Iterable[RefusedRecord]) -> int:
    """Keep records that could not be taken, each once; returns how many were new."""
    rows = [_refused_row(record) for record in refused]
    if not rows:
        return 0
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        cursor.execute(_CREATE_INCOMING_REFUSED)
        copy(
            cursor,
            "incoming_refused",
            ("bytea", "text", "text", "int8", "text", "text"),
            rows,
        )
        return cursor.execute(_INSERT_REFUSED).rowcount


def _refused_row(record: RefusedRecord) -> tuple[object, ...]:
    source = _optional(record.source, MAX_SOURCE)
    external_id = _optional(record.external_id, MAX_EXTERNAL_ID)
    position = record.position
    if position is not None and not -(2**63) <= position < 2**63:
        position = None
    reason = storable(record.reason)
    payload = storable(record.payload)
    identity = orjson.dumps([source, external_id, position, reason, payload])
    return (
        hashlib.blake2b(identity, digest_size=16).digest(),
        source,
        external_id,
        position,
        reason,
        payload[:MAX_PAYLOAD],
    )


def _optional(text: str | None, longest: int) -> str | None:
    return None if text is None else storable(text)[:longest]


_CREATE_INCOMING_RECORD = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_record (
        ordinal integer, source text, external_id text, position integer,
        text_hash bytea, text text, raw_text text
    ) ON COMMIT DELETE ROWS
"""

_INSERT_AFFILIATIONS = """
    INSERT INTO affiliation (text_hash, text)
    SELECT DISTINCT ON (i.text_hash) i.text_hash, i.text
    FROM incoming_record i
    WHERE NOT EXISTS (SELECT FROM affiliation a WHERE a.text_hash = i.text_hash)
    ORDER BY i.text_hash
    ON CONFLICT (text_hash) DO NOTHING
"""

_CREATE_INCOMING_TEXT = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_text (
        ordinal integer, text_hash bytea, text text
    ) ON COMMIT DELETE ROWS
"""

_INSERT_TEXTS = """
    INSERT INTO affiliation (text_hash, text)
    SELECT i.text_hash, i.text
    FROM incoming_text i
    WHERE NOT EXISTS (SELECT FROM affiliation a WHERE a.text_hash = i.text_hash)
    ORDER BY i.text_hash
    ON CONFLICT (text_hash) DO NOTHING
"""

_READ_TEXTS = """
    SELECT a.id FROM incoming_text i JOIN affiliation a USING (text_hash) ORDER BY i.ordinal
"""

_LOCK_FOR_INTAKE = "SELECT pg_advisory_xact_lock_shared(%(lock)s)"

_LOCK_FOR_WITHDRAWAL = "SELECT pg_advisory_xact_lock(%(lock)s)"

_TAKE_SOURCE_RECORDS = """
    WITH inserted AS (
        INSERT INTO source_record AS s
            (source, external_id, position, affiliation_id, policy_id, raw_text, received_at)
        SELECT
            n.source, n.external_id, n.position, n.affiliation_id, %(policy)s, n.raw_text,
            n.moment
        FROM (
            SELECT DISTINCT ON (i.source, i.external_id, i.position)
                i.source, i.external_id, i.position, a.id AS affiliation_id, i.raw_text,
                statement_timestamp() AS moment
            FROM incoming_record i JOIN affiliation a USING (text_hash)
            ORDER BY i.source, i.external_id, i.position, i.ordinal DESC
        ) n
        WHERE NOT EXISTS (
            SELECT FROM source_record p
            WHERE (p.source, p.external_id, p.position) = (n.source, n.external_id, n.position)
            AND (p.affiliation_id, p.policy_id) = (n.affiliation_id, %(policy)s)
            AND p.raw_text IS NOT DISTINCT FROM n.raw_text
        )
        ORDER BY n.source, n.external_id, n.position
        ON CONFLICT (source, external_id, position)
        DO UPDATE SET raw_text = s.raw_text WHERE false
        RETURNING s.affiliation_id, s.source
    ), moved AS (
        INSERT INTO moved_record SELECT affiliation_id, source, 1 FROM inserted
    )
    SELECT (SELECT count(*) FROM incoming_record) - (SELECT count(*) FROM inserted)
"""
"""Inserts new records and locks those that are there with another text or policy. Returns how many
more records came than were inserted: if none, there is nothing to replace. One statement, in key
order; an update that does not happen locks its row all the same."""

_REPLACE_SOURCE_RECORDS = """
    WITH replaced AS (
        SELECT
            s.source, s.external_id, s.position, n.affiliation_id, n.raw_text,
            greatest(statement_timestamp(), s.received_at) AS moment
        FROM (
            SELECT DISTINCT ON (i.source, i.external_id, i.position)
                i.source, i.external_id, i.position, a.id AS affiliation_id, i.raw_text
            FROM incoming_record i JOIN affiliation a USING (text_hash)
            ORDER BY i.source, i.external_id, i.position, i.ordinal DESC
        ) n
        JOIN source_record s USING (source, external_id, position)
        WHERE (s.affiliation_id, s.policy_id) <> (n.affiliation_id, %(policy)s)
        OR s.raw_text IS DISTINCT FROM n.raw_text
    ), past AS (
        INSERT INTO past_record
            (source, external_id, position, affiliation_id, policy_id, raw_text, received_at,
             ended_at, end_reason)
        SELECT
            s.source, s.external_id, s.position, s.affiliation_id, s.policy_id, s.raw_text,
            s.received_at, r.moment, 'changed'
        FROM replaced r JOIN source_record s USING (source, external_id, position)
    ), moved AS (
        INSERT INTO moved_record
        SELECT m.* FROM replaced r
        JOIN source_record s USING (source, external_id, position)
        CROSS JOIN LATERAL (
            VALUES (s.affiliation_id, s.source, -1), (r.affiliation_id, s.source, 1)
        ) m
        WHERE s.affiliation_id <> r.affiliation_id
    )
    UPDATE source_record s SET
        affiliation_id = r.affiliation_id,
        policy_id = %(policy)s,
        raw_text = r.raw_text,
        received_at = r.moment
    FROM replaced r
    WHERE (s.source, s.external_id, s.position) = (r.source, r.external_id, r.position)
"""

_READ_AFFILIATIONS = """
    SELECT
        a.id,
        a.text,
        coalesce(o.resolver_version_id = ANY(%(valid)s), false)
        AND NOT EXISTS (
            SELECT FROM stale t
            WHERE (t.affiliation_id, t.policy_id) = (o.affiliation_id, o.policy_id)
            AND t.resolver_version_id = ANY(%(valid)s)
        )
    FROM (SELECT text_hash, min(ordinal) AS ordinal FROM incoming_record GROUP BY text_hash) i
    JOIN affiliation a USING (text_hash)
    LEFT JOIN outcome o ON (o.affiliation_id, o.policy_id) = (a.id, %(policy)s)
    ORDER BY i.ordinal
"""

_CREATE_WITHDRAWN = """
    CREATE TEMP TABLE IF NOT EXISTS withdrawn (
        source text, external_id text, position integer
    ) ON COMMIT DELETE ROWS
"""

_CREATE_INCOMING_WHOLE = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_whole (
        source text, external_id text, positions integer[]
    ) ON COMMIT DELETE ROWS
"""

_CREATE_LEAVING = """
    CREATE TEMP TABLE IF NOT EXISTS leaving (
        source text, external_id text, position integer
    ) ON COMMIT DELETE ROWS
"""

_CREATE_MOVED = """
    CREATE TEMP TABLE IF NOT EXISTS moved_record (
        affiliation_id bigint, source text, change integer
    ) ON COMMIT DELETE ROWS
"""
"""Which texts have a record more or less."""

# LATERAL and LIMIT make Postgres look up one key after the other: it knows nothing of the size of a
# temporary table, and might read the whole of the other one.

_FIND_LEFT = """
    INSERT INTO leaving (source, external_id, position)
    SELECT DISTINCT w.source, w.external_id, s.position
    FROM incoming_whole w
    CROSS JOIN LATERAL (
        SELECT position FROM source_record
        WHERE (source, external_id) = (w.source, w.external_id)
        LIMIT 2147483647
    ) s
    WHERE s.position <> ALL(w.positions)
    AND NOT EXISTS (
        SELECT FROM incoming_record i
        WHERE (i.source, i.external_id, i.position) = (w.source, w.external_id, s.position)
    )
"""

_FIND_LEAVING = """
    INSERT INTO leaving (source, external_id, position)
    SELECT DISTINCT w.source, w.external_id, s.position
    FROM withdrawn w
    CROSS JOIN LATERAL (
        SELECT position FROM source_record
        WHERE (source, external_id) = (w.source, w.external_id)
        LIMIT 2147483647
    ) s
    WHERE w.position IS NULL OR w.position = s.position
"""

_FIND_ABSENT = """
    SELECT w.source, w.external_id, w.position, p.position IS NOT NULL
    FROM withdrawn w
    LEFT JOIN LATERAL (
        SELECT position FROM past_record
        WHERE (source, external_id) = (w.source, w.external_id)
        AND (w.position IS NULL OR w.position = position)
        LIMIT 1
    ) p ON true
    WHERE NOT EXISTS (
        SELECT FROM leaving l
        WHERE (l.source, l.external_id) = (w.source, w.external_id)
        AND (w.position IS NULL OR w.position = l.position)
    )
"""

_WITHDRAW = """
    WITH gone AS (
        DELETE FROM source_record s USING leaving l
        WHERE (s.source, s.external_id, s.position) = (l.source, l.external_id, l.position)
        RETURNING s.*
    ), moved AS (
        INSERT INTO moved_record SELECT affiliation_id, source, -1 FROM gone
    )
    INSERT INTO past_record
        (source, external_id, position, affiliation_id, policy_id, raw_text, received_at,
         ended_at, end_reason)
    SELECT
        g.source, g.external_id, g.position, g.affiliation_id, g.policy_id, g.raw_text,
        g.received_at, greatest(statement_timestamp(), g.received_at), 'withdrawn'
    FROM gone g
"""

_CREATE_INCOMING_REFUSED = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_refused (
        content_hash bytea, source text, external_id text, position bigint,
        reason text, payload text
    ) ON COMMIT DELETE ROWS
"""

_INSERT_REFUSED = """
    INSERT INTO refused_record (content_hash, source, external_id, position, reason, payload)
    SELECT DISTINCT ON (content_hash) content_hash, source, external_id, position, reason, payload
    FROM incoming_refused
    ORDER BY content_hash
    ON CONFLICT (content_hash) DO NOTHING
"""
