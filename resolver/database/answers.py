"""Affiliations in, answers out: every write can be repeated, and any number of workers write.

Chunks are copied into temporary tables and merged from there by key order, so that two workers
with common rows wait for each other and never deadlock. The temporary tables belong to the
connection and are emptied by each commit: one made per chunk would bloat the catalogue.

What is replaced is moved to the tables of the past, in the same transaction. The clock is read
when the rows are locked, and never put before the start of what it ends: of one record or answer
the spells follow each other without gap or overlap, whatever order workers come in.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import orjson
import psycopg
from sqlalchemy import Engine

from resolver.database import policies
from resolver.database.connection import driver, transaction
from resolver.database.resolver_versions import SWITCH_LOCK, valid_versions
from resolver.database.tables import MAX_PAYLOAD
from resolver.errors import IntakeError, ModelError, ResolverSuperseded
from resolver.intake.record import (
    MAX_EXTERNAL_ID,
    MAX_SOURCE,
    Key,
    RefusedRecord,
    SourceRecord,
    WholeRecord,
)
from resolver.matching.outcome import LinkEvidence, Outcome
from resolver.matching.policy import Policy
from resolver.text.affiliation import MAX_CHARACTERS, Affiliation, text_hash

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What a text of Postgres cannot hold: NUL, and surrogates that belong to no pair."""

_MAX_POSITION = 2**31 - 1
"""The largest `integer` of Postgres."""

RECORD_LOCK = 0x726F7205
"""Key of the advisory lock that intake shares and a withdrawal has alone: a record that comes in
again begins after it was withdrawn. Forgetting has it alone, too, lest a text go that comes in."""

