"""Affiliations in, answers out: every write can be repeated, and any number of workers write.

Chunks are copied into temporary tables and merged from there by key order, so that two workers
with common rows wait for each other and never deadlock. The temporary tables belong to the
connection and are emptied by each commit: one made per chunk would bloat the catalogue.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import orjson
import psycopg
from sqlalchemy import Engine

from resolver.database import policies
from resolver.database.connection import driver, transaction
from resolver.database.tables import MAX_EXTERNAL_ID, MAX_PAYLOAD, MAX_SOURCE
from resolver.domain.affiliation import MAX_CHARACTERS, SourceRecord, normalise, text_hash
from resolver.domain.outcome import LinkEvidence, Outcome
from resolver.domain.policy import Policy
from resolver.errors import IntakeError, ModelError

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What a text of Postgres cannot hold: NUL, and surrogates that belong to no pair."""

_MAX_POSITION = 2**31 - 1
"""The largest `integer` of Postgres."""

_Cursor = psycopg.Cursor[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class StoredAffiliation:
    """A distinct normalised text; `resolved` when it has an answer under this policy, of this
    resolver version or of a later one."""

    id: int
    text: str
    resolved: bool


@dataclass(frozen=True, slots=True)
class SaveReport:
    """`superseded` answers were left out: a later resolver version had answered already."""

    outcomes: int
    links: int
    superseded: int


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """An incoming record that cannot be taken; `payload` is what came, as far as it is text."""

    reason: str
    payload: str
    source: str | None = None
    external_id: str | None = None
    position: int | None = None


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
        if _UNSTORABLE.search(value):
            raise IntakeError(position=position, reason=f"{name} holds NUL or a lone surrogate")
    if not 0 <= record.position <= _MAX_POSITION:
        raise IntakeError(
            position=position, reason=f"position {record.position} is not in 0 to {_MAX_POSITION}"
        )


_DEFAULT_POLICY = Policy()


def intake(
    engine: Engine,
    resolver_id: int,
    records: Sequence[SourceRecord],
    policy: Policy = _DEFAULT_POLICY,
) -> list[StoredAffiliation]:
    """Store what sources sent; returns each distinct affiliation of it, in order of appearance.

    A record sent again with the same text and policy is left as it is, with others it points to
    these; of a record twice in one chunk the later counts. Keep chunks to some thousands: one
    transaction each.

    Raises:
        IntakeError: the key of a record cannot be stored (see `check_key`); nothing was stored.
    """
    rows = []
    for ordinal, record in enumerate(records):
        check_key(record, position=ordinal)
        normalised = normalise(record.affiliation)
        rows.append(
            (
                ordinal,
                record.source,
                record.external_id,
                record.position,
                text_hash(normalised),
                # One character more than is taken shows that the text is too long.
                normalised[: MAX_CHARACTERS + 1],
                _storable(record.affiliation[:MAX_CHARACTERS]),
            )
        )
    if not rows:
        return []
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        keys = {"policy": policies.key(cursor, policy), "resolver": resolver_id}
        cursor.execute(_CREATE_INCOMING_RECORD)
        _copy(
            cursor,
            "incoming_record",
            ("int4", "text", "text", "int4", "bytea", "text", "text"),
            rows,
        )
        cursor.execute(_INSERT_AFFILIATIONS)
        cursor.execute(_UPSERT_SOURCE_RECORDS, keys)
        cursor.execute(_READ_AFFILIATIONS, keys)
        return [StoredAffiliation(*row) for row in cursor.fetchall()]


def save(
    engine: Engine,
    resolver_id: int,
    answers: Sequence[tuple[int, Outcome]],
    policy: Policy = _DEFAULT_POLICY,
) -> SaveReport:
    """Store answers as (affiliation id, outcome), in one transaction; links are replaced whole.

    An answer under another policy stays beside it. One of an earlier resolver version never takes
    the place of a later one's. Of an affiliation twice in one chunk the later counts.

    Raises:
        ModelError: a score or probability is not a finite number; nothing was stored.
        ValueError: an outcome links one organisation twice.
    """
    latest = dict(answers)
    outcomes = []
    links = []
    for affiliation_id, outcome in latest.items():
        outcomes.append(
            (affiliation_id, outcome.status.value, outcome.reason and outcome.reason.value)
        )
        if len({link.ror_id for link in outcome.links}) != len(outcome.links):
            raise ValueError(f"affiliation {affiliation_id} is linked to one organisation twice")
        for link in outcome.links:
            if not (math.isfinite(link.score) and math.isfinite(link.probability)):
                raise ModelError(
                    f"affiliation {affiliation_id} ({outcome.affiliation[:80]!r}), organisation "
                    f"{link.ror_id}: the score is {link.score}, the probability "
                    f"{link.probability}",
                    remedy="check the reranker's weights and precision",
                )
            links.append(
                (
                    affiliation_id,
                    link.ror_id,
                    link.rank,
                    link.score,
                    min(max(link.probability, 0.0), 1.0),
                    _storable(link.name),
                    _storable(link.matched_name),
                    list(link.stands_for),
                    _json(link.evidence),
                )
            )
    if not outcomes:
        return SaveReport(outcomes=0, links=0, superseded=0)
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        keys = {"policy": policies.key(cursor, policy), "resolver": resolver_id}
        cursor.execute(_CREATE_INCOMING_ANSWER)
        _copy(cursor, "incoming_outcome", ("int8", "text", "text"), outcomes)
        _copy(
            cursor,
            "incoming_link",
            ("int8", "text", "int2", "float4", "float4", "text", "text", "text[]", "text"),
            links,
        )
        stored = cursor.execute(_UPSERT_OUTCOMES, keys).rowcount
        cursor.execute(_DELETE_LINKS, keys)
        linked = cursor.execute(_INSERT_LINKS, keys).rowcount
    return SaveReport(outcomes=stored, links=linked, superseded=len(outcomes) - stored)


def refuse(engine: Engine, refused: Iterable[RefusedRecord]) -> int:
    """Keep records that could not be taken, each once; returns how many were new."""
    rows = [_refused_row(record) for record in refused]
    if not rows:
        return 0
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        cursor.execute(_CREATE_INCOMING_REFUSED)
        _copy(
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
    reason = _storable(record.reason)
    payload = _storable(record.payload)
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
    return None if text is None else _storable(text)[:longest]


def _json(evidence: LinkEvidence | None) -> str | None:
    """Evidence as `link.evidence` holds it; numbers to four places."""
    if evidence is None:
        return None
    return orjson.dumps(_stored(asdict(evidence))).decode()


def _stored(value: object) -> object:
    match value:
        case dict():
            return {key: _stored(item) for key, item in value.items()}
        case list() | tuple():
            return [_stored(item) for item in value]
        case float():
            return round(value, 4)
        case str():
            return _storable(value)
    return value


def _storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _copy(
    cursor: _Cursor,
    table: str,
    types: Sequence[str],
    rows: Iterable[Sequence[object]],
) -> None:
    with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


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

_UPSERT_SOURCE_RECORDS = """
    INSERT INTO source_record AS s
        (source, external_id, position, affiliation_id, policy_id, raw_text)
    SELECT n.source, n.external_id, n.position, n.affiliation_id, %(policy)s, n.raw_text
    FROM (
        SELECT DISTINCT ON (i.source, i.external_id, i.position)
            i.source, i.external_id, i.position, a.id AS affiliation_id, i.raw_text
        FROM incoming_record i JOIN affiliation a USING (text_hash)
        ORDER BY i.source, i.external_id, i.position, i.ordinal DESC
    ) n
    WHERE NOT EXISTS (
        SELECT FROM source_record p
        WHERE (p.source, p.external_id, p.position) = (n.source, n.external_id, n.position)
        AND (p.affiliation_id, p.policy_id, p.raw_text)
            = (n.affiliation_id, %(policy)s, n.raw_text)
    )
    ORDER BY n.source, n.external_id, n.position
    ON CONFLICT (source, external_id, position) DO UPDATE SET
        affiliation_id = excluded.affiliation_id,
        policy_id = excluded.policy_id,
        raw_text = excluded.raw_text,
        received_at = now()
    WHERE (s.affiliation_id, s.policy_id, s.raw_text)
        <> (excluded.affiliation_id, excluded.policy_id, excluded.raw_text)
"""

_READ_AFFILIATIONS = """
    SELECT a.id, a.text, coalesce(o.resolver_version_id >= %(resolver)s, false)
    FROM (SELECT text_hash, min(ordinal) AS ordinal FROM incoming_record GROUP BY text_hash) i
    JOIN affiliation a USING (text_hash)
    LEFT JOIN outcome o ON (o.affiliation_id, o.policy_id) = (a.id, %(policy)s)
    ORDER BY i.ordinal
"""

_CREATE_INCOMING_ANSWER = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_outcome (
        affiliation_id bigint, status text, reason text
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS incoming_link (
        affiliation_id bigint, ror_id text, rank smallint, score real, probability real,
        name text, matched_name text, stands_for text[], evidence text
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS stored_outcome (affiliation_id bigint) ON COMMIT DELETE ROWS
"""

_UPSERT_OUTCOMES = """
    WITH stored AS (
        INSERT INTO outcome AS o
            (affiliation_id, policy_id, resolver_version_id, status, reason)
        SELECT i.affiliation_id, %(policy)s, %(resolver)s, i.status, i.reason
        FROM incoming_outcome i
        ORDER BY i.affiliation_id
        ON CONFLICT (affiliation_id, policy_id) DO UPDATE SET
            resolver_version_id = excluded.resolver_version_id,
            status = excluded.status,
            reason = excluded.reason,
            resolved_at = now()
        WHERE o.resolver_version_id <= excluded.resolver_version_id
        RETURNING o.affiliation_id
    )
    INSERT INTO stored_outcome SELECT affiliation_id FROM stored
"""

_DELETE_LINKS = """
    DELETE FROM link l USING stored_outcome s
    WHERE (l.affiliation_id, l.policy_id) = (s.affiliation_id, %(policy)s)
"""

_INSERT_LINKS = """
    INSERT INTO link (affiliation_id, policy_id, ror_id, resolver_version_id, rank, score,
                      probability, name, matched_name, stands_for, evidence)
    SELECT i.affiliation_id, %(policy)s, i.ror_id, %(resolver)s, i.rank, i.score,
           i.probability, i.name, i.matched_name, i.stands_for, i.evidence::jsonb
    FROM incoming_link i JOIN stored_outcome s USING (affiliation_id)
    ORDER BY i.affiliation_id, i.rank
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
