"""What people decided on the review page. A decision is never changed, only ended."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, Row, text

from resolver.database.connection import transaction, translate
from resolver.database.tables import Action, LackingState
from resolver.matching.override import Ending


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about one text.

    `ror_ids` are all organisations that the text names by it, and `denied` those that the answer
    linked and that it does not name. `shown` is what the person saw. Decisions that were saved
    together have one `batch`. `seconds` is how long the person took. A `blind` decision was made
    without seeing the answer. `override_ids` are the overrides that it made, and
    `ended_override_ids` those that it ended. The text is None where it was forgotten.
    """

    id: int
    request: UUID
    affiliation_id: int | None
    affiliation: str | None
    policy_id: int
    action: Action
    ror_ids: tuple[str, ...]
    denied: tuple[str, ...]
    author: str
    note: str
    shown: Mapping[str, object]
    batch: UUID | None
    seconds: float | None
    blind: bool
    override_ids: tuple[int, ...]
    ended_override_ids: tuple[int, ...]
    created_at: datetime
    ended: Ending | None


@dataclass(frozen=True, slots=True)
class Lacking:
    """A name that the registry lacks: the draft of a request to add it. `cluster` is its key,
    `fields` those of ROR's form (`resolver.curation.ror_request.FIELDS`)."""

    cluster: bytes
    fields: Mapping[str, str]
    records: int
    author: str
    state: LackingState
    ror_issue: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Pace:
    """How many decisions somebody made on a day (UTC), with the median of the seconds taken."""

    day: date
    author: str
    decisions: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Today:
    """How many decisions somebody made today (UTC), with the median of the seconds taken."""

    decisions: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision as it is stored; its fields are those of `Decision`."""

    request: UUID
    text_hash: bytes
    affiliation: str
    policy_id: int
    action: Action
    ror_ids: Sequence[str]
    denied: Sequence[str]
    author: str
    note: str
    shown: Mapping[str, object]
    batch: UUID | None
    seconds: float | None
    blind: bool
    cluster: bytes | None
    override_ids: Sequence[int]
    ended_override_ids: Sequence[int]


def add(connection: Connection, decision: NewDecision) -> int:
    """Store a decision; returns its id."""
    return int(
        connection.execute(
            text(_INSERT),
            {
                "request": decision.request,
                "text_hash": decision.text_hash,
                "affiliation": decision.affiliation,
                "policy_id": decision.policy_id,
                "action": decision.action.value,
                "ror_ids": list(decision.ror_ids),
                "denied": list(decision.denied),
                "author": decision.author,
                "note": decision.note,
                "shown": orjson.dumps(decision.shown).decode(),
                "batch": decision.batch,
                "seconds": decision.seconds,
                "blind": decision.blind,
                "cluster": decision.cluster,
                "override_ids": list(decision.override_ids),
                "ended_override_ids": list(decision.ended_override_ids),
            },
        ).scalar_one()
    )


def of_request(connection: Connection, request: UUID) -> list[Decision]:
    """The decisions that this form saved, in the order of their making."""
    return _read(connection, "d.request = :request", "d.id", request=request)


def of_text(connection: Connection, text_hash: bytes) -> list[Decision]:
    """All decisions about a text, ended ones too, the latest first."""
    return _read(connection, "d.text_hash = :hash", "d.id DESC", hash=text_hash)


def of_batch(connection: Connection, decision: Decision) -> list[Decision]:
    """The decision, and those that were saved with it, in the order of their making."""
    if decision.batch is None:
        return [decision]
    return _read(connection, "d.batch = :batch", "d.id", batch=decision.batch)


def find(connection: Connection, decision_id: int) -> Decision | None:
    """The decision of this id."""
    rows = _read(connection, "d.id = :id", "d.id", id=decision_id)
    return rows[0] if rows else None


def decisions(
    engine: Engine, author: str | None = None, *, limit: int = 50, before: int | None = None
) -> list[Decision]:
    """Decisions of a person, or of all, the latest first; `before` is the id of the one before."""
    condition = "d.author = :author" if author is not None else "true"
    if before is not None:
        condition += " AND d.id < :before"
    with transaction(engine) as connection:
        return _read(
            connection, condition, "d.id DESC LIMIT :limit",
            author=author, before=before, limit=limit,
        )  # fmt: skip


def end(connection: Connection, ids: Collection[int], author: str, note: str) -> None:
    """End decisions that hold."""
    connection.execute(
        text(
            "UPDATE review_decision SET ended_at = statement_timestamp(),"
            " ended_by_author = :author, ended_note = :note"
            " WHERE id = ANY(:ids) AND ended_at IS NULL"
        ),
        {"ids": list(ids), "author": author, "note": note},
    )


def deciding(engine: Engine) -> Iterator[Decision]:
    """The deciding decision of each text that is known, in the order of their making.

    It is the latest that holds and was not made blind. Left out are texts about which a blind
    decision differs, and those that the registry lacked when it was decided and that are linked
    since.
    """
    with translate(engine), engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        rows = connection.execution_options(yield_per=_FETCHED).execute(text(_DECIDING))
        for row in rows:
            yield _decision(row)


def pace(engine: Engine, *, days: int) -> list[Pace]:
    """The pace of everybody on each of the last `days`, the latest day first."""
    with transaction(engine) as connection:
        return [Pace(*row) for row in connection.execute(text(_PACE), {"days": days})]


def last_held(engine: Engine, author: str) -> Decision | None:
    """The latest decision of a person that holds: what undo would end."""
    with transaction(engine) as connection:
        held = _read(
            connection,
            "d.author = :author AND d.ended_at IS NULL",
            "d.id DESC LIMIT 1",
            author=author,
        )
    return held[0] if held else None


def today(engine: Engine, author: str) -> Today:
    """What a person decided today, and what of it holds."""
    with transaction(engine) as connection:
        return Today(*connection.execute(text(_TODAY), {"author": author}).one())


def agreement(engine: Engine) -> tuple[int, int]:
    """Of how many second decisions the organisations are those of the first, and how many there
    are."""
    with transaction(engine) as connection:
        equal, pairs = connection.execute(text(_AGREEMENT)).one()
    return int(equal), int(pairs)


# Organisations that the registry lacks


def save_lacking(
    connection: Connection,
    cluster: bytes,
    fields: Mapping[str, str],
    *,
    author: str,
) -> None:
    """Store the draft of a request, or change it; how far it is stays."""
    connection.execute(
        text(_SAVE_LACKING),
        {"cluster": cluster, "fields": orjson.dumps(fields).decode(), "author": author},
    )


def update_lacking(
    connection: Connection,
    cluster: bytes,
    *,
    author: str,
    state: LackingState | None,
    fields: Mapping[str, str] | None,
    ror_issue: str | None,
) -> None:
    """Change what is not None."""
    connection.execute(
        text(_UPDATE_LACKING),
        {
            "cluster": cluster,
            "author": author,
            "state": state and state.value,
            "fields": None if fields is None else orjson.dumps(fields).decode(),
            "ror_issue": ror_issue,
        },
    )


def lacking(
    connection: Connection, *, cluster: bytes | None = None, state: LackingState | None = None
) -> list[Lacking]:
    """Requests that a decision stands behind or that were sent, those of most records first."""
    rows = connection.execute(text(_LACKING), {"cluster": cluster, "state": state and state.value})
    return [
        Lacking(
            cluster=bytes(row.cluster),
            fields=row.fields,
            records=row.records,
            author=row.author,
            state=LackingState(row.state),
            ror_issue=row.ror_issue,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


def _read(connection: Connection, condition: str, order: str, **values: object) -> list[Decision]:
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} {_FROM} WHERE {condition} ORDER BY {order}"),
        values,
    )
    return [_decision(row) for row in rows]


def _decision(row: Row[Any]) -> Decision:
    return Decision(
        id=row.id,
        request=row.request,
        affiliation_id=row.affiliation_id,
        affiliation=row.affiliation,
        policy_id=row.policy_id,
        action=Action(row.action),
        ror_ids=tuple(row.ror_ids),
        denied=tuple(row.denied),
        author=row.author,
        note=row.note,
        shown=row.shown,
        batch=row.batch,
        seconds=row.seconds,
        blind=row.blind,
        override_ids=tuple(row.override_ids),
        ended_override_ids=tuple(row.ended_override_ids),
        created_at=row.created_at,
        ended=row.ended_at and Ending(row.ended_at, row.ended_by_author, row.ended_note),
    )


_FETCHED = 1_000
"""Rows fetched at a time."""

_COLUMNS = """
    d.id, d.request, a.id AS affiliation_id, d.affiliation, d.policy_id, d.action, d.ror_ids,
    d.denied, d.author, d.note, d.shown, d.batch, d.seconds, d.blind, d.override_ids,
    d.ended_override_ids, d.created_at, d.ended_at, d.ended_by_author, d.ended_note