_Cursor = psycopg.Cursor[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class StoredAffiliation:
    """A distinct normalised text; `resolved` when it has an answer under this policy that is
    valid for this resolver version, and not stale."""

    id: int
    text: str
    resolved: bool


@dataclass(frozen=True, slots=True)
class SaveReport:
    """How many `outcomes` were stored, with how many `links`; `unchanged` ones were there."""

    outcomes: int
    links: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class WithdrawReport:
    """What became of `keys` = `found` + `before` + `unknown`.

    `found` ones were there, with `records` (a key without a position may have several), `before`
    ones had been taken back earlier, `unknown` ones were never sent; `examples` are the first of
    these.
    """

    keys: int
    found: int
    before: int
    unknown: int
    records: int
    examples: tuple[Key, ...] = ()


MAX_EXAMPLES = 10
"""Unknown keys that a `WithdrawReport` names."""


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
    version_id: int,
    records: Sequence[SourceRecord],
    policy: Policy = _DEFAULT_POLICY,
) -> list[StoredAffiliation]:
    """Store what sources sent; returns each distinct affiliation of it, in order of appearance.

    A record sent again with the same text and policy is left as it is, with others it points to
    these, and what it was goes to the past; of a record twice in one chunk the later counts. Keep
    chunks to some thousands: one transaction each.

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
    policy: Policy = _DEFAULT_POLICY,
) -> tuple[list[StoredAffiliation], int]:
    """`intake`, and in the same transaction withdraw what is stored of `whole` records beside
    their positions and those in `records`; returns also how many that were.

    Raises:
        as `intake`.
    """
    rows = []
    for ordinal, record in enumerate(records):
        check_key(record, position=ordinal)
        text = Affiliation.of(record.affiliation).text
        raw = _storable(record.affiliation[:MAX_CHARACTERS])
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
    """There is something to withdraw, and that takes the lock alone."""


def _taken(
    engine: Engine,
    version_id: int,
    rows: Sequence[tuple[object, ...]],
    whole: Sequence[WholeRecord],
    policy: Policy,
    *,
    alone: bool,
) -> tuple[list[StoredAffiliation], int]:
    """`take`, with the lock shared or alone.

    Raises:
        _SomethingLeft: it is shared, and there is something to withdraw; nothing was stored.
    """
    withdrawn = 0
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        keys: dict[str, object] = {"policy": policies.key(cursor, policy)}
        cursor.execute(_CREATE_INCOMING_RECORD)
        _copy(
            cursor,
            "incoming_record",
            ("int4", "text", "text", "int4", "bytea", "text", "text"),
            rows,
        )
        lock = _LOCK_FOR_WITHDRAWAL if alone else _LOCK_FOR_INTAKE
        cursor.execute(lock, {"lock": RECORD_LOCK})
        cursor.execute(_INSERT_AFFILIATIONS)
        (taken,) = cursor.execute(_TAKE_SOURCE_RECORDS, keys).fetchone() or (0,)
        if taken:
            cursor.execute(_REPLACE_SOURCE_RECORDS, keys)
        if whole:
            cursor.execute(_CREATE_INCOMING_WHOLE)
            _copy(
                cursor,
                "incoming_whole",
                ("text", "text", "int4[]"),
                [(one.source, one.external_id, list(one.positions)) for one in whole],
            )
            cursor.execute(_CREATE_LEAVING)
            if cursor.execute(_FIND_LEFT).rowcount:
                if not alone:
                    raise _SomethingLeft
                withdrawn = cursor.execute(_WITHDRAW).rowcount
        keys["valid"] = valid_versions(cursor, version_id)
        cursor.execute(_READ_AFFILIATIONS, keys)
        return [StoredAffiliation(*row) for row in cursor.fetchall()], withdrawn


def withdraw(
    engine: Engine,
    keys: Iterable[Key],
    *,
    batch: int = 1_000,
    progress: Callable[[int], None] | None = None,
) -> WithdrawReport:
    """A source takes records back; done twice, the second time finds nothing and says so.

    They and their links stay in the past (`link_history`). One transaction for every `batch` keys;
    `progress` gets the number of keys done so far, after each.
    """
    iterator = iter(keys)
    report = WithdrawReport(0, 0, 0, 0, 0)
    while rows := list(islice(iterator, batch)):
        with transaction(engine) as connection, driver(connection).cursor() as cursor:
            cursor.execute(_LOCK_FOR_WITHDRAWAL, {"lock": RECORD_LOCK})
            cursor.execute(_CREATE_WITHDRAWN)
            _copy(cursor, "withdrawn", ("text", "text", "int4"), rows)
            cursor.execute(_CREATE_LEAVING)
            cursor.execute(_FIND_LEAVING)
            absent = cursor.execute(_FIND_ABSENT).fetchall()
            records = cursor.execute(_WITHDRAW).rowcount
        unknown = [
            (source, external_id, place) for source, external_id, place, b in absent if not b
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


def save(
    engine: Engine,
    version_id: int,
    answers: Sequence[tuple[int, Outcome]],
    policy: Policy = _DEFAULT_POLICY,
) -> SaveReport:
    """Store answers as (affiliation id, outcome), in one transaction; links are replaced whole.

    An answer under another policy stays beside it. The one before goes to the past, unless it is
    the same: of the same resolver version, with the same overrides, reason and links, numbers
    equal but for rounding. In either case the answer is not stale any more, but where what persons
    say of it changed while it was being resolved. Of an affiliation twice in one chunk the
    later counts. One that was forgotten meanwhile has no answer any more.

    Raises:
        ResolverSuperseded: this version is not in use; nothing was stored.
        ModelError: a score or probability is not a finite number; nothing was stored.
        ValueError: an outcome links one organisation twice.
    """
    outcomes, links = _answer_rows(dict(answers))
    if not outcomes:
        return SaveReport(outcomes=0, links=0, unchanged=0)
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        # Before the lock: who registers a policy may have to wait for another one's commit.
        keys: dict[str, object] = {"policy": policies.key(cursor, policy), "version": version_id}
        _require_in_use(cursor, version_id)
        cursor.execute(_CREATE_INCOMING_ANSWER)
        _copy(cursor, "incoming_outcome", ("int8", "text", "text", "int8[]"), outcomes)
        _copy(
            cursor,
            "incoming_link",
            _LINK_TYPES,
            links,
        )
        known = len(outcomes) - cursor.execute(_LEAVE_FORGOTTEN).rowcount
        (new,) = cursor.execute(_TAKE_OUTCOMES, keys).fetchone() or (0,)
        assert isinstance(new, int)
        stored = new
        if new < known:
            keys["valid"] = valid_versions(cursor, version_id)
            stored += cursor.execute(_FIND_REPLACED, keys).rowcount
            if stored > new:
                cursor.execute(_KEEP_PAST, keys)
                cursor.execute(_DELETE_LINKS, keys)
                cursor.execute(_REPLACE_OUTCOMES, keys)
            cursor.execute(_DELETE_STALE, keys)
        linked = cursor.execute(_INSERT_LINKS, keys).rowcount
        cursor.execute(_MARK_OVERRIDDEN_MEANWHILE, keys)
    return SaveReport(outcomes=stored, links=linked, unchanged=known - stored)


def _answer_rows(
    latest: Mapping[int, Outcome],
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """The rows of `incoming_outcome` and of `incoming_link`."""
    outcomes: list[tuple[object, ...]] = []
    links: list[tuple[object, ...]] = []
    for affiliation_id, outcome in latest.items():
        outcomes.append(
            (
                affiliation_id,
                outcome.status.value,
                outcome.reason and outcome.reason.value,
                list(outcome.overrides),
            )
        )
        if len({link.ror_id for link in outcome.links}) != len(outcome.links):
            raise ValueError(f"affiliation {affiliation_id} is linked to one organisation twice")
        for link in outcome.links:
            if not all(map(math.isfinite, (link.score or 0.0, link.probability))):
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
                    *_evidence_row(link.evidence),
                )
            )
    return outcomes, links


def _require_in_use(cursor: _Cursor, version_id: int) -> None:
    """Keep this version in use until the transaction ends."""
    cursor.execute(_LOCK_IN_USE, {"lock": SWITCH_LOCK})
    # A statement of its own: it must not see what was before the lock was had.
    found = cursor.execute(_IN_USE).fetchone()
    current_id = found[0] if found else None
    assert current_id is None or isinstance(current_id, int)
    if current_id != version_id:
        raise ResolverSuperseded(version_id=version_id, current_id=current_id)


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


def _evidence_row(evidence: LinkEvidence | None) -> tuple[object, ...]:
    """The columns from `text_start` on. Texts and names are not stored: `affiliation` has the one,
    the registry the other; nor is what the judge weighed, which ``resolver explain`` works out."""
    if evidence is None:
        return (None,) * 10
    return (
        evidence.start if evidence.text else None,
        evidence.end if evidence.text else None,
        evidence.country.value,
        evidence.city_named,
        evidence.first_stage_rank,
        evidence.sparse,
        evidence.dense,
        evidence.runner_up,
        evidence.margin,
        evidence.override and evidence.override.id,
    )


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
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM incoming_record) - (SELECT count(*) FROM inserted)
"""
"""Inserts what is new, locks what is there with something else, and says whether there may be any
of these: more came than were inserted. One statement in key order; an update that does not happen
locks its row all the same."""

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

