"""Which present answers are to be given anew.

When a version comes in use that carries the answers of others, those that it would give otherwise
are marked: the *selection*. A mark stays until its answer is stored again, under whichever version
that is. Marking is by sets in the database, and what is marked already stays as it is, so that a
selection which broke off is simply done again.

*Due* are the answers that a source asks for and that are stale, or of a version that is not valid.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from resolver.database.connection import driver, transaction
from resolver.database.resolvers import SWITCH_LOCK, valid_versions
from resolver.database.tables import Cause
from resolver.errors import ResolverSuperseded

__all__ = [
    "CarriedAffiliation",
    "CarriedLink",
    "Cause",
    "Due",
    "carried",
    "carried_count",
    "causes",
    "due",
    "due_among",
    "due_count",
    "mark",
    "mark_linked",
    "mark_texts",
    "mark_unlinked",
    "selection_done",
]


@dataclass(frozen=True, slots=True)
class CarriedLink:
    """A link of an answer that is carried over. `threshold` is the probability that its policy
    asks for; the scores of the first stage are None where it did not find the organisation so."""

    ror_id: str
    matched_name: str
    probability: float
    threshold: float
    sparse: float | None
    dense: float | None


@dataclass(frozen=True, slots=True)
class CarriedAffiliation:
    """An affiliation with answers that are carried over; `reasons` has one for each, why it has no
    link or None for one that has. `links` are those of all its answers."""

    id: int
    text: str
    reasons: tuple[str | None, ...]
    links: tuple[CarriedLink, ...]


@dataclass(frozen=True, slots=True)
class Due:
    """An answer that is to be given anew, and the normalised text that it is of."""

    affiliation_id: int
    policy_id: int
    text: str


def mark_linked(
    engine: Engine,
    version_id: int,
    ror_ids: Collection[str],
    cause: str = Cause.ORGANISATION_CHANGED,
) -> int:
    """Mark the carried answers with a link to one of these organisations, one that stands for it,
    or one that it was the best rival of; returns how many are newly marked."""
    return _mark(engine, version_id, _LINKED, ror_ids=list(ror_ids), cause=cause)


def mark_unlinked(engine: Engine, version_id: int, reasons: Collection[str]) -> int:
    """Mark the carried answers without a link for one of these reasons; returns how many are
    newly marked."""
    return _mark(
        engine,
        version_id,
        _UNLINKED,
        reasons=[str(reason) for reason in reasons],
        cause=Cause.NO_ANSWER_BEFORE,
    )


def mark(engine: Engine, version_id: int, affiliation_ids: Collection[int], cause: str) -> int:
    """Mark the carried answers for these affiliations; returns how many are newly marked."""
    return _mark(engine, version_id, _OF_AFFILIATIONS, ids=list(affiliation_ids), cause=cause)


def mark_texts(engine: Engine, text_hashes: Collection[bytes], cause: str = Cause.OVERRIDE) -> int:
    """Mark the answers for these texts that were given with other overrides than hold now, of
    whatever version; returns how many are newly marked.

    Waits for answers that are just being stored: those that come after see the overrides.
    """
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SWITCH_LOCK,))
        return cursor.execute(_TEXTS, {"hashes": list(text_hashes), "cause": cause}).rowcount


def carried(
    engine: Engine, version_id: int, batch: int = 2_000
) -> Iterator[list[CarriedAffiliation]]:
    """The affiliations with answers that are carried over and not stale, `batch` at a time.

    Also those that no source asks for at present: when one does again, the answer must not be
    taken for valid unseen. One transaction stays open until the iterator is exhausted or closed.
    """
    with transaction(engine) as connection:
        with driver(connection).cursor() as cursor:
            others = valid_versions(cursor, version_id)[1:]
        if not others:
            return
        rows = connection.execution_options(yield_per=batch).execute(
            text(_CARRIED), {"carried": others}
        )
        for part in rows.partitions(batch):
            yield [
                CarriedAffiliation(
                    id, affiliation, tuple(reasons), tuple(CarriedLink(*link) for link in links)
                )
                for id, affiliation, reasons, links in part
            ]


def carried_count(engine: Engine, version_id: int) -> int:
    """How many affiliations there are with answers that are carried over; stale ones count."""
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        values = {"carried": valid_versions(cursor, version_id)[1:]}
        row = cursor.execute(_CARRIED_COUNT, values).fetchone()
        assert row is not None  # a count always has a row
        return int(row[0])


def selection_done(engine: Engine, version_id: int) -> None:
    """Say that all that the version would answer otherwise is marked.

    Raises:
        ResolverSuperseded: the version is not in use any more.
    """
    with transaction(engine) as connection:
        done = connection.execute(
            text(
                "UPDATE resolver_version SET selected_at = coalesce(selected_at, now())"
                " WHERE id = :id AND is_current"
            ),
            {"id": version_id},
        ).rowcount
        if not done:
            current = connection.execute(
                text("SELECT id FROM resolver_version WHERE is_current")
            ).scalar()
            raise ResolverSuperseded(version_id=version_id, current_id=current)


def due(
    engine: Engine, version_id: int, *, after: tuple[int, int] = (0, 0), limit: int
) -> list[Due]:
    """The first `limit` answers that are due under this version, in the order of their keys,
    from behind the key `after` (affiliation id, policy id) on."""
    values = {"affiliation": after[0], "policy": after[1], "limit": limit}
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        values |= {"valid": valid_versions(cursor, version_id)}  # type: ignore[dict-item]
        return [Due(*row) for row in cursor.execute(_DUE, values).fetchall()]


def due_among(
    engine: Engine, version_id: int, policy_id: int, affiliation_ids: Collection[int]
) -> list[Due]:
    """Those of the answers for these affiliations under this policy that are due, by their ids."""
    values: dict[str, object] = {"policy": policy_id, "ids": list(affiliation_ids)}
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        values["valid"] = valid_versions(cursor, version_id)
        return [Due(*row) for row in cursor.execute(_DUE_AMONG, values).fetchall()]


def causes(engine: Engine, version_id: int) -> dict[str, int]:
    """How many answers are due under this version, by cause; "resolver change" for those of a
    version that is not valid."""
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        values = {"valid": valid_versions(cursor, version_id)}
        return dict(cursor.execute(_CAUSES, values).fetchall())


def due_count(engine: Engine, version_id: int) -> int:
    """How many answers are due under this version."""
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        values = {"valid": valid_versions(cursor, version_id)}
        row = cursor.execute(_DUE_COUNT, values).fetchone()
        assert row is not None  # a count always has a row
        return int(row[0])


def _mark(engine: Engine, version_id: int, selection: str, **values: Any) -> int:
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        values["carried"] = valid_versions(cursor, version_id)[1:]
        return cursor.execute(_INSERT.format(selection=selection), values).rowcount


_INSERT = """
    INSERT INTO stale (affiliation_id, policy_id, cause, ror_id)
    SELECT f.affiliation_id, f.policy_id, %(cause)s, min(f.ror_id)
    FROM ({selection}) f
    JOIN outcome o USING (affiliation_id, policy_id)
    WHERE o.resolver_version_id = ANY(%(carried)s)
    GROUP BY f.affiliation_id, f.policy_id
    ORDER BY f.affiliation_id, f.policy_id
    ON CONFLICT (affiliation_id, policy_id) DO NOTHING