"""

_FROM = "FROM review_decision d LEFT JOIN affiliation a USING (text_hash)"

_INSERT = """
    INSERT INTO review_decision
        (request, text_hash, affiliation, policy_id, action, ror_ids, denied, author, note, shown,
         batch, seconds, blind, cluster, override_ids, ended_override_ids, created_at)
    VALUES
        (:request, :text_hash, :affiliation, :policy_id, :action, :ror_ids, :denied, :author,
         :note, CAST(:shown AS jsonb), :batch, :seconds, :blind, :cluster, :override_ids,
         :ended_override_ids, statement_timestamp())
    RETURNING id
"""

_DECIDING = f"""
    SELECT {_COLUMNS}
    FROM (
        SELECT DISTINCT ON (text_hash) * FROM review_decision
        WHERE ended_at IS NULL AND NOT blind AND action <> 'skip'
        ORDER BY text_hash, id DESC
    ) d LEFT JOIN affiliation a USING (text_hash)
    LEFT JOIN review_item i ON i.affiliation_id = a.id
    WHERE d.affiliation IS NOT NULL
    AND NOT (d.action = 'lacking' AND i.state = 'open')
    AND NOT EXISTS (
        SELECT FROM review_decision b
        WHERE b.text_hash = d.text_hash AND b.blind AND b.ended_at IS NULL AND b.id > d.id
        AND NOT (b.action <> 'unsure' AND b.ror_ids @> d.ror_ids AND b.ror_ids <@ d.ror_ids)
    )
    ORDER BY d.id