# LATERAL and LIMIT: by key, one after the other; of a temporary table Postgres knows nothing, and
# may think that it has to read the whole of the other one.

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
    )
    INSERT INTO past_record
        (source, external_id, position, affiliation_id, policy_id, raw_text, received_at,
         ended_at, end_reason)
    SELECT
        g.source, g.external_id, g.position, g.affiliation_id, g.policy_id, g.raw_text,
        g.received_at, greatest(statement_timestamp(), g.received_at), 'withdrawn'
    FROM gone g
"""

_LOCK_IN_USE = "SELECT pg_advisory_xact_lock_shared(%(lock)s)"

_IN_USE = "SELECT id FROM resolver_version WHERE is_current"

_CREATE_INCOMING_ANSWER = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_outcome (
        affiliation_id bigint, status text, reason text, overrides bigint[]
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS incoming_link (
        affiliation_id bigint, ror_id text, rank smallint, score real, probability real,
        name text, matched_name text, stands_for text[], text_start smallint, text_end smallint,
        country_agreement text, city_named boolean, first_stage_rank smallint, sparse real,
        dense real, runner_up text, margin real, override_id bigint
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS stored_outcome (
        affiliation_id bigint, moment timestamptz, reason text
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS replaced_outcome (
        affiliation_id bigint, moment timestamptz, reason text
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS replaced_link (
        affiliation_id bigint, ror_id text, rank smallint, matched_name text, stands_for text[],
        since timestamptz, since_version_id integer, since_reason text
    ) ON COMMIT DELETE ROWS
"""

