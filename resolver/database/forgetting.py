"""Delete for good what is over and old enough: records that were withdrawn, replaced or refused,
and answers that were replaced.

A text is deleted with the last record, present or past, that has it, and all its answers with it.
Curators' decisions about it stay, by the hash of the text alone, and hold when the text is sent
again; what was shown to whoever reviewed it is deleted.

Deleting is done in small transactions, the oldest first; if it is interrupted, doing it again
completes it. Texts are deleted while no chunk is taken in or stored: workers wait for one small
transaction at a time, and never see half of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, text

from resolver.database import history, locks
from resolver.database.connection import driver, transaction
from resolver.database.overrides import OVERRIDE_LOCK
from resolver.database.records import RECORD_LOCK
from resolver.database.resolver_versions import SWITCH_LOCK
from resolver.errors import DatabaseProblem

if TYPE_CHECKING:
    from resolver.settings import Settings

BATCH = 1_000
"""Rows that one transaction begins with; what hangs on them goes with them."""


@dataclass(frozen=True, slots=True)
class Ages:
    """How many days to keep what is over; None: for ever.

    `withdrawn` is for records that their source has withdrawn, with all their past; `past` for
    every replaced answer and every replaced or withdrawn record; `refused` for records that could
    not be taken.
    """

    withdrawn: int | None = None
    past: int | None = None
    refused: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> Ages:
        return cls(
            withdrawn=settings.keep_withdrawn_days,
            past=settings.keep_past_days,
            refused=settings.keep_refused_days,
        )


@dataclass(frozen=True, slots=True)
class Records:
    """Records whose past is deleted whatever its age. What they are at present stays: withdraw them
    first."""

    source: str
    external_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much is deleted, or was. `answers` are present ones; `past_answers` those of the past, by
    their age or with their text; `overrides` and `decisions` of the review those whose text is
    forgotten."""

    records: int = 0
    texts: int = 0
    answers: int = 0
    past_answers: int = 0
    overrides: int = 0
    decisions: int = 0
    refused: int = 0

    def __add__(self, other: Forgotten) -> Forgotten:
        mine, others = asdict(self), asdict(other)
        return Forgotten(**{name: mine[name] + others[name] for name in mine})

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


def forgettable(engine: Engine, ages: Ages, records: Records | None = None) -> Forgotten:
    """What `forget` would forget now; changes nothing."""
    limits = _limits(engine, ages, records)
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        row = cursor.execute(_COUNT, limits).fetchone()
        assert row is not None  # a count always has a row
        return Forgotten(*row)


def forget(
    engine: Engine,
    ages: Ages,
    records: Records | None = None,
    *,
    batch: int = BATCH,
    progress: Callable[[int], None] | None = None,
) -> Forgotten:
    """Delete what is older than `ages`, and the past of `records`; returns how much that was.

    `progress` is called with the number of all that is deleted so far.

    Raises:
        UpdateRunning: a release is being taken in; what was deleted before stays deleted.
        DatabaseProblem: this user may not delete.
        DatabaseUnavailable: no answer.
    """
    _require_privilege(engine)
    limits = _limits(engine, ages, records)
    done = Forgotten()
    for select, delete in (
        (_NAMED, _forget_past_records),
        (_WITHDRAWN, _forget_withdrawn),
        (_PAST_RECORDS, _forget_past_records),
        (_PAST_OUTCOMES, _forget_past_outcomes),
        (_REFUSED, _forget_refused),
    ):
        # Where the last page ended: an index still has the deleted rows before it, until a vacuum.
        after: datetime | None = None
        while True:
            with transaction(engine) as connection, driver(connection).cursor() as cursor:
                page = cursor.execute(select, {**limits, "after": after, "batch": batch}).fetchall()
            if not page:
                break
            done += delete(engine, [row[:-1] for row in page])
            after = page[-1][-1]
            if progress is not None:
                progress(done.total)
    return done


def _limits(engine: Engine, ages: Ages, records: Records | None) -> dict[str, Any]:
    """The moment before which each kind is deleted, None: never; and the records that are named."""
    moment = history.now(engine)
    with transaction(engine) as connection:
        row = connection.execute(
            text(
                "SELECT :now - make_interval(days => :withdrawn) AS withdrawn,"
                " :now - make_interval(days => :past) AS past,"
                " :now - make_interval(days => :refused) AS refused"
            ),
            {"now": moment, **asdict(ages)},
        ).one()
    named = {
        "source": records and records.source,
        "external_ids": records and list(records.external_ids),
    }
    return {**row._mapping, **named}