"""  # noqa: S608

_PACE = """
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day, author, count(*),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds)
    FROM review_decision
    WHERE created_at > now() - make_interval(days => :days) AND ended_at IS NULL
    GROUP BY 1, 2 ORDER BY 1 DESC, 3 DESC, 2
"""

_TODAY = """
    SELECT count(*) AS decisions, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS seconds
    FROM review_decision
    WHERE author = :author AND ended_at IS NULL
    AND created_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
"""

_AGREEMENT = """
    SELECT count(*) FILTER (
        WHERE b.action <> 'unsure' AND b.ror_ids @> d.ror_ids AND b.ror_ids <@ d.ror_ids
    ), count(*)
    FROM review_decision b
    CROSS JOIN LATERAL (
        SELECT ror_ids FROM review_decision d
        WHERE d.text_hash = b.text_hash AND NOT d.blind AND d.action <> 'skip' AND d.id < b.id
        ORDER BY d.id DESC LIMIT 1
    ) d
    WHERE b.blind AND b.ended_at IS NULL AND b.action <> 'skip'
"""

_RECORDS = """
    (SELECT coalesce(sum(r.records), 0) FROM review_item r
     JOIN affiliation a ON a.id = r.affiliation_id
     JOIN review_decision d ON d.text_hash = a.text_hash
     WHERE d.cluster = :cluster AND d.ended_at IS NULL)
"""

_SAVE_LACKING = f"""
    INSERT INTO review_lacking (cluster, fields, records, author, state)
    VALUES (:cluster, CAST(:fields AS jsonb), {_RECORDS}, :author, 'draft')
    ON CONFLICT (cluster) DO UPDATE SET
        fields = excluded.fields, records = excluded.records, author = excluded.author,
        updated_at = statement_timestamp()
"""  # noqa: S608

_UPDATE_LACKING = """
    UPDATE review_lacking SET
        state = coalesce(:state, state),
        fields = coalesce(CAST(:fields AS jsonb), fields),
        ror_issue = coalesce(:ror_issue, ror_issue),
        author = :author,
        updated_at = statement_timestamp()
    WHERE cluster = :cluster
"""

_LACKING = """
    SELECT l.* FROM review_lacking l
    WHERE (CAST(:cluster AS bytea) IS NULL OR l.cluster = :cluster)
    AND (CAST(:state AS text) IS NULL OR l.state = :state)
    AND (
        l.state <> 'draft'
        OR EXISTS (
            SELECT FROM review_decision d
            WHERE d.cluster = l.cluster AND d.ended_at IS NULL
        )
    )
    ORDER BY l.records DESC, l.cluster
"""