_LINK_TYPES = (
    *("int8", "text", "int2", "float4", "float4", "text", "text", "text[]", "int2", "int2"),
    *("text", "bool", "int2", "float4", "float4", "text", "float4", "int8"),
)
"""Of the columns of `incoming_link`."""

_LINK_COLUMNS = """
    {0}.ror_id, {0}.rank, {0}.score, {0}.probability, {0}.name, {0}.matched_name, {0}.stands_for,
    {0}.text_start, {0}.text_end, {0}.country_agreement, {0}.city_named, {0}.first_stage_rank,
    {0}.sparse, {0}.dense, {0}.runner_up, {0}.margin, {0}.override_id
"""
"""What a link has from its outcome, as columns of a table under another name."""

_NAMED_COLUMNS = _LINK_COLUMNS.replace("{0}.", "")

_LEAVE_FORGOTTEN = """
    DELETE FROM incoming_outcome i
    WHERE NOT EXISTS (SELECT FROM affiliation a WHERE a.id = i.affiliation_id)
"""
"""Under the lock that `_require_in_use` took nothing is forgotten meanwhile."""

_TAKE_OUTCOMES = """
    WITH inserted AS (
        INSERT INTO outcome AS o
            (affiliation_id, policy_id, resolver_version_id, status, reason, overrides,
             resolved_at, begin_reason)
        SELECT
            i.affiliation_id, %(policy)s, %(version)s, i.status, i.reason, i.overrides,
            statement_timestamp(), 'source sent'
        FROM incoming_outcome i
        ORDER BY i.affiliation_id
        ON CONFLICT (affiliation_id, policy_id) DO UPDATE SET status = o.status WHERE false
        RETURNING o.affiliation_id, o.resolved_at, o.begin_reason
    ), stored AS (
        INSERT INTO stored_outcome SELECT * FROM inserted
    )
    SELECT count(*)::integer FROM inserted
"""
"""Inserts first answers and locks those that are there, in one order of keys."""

_FIND_REPLACED = """
    INSERT INTO replaced_outcome (affiliation_id, moment, reason)
    SELECT
        i.affiliation_id,
        greatest(statement_timestamp(), o.resolved_at),
        CASE
            WHEN o.overrides <> i.overrides THEN 'override'
            WHEN was.release_id <> now.release_id THEN 'registry release'
            WHEN was.id <> now.id THEN 'resolver change'
            ELSE 'resolved again'
        END
    FROM incoming_outcome i
    -- LIMIT: by key, one after the other; Postgres may think that it has to read the whole table.
    CROSS JOIN LATERAL (
        SELECT * FROM outcome
        WHERE (affiliation_id, policy_id) = (i.affiliation_id, %(policy)s)
        LIMIT 1
    ) o
    JOIN resolver_version was ON was.id = o.resolver_version_id
    JOIN resolver_version now ON now.id = %(version)s
    WHERE NOT EXISTS (SELECT FROM stored_outcome s WHERE s.affiliation_id = i.affiliation_id)
    AND (
        o.resolver_version_id <> %(version)s
        OR o.overrides <> i.overrides
        OR o.reason IS DISTINCT FROM i.reason
        OR EXISTS (
            SELECT
            FROM (SELECT * FROM incoming_link WHERE affiliation_id = i.affiliation_id) n
            FULL JOIN (
                SELECT * FROM link
                WHERE (affiliation_id, policy_id) = (o.affiliation_id, o.policy_id)
            ) l USING (ror_id)
            WHERE (n.rank, n.matched_name, n.stands_for)
                IS DISTINCT FROM (l.rank, l.matched_name, l.stands_for)
            OR abs(n.probability - l.probability) > 1e-4
            OR abs(n.score - l.score) > 1e-4 * greatest(1, abs(l.score))
            OR (n.score IS NULL) <> (l.score IS NULL)
        )
    )
"""
"""A model in float32 gives slightly other numbers to a text that shares its batch with others:
1e-4 is some ten times what was seen, and nothing that anybody would call another answer."""