"""

# Three queries, for each to have its index.
_LINKED = """
    SELECT affiliation_id, policy_id, ror_id FROM link WHERE ror_id = ANY(%(ror_ids)s)
    UNION ALL
    SELECT affiliation_id, policy_id, named FROM link, unnest(stands_for) AS named
    WHERE stands_for <> '{}'::text[] AND stands_for && %(ror_ids)s
    AND named = ANY(%(ror_ids)s)
    UNION ALL
    SELECT affiliation_id, policy_id, evidence ->> 'runner_up' FROM link
    WHERE (evidence ->> 'runner_up') = ANY(%(ror_ids)s)
"""

_UNLINKED = """
    SELECT affiliation_id, policy_id, NULL::text AS ror_id FROM outcome
    WHERE reason = ANY(%(reasons)s)
"""

_OF_AFFILIATIONS = """
    SELECT affiliation_id, policy_id, NULL::text AS ror_id FROM outcome
    WHERE affiliation_id = ANY(%(ids)s)
"""

_TEXTS = """
    INSERT INTO stale (affiliation_id, policy_id, cause)
    SELECT o.affiliation_id, o.policy_id, %(cause)s
    FROM affiliation a JOIN outcome o ON o.affiliation_id = a.id
    WHERE a.text_hash = ANY(%(hashes)s)
    AND o.overrides <> ARRAY(
        SELECT x.id FROM link_override x
        WHERE x.text_hash = a.text_hash AND x.ended_at IS NULL
        ORDER BY x.id
    )
    ORDER BY o.affiliation_id, o.policy_id
    ON CONFLICT (affiliation_id, policy_id) DO NOTHING