def _require_privilege(engine: Engine) -> None:
    with transaction(engine) as connection:
        user, may = connection.execute(
            text("SELECT current_user, has_table_privilege('affiliation', 'DELETE')")
        ).one()
    if not may:
        raise DatabaseProblem(
            f"the user {user} may not delete",
            remedy="use one with the role resolver_writer",
        )


def _forget_withdrawn(engine: Engine, page: list[tuple[Any, ...]]) -> Forgotten:
    sources, external_ids, positions = zip(*page, strict=True)
    keys = {"sources": sources, "external_ids": external_ids, "positions": positions}
    return _forget_records(
        engine, _DELETE_WITHDRAWN, {name: list(values) for name, values in keys.items()}
    )


def _forget_past_records(engine: Engine, page: list[tuple[Any, ...]]) -> Forgotten:
    return _forget_records(engine, _DELETE_PAST_RECORDS, {"ids": [id for (id,) in page]})


def _forget_records(engine: Engine, delete: str, values: dict[str, Any]) -> Forgotten:
    """Delete past records, and the texts that no record has any more."""
    # An update may just be marking an answer that is deleted.
    locks.require_no_update(engine)
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        for lock in (RECORD_LOCK, OVERRIDE_LOCK, SWITCH_LOCK):
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (lock,))
        texts = [id for (id,) in cursor.execute(delete, values).fetchall()]
        records = len(texts)
        gone = cursor.execute(_TEXTS_WITHOUT_RECORD, {"ids": texts}).fetchall()
        ids = {"ids": [id for id, _ in gone]}
        hashes = {"hashes": [hashed for _, hashed in gone]}
        answers, past_answers = cursor.execute(_COUNT_ANSWERS, ids).fetchone() or (0, 0)
        overrides = cursor.execute(_FORGET_TEXT_OF_OVERRIDES, hashes).rowcount
        decisions = cursor.execute(_FORGET_TEXT_OF_DECISIONS, hashes).rowcount
        cursor.execute(_DELETE_TEXTS, ids)
    return Forgotten(
        records=records,
        texts=len(gone),
        answers=answers,
        past_answers=past_answers,
        overrides=overrides,
        decisions=decisions,
    )


def _forget_past_outcomes(engine: Engine, page: list[tuple[Any, ...]]) -> Forgotten:
    return Forgotten(past_answers=_deleted(engine, "past_outcome", page))


def _forget_refused(engine: Engine, page: list[tuple[Any, ...]]) -> Forgotten:
    return Forgotten(refused=_deleted(engine, "refused_record", page))


def _deleted(engine: Engine, table: str, page: list[tuple[Any, ...]]) -> int:
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        return cursor.execute(_DELETE[table], {"ids": [id for (id,) in page]}).rowcount


# Each ends with the moment that it is ordered by.
_NAMED = """
    SELECT id, ended_at FROM past_record
    WHERE source = %(source)s AND external_id = ANY(%(external_ids)s)
    AND ended_at >= coalesce(%(after)s, '-infinity'::timestamptz)
    ORDER BY ended_at
    LIMIT %(batch)s
"""

_WITHDRAWN = """
    SELECT w.source, w.external_id, w.position, w.ended_at
    FROM past_record w
    WHERE w.end_reason = 'withdrawn' AND w.ended_at < %(withdrawn)s
    AND w.ended_at >= coalesce(%(after)s, '-infinity'::timestamptz)
    AND NOT EXISTS (
        SELECT FROM source_record s
        WHERE s.source = w.source AND s.external_id = w.external_id AND s.position = w.position
    )
    AND NOT EXISTS (
        SELECT FROM past_record n
        WHERE n.source = w.source AND n.external_id = w.external_id AND n.position = w.position
        AND n.ended_at >= %(withdrawn)s
    )
    ORDER BY w.ended_at
    LIMIT %(batch)s
"""

_PAST_RECORDS = """
    SELECT id, ended_at FROM past_record
    WHERE ended_at < %(past)s AND ended_at >= coalesce(%(after)s, '-infinity'::timestamptz)
    ORDER BY ended_at
    LIMIT %(batch)s
"""

_PAST_OUTCOMES = """
    SELECT id, ended_at FROM past_outcome
    WHERE ended_at < %(past)s AND ended_at >= coalesce(%(after)s, '-infinity'::timestamptz)
    ORDER BY ended_at
    LIMIT %(batch)s
"""