_KEEP_PAST = f"""
    WITH past AS (
        INSERT INTO past_outcome
            (affiliation_id, policy_id, resolver_version_id, status, reason, overrides,
             resolved_at, begin_reason, ended_at, ended_by, end_reason)
        SELECT
            o.affiliation_id, o.policy_id, o.resolver_version_id, o.status, o.reason, o.overrides,
            o.resolved_at, o.begin_reason, r.moment, %(version)s, r.reason
        FROM replaced_outcome r
        JOIN outcome o ON (o.affiliation_id, o.policy_id) = (r.affiliation_id, %(policy)s)
        ORDER BY o.affiliation_id
        RETURNING id, affiliation_id, policy_id
    )
    INSERT INTO past_link
        (past_outcome_id, {_NAMED_COLUMNS}, beginning, since, since_version_id, since_reason,
         continued)
    SELECT
        p.id, {_LINK_COLUMNS.format("l")}, l.beginning, l.since, l.since_version_id, l.since_reason,
        EXISTS (
            SELECT FROM incoming_link n
            WHERE (n.affiliation_id, n.ror_id) = (l.affiliation_id, l.ror_id)
        )
    FROM past p JOIN link l USING (affiliation_id, policy_id)
"""  # noqa: S608

_DELETE_LINKS = """
    WITH deleted AS (
        DELETE FROM link l USING replaced_outcome r
        WHERE (l.affiliation_id, l.policy_id) = (r.affiliation_id, %(policy)s)
        RETURNING l.*
    )
    INSERT INTO replaced_link
    SELECT affiliation_id, ror_id, rank, matched_name, stands_for,
           since, since_version_id, since_reason
    FROM deleted
"""

_REPLACE_OUTCOMES = """
    WITH replaced AS (
        UPDATE outcome o SET
            resolver_version_id = %(version)s,
            status = i.status,
            reason = i.reason,
            overrides = i.overrides,
            resolved_at = r.moment,
            begin_reason = r.reason
        FROM replaced_outcome r JOIN incoming_outcome i USING (affiliation_id)
        WHERE (o.affiliation_id, o.policy_id) = (r.affiliation_id, %(policy)s)
        RETURNING o.affiliation_id, o.resolved_at, o.begin_reason
    )
    INSERT INTO stored_outcome SELECT * FROM replaced
"""

_INSERT_LINKS = f"""
    INSERT INTO link
        (affiliation_id, policy_id, {_NAMED_COLUMNS}, beginning, since, since_version_id,
         since_reason)
    SELECT i.affiliation_id, %(policy)s, {_LINK_COLUMNS.format("i")},
           CASE
               WHEN r.ror_id IS NULL THEN 'new'
               WHEN (r.rank, r.matched_name, r.stands_for)
                   = (i.rank, i.matched_name, i.stands_for) THEN 'confirmed'
               ELSE 'changed'
           END,
           coalesce(r.since, s.moment),
           coalesce(r.since_version_id, %(version)s),
           coalesce(r.since_reason, s.reason)
    FROM incoming_link i
    JOIN stored_outcome s USING (affiliation_id)
    LEFT JOIN replaced_link r USING (affiliation_id, ror_id)
    ORDER BY i.affiliation_id, i.rank
"""  # noqa: S608
"""A link that the answer before had already began then, not now."""

_DELETE_STALE = """
    DELETE FROM stale
    -- An array: by key; Postgres may think that it has to read the whole table.
    WHERE affiliation_id = ANY(ARRAY(SELECT affiliation_id FROM incoming_outcome))
    AND policy_id = %(policy)s
    AND resolver_version_id = ANY(%(valid)s)
"""
"""Marks of a later version that was rolled back from stay: it would answer otherwise still."""

_MARK_OVERRIDDEN_MEANWHILE = """
    INSERT INTO stale (affiliation_id, policy_id, resolver_version_id, cause)
    SELECT i.affiliation_id, %(policy)s, %(version)s, 'override'
    FROM incoming_outcome i
    WHERE coalesce(i.reason, '') NOT IN ('empty', 'too_long')
    AND i.overrides <> ARRAY(
        SELECT x.id FROM link_override x
        JOIN affiliation a ON a.id = i.affiliation_id AND a.text_hash = x.text_hash
        WHERE x.ended_at IS NULL
        ORDER BY x.id
    )
    ORDER BY i.affiliation_id
    ON CONFLICT (affiliation_id, policy_id, resolver_version_id) DO NOTHING
"""
"""Somebody said something of the text, or ended what was said, between the look at its overrides
and this. What is refused unread takes no overrides."""

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