"""

_CARRIED = """
    SELECT
        a.id, a.text, array_agg(o.reason),
        coalesce(
            jsonb_path_query_array(jsonb_agg(coalesce(k.links, '[]')), '$[*][*]'), '[]'
        )
    FROM outcome o JOIN affiliation a ON a.id = o.affiliation_id
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(
            jsonb_build_array(
                l.ror_id, l.matched_name, l.probability,
                (SELECT (p.settings ->> 'accept_probability')::real FROM policy p
                 WHERE p.id = o.policy_id),
                l.evidence -> 'sparse', l.evidence -> 'dense'
            )
        ) AS links
        FROM link l
        WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
    ) k
    WHERE o.resolver_version_id = ANY(:carried)
    AND NOT EXISTS (
        SELECT FROM stale t
        WHERE (t.affiliation_id, t.policy_id) = (o.affiliation_id, o.policy_id)
    )
    GROUP BY a.id
"""

_ASKED = """
    EXISTS (
        SELECT FROM source_record s
        WHERE (s.affiliation_id, s.policy_id) = (d.affiliation_id, d.policy_id)
    )
"""

_INVALID = """
    d.resolver_version_id = ANY(
        ARRAY(SELECT id FROM resolver_version WHERE id <> ALL(%(valid)s))
    )
"""

_DUE = f"""
    SELECT d.affiliation_id, d.policy_id, a.text
    FROM (
        (
            SELECT d.affiliation_id, d.policy_id FROM stale d
            WHERE (d.affiliation_id, d.policy_id) > (%(affiliation)s, %(policy)s) AND {_ASKED}
            ORDER BY d.affiliation_id, d.policy_id LIMIT %(limit)s
        )
        UNION
        (
            SELECT d.affiliation_id, d.policy_id FROM outcome d
            WHERE (d.affiliation_id, d.policy_id) > (%(affiliation)s, %(policy)s) AND {_ASKED}
            AND {_INVALID}
            ORDER BY d.affiliation_id, d.policy_id LIMIT %(limit)s
        )
    ) d
    JOIN affiliation a ON a.id = d.affiliation_id
    ORDER BY d.affiliation_id, d.policy_id LIMIT %(limit)s
"""  # noqa: S608

_DUE_COUNT = f"""
    SELECT count(*) FROM (
        SELECT d.affiliation_id, d.policy_id FROM stale d WHERE {_ASKED}
        UNION
        SELECT d.affiliation_id, d.policy_id FROM outcome d WHERE {_INVALID} AND {_ASKED}
    ) d
"""  # noqa: S608

_DUE_AMONG = f"""
    SELECT d.affiliation_id, d.policy_id, a.text
    FROM outcome d JOIN affiliation a ON a.id = d.affiliation_id
    WHERE d.policy_id = %(policy)s AND d.affiliation_id = ANY(%(ids)s) AND {_ASKED}
    AND (
        d.resolver_version_id <> ALL(%(valid)s)
        OR EXISTS (
            SELECT FROM stale t
            WHERE (t.affiliation_id, t.policy_id) = (d.affiliation_id, d.policy_id)
        )
    )
    ORDER BY d.affiliation_id
"""  # noqa: S608

_CAUSES = f"""
    SELECT cause, count(*) FROM (
        SELECT d.cause FROM stale d WHERE {_ASKED}
        UNION ALL
        SELECT 'resolver change' FROM outcome d
        WHERE {_INVALID} AND {_ASKED} AND NOT EXISTS (
            SELECT FROM stale t
            WHERE (t.affiliation_id, t.policy_id) = (d.affiliation_id, d.policy_id)
        )
    ) d
    GROUP BY cause ORDER BY cause
"""  # noqa: S608

_CARRIED_COUNT = """
    SELECT count(DISTINCT affiliation_id) FROM outcome
    WHERE resolver_version_id = ANY(%(carried)s)
"""