_REFUSED = """
    SELECT id, received_at FROM refused_record
    WHERE received_at < %(refused)s
    AND received_at >= coalesce(%(after)s, '-infinity'::timestamptz)
    ORDER BY received_at
    LIMIT %(batch)s
"""

_DELETE_WITHDRAWN = """
    DELETE FROM past_record p
    USING unnest(%(sources)s::text[], %(external_ids)s::text[], %(positions)s::integer[])
        AS k (source, external_id, position)
    WHERE p.source = k.source AND p.external_id = k.external_id AND p.position = k.position
    AND NOT EXISTS (
        SELECT FROM source_record s
        WHERE s.source = k.source AND s.external_id = k.external_id AND s.position = k.position
    )
    RETURNING p.affiliation_id
"""
"""Not those that were sent again since they were looked up."""

_DELETE_PAST_RECORDS = "DELETE FROM past_record WHERE id = ANY(%(ids)s) RETURNING affiliation_id"

_DELETE = {
    "past_outcome": "DELETE FROM past_outcome WHERE id = ANY(%(ids)s)",
    "refused_record": "DELETE FROM refused_record WHERE id = ANY(%(ids)s)",
}

_TEXTS_WITHOUT_RECORD = """
    SELECT a.id, a.text_hash FROM affiliation a
    WHERE a.id = ANY(%(ids)s)
    AND NOT EXISTS (SELECT FROM source_record s WHERE s.affiliation_id = a.id)
    AND NOT EXISTS (SELECT FROM past_record p WHERE p.affiliation_id = a.id)
"""

_COUNT_ANSWERS = """
    SELECT (SELECT count(*) FROM outcome WHERE affiliation_id = ANY(%(ids)s)),
           (SELECT count(*) FROM past_outcome WHERE affiliation_id = ANY(%(ids)s))
"""

_FORGET_TEXT_OF_OVERRIDES = """
    UPDATE link_override SET affiliation = NULL
    WHERE text_hash = ANY(%(hashes)s) AND affiliation IS NOT NULL
"""

_FORGET_TEXT_OF_DECISIONS = """
    UPDATE review_decision SET affiliation = NULL, shown = '{}'
    WHERE text_hash = ANY(%(hashes)s) AND affiliation IS NOT NULL
"""

_DELETE_TEXTS = "DELETE FROM affiliation WHERE id = ANY(%(ids)s)"
"""Its answers, links and marks are deleted with it, past ones too."""

_COUNT = """
    WITH record AS (
        SELECT id, affiliation_id FROM past_record WHERE ended_at < %(past)s
        UNION
        SELECT id, affiliation_id FROM past_record
        WHERE source = %(source)s AND external_id = ANY(%(external_ids)s)
        UNION
        SELECT p.id, p.affiliation_id FROM past_record p
        WHERE p.ended_at < %(withdrawn)s
        AND NOT EXISTS (
            SELECT FROM source_record s
            WHERE s.source = p.source AND s.external_id = p.external_id AND s.position = p.position
        )
        AND NOT EXISTS (
            SELECT FROM past_record n
            WHERE n.source = p.source AND n.external_id = p.external_id AND n.position = p.position
            AND n.ended_at >= %(withdrawn)s
        )
    ), forgotten AS (
        SELECT a.id, a.text_hash
        FROM (SELECT affiliation_id, count(*) AS going FROM record GROUP BY affiliation_id) r
        JOIN affiliation a ON a.id = r.affiliation_id
        WHERE NOT EXISTS (SELECT FROM source_record s WHERE s.affiliation_id = a.id)
        AND r.going = (SELECT count(*) FROM past_record p WHERE p.affiliation_id = a.id)
    )
    SELECT
        (SELECT count(*) FROM record),
        (SELECT count(*) FROM forgotten),
        (SELECT count(*) FROM forgotten f JOIN outcome o ON o.affiliation_id = f.id),
        (SELECT count(*) FROM past_outcome WHERE ended_at < %(past)s)
        + (SELECT count(*) FROM forgotten f JOIN past_outcome o ON o.affiliation_id = f.id
           WHERE (o.ended_at < %(past)s) IS NOT TRUE),
        (SELECT count(*) FROM forgotten f JOIN link_override x USING (text_hash)
         WHERE x.affiliation IS NOT NULL),
        (SELECT count(*) FROM forgotten f JOIN review_decision d USING (text_hash)
         WHERE d.affiliation IS NOT NULL),
        (SELECT count(*) FROM refused_record WHERE received_at < %(refused)s)
"""
