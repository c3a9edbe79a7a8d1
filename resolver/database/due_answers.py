"""Which present answers are to be given again.

When a version comes in use, it may carry over the answers of earlier versions. The *selection*
marks those of them that its release may change. A mark belongs to this version and counts for every
version that carries it, until one of them has stored the answer again. So a version that is rolled
back keeps its marks for when it comes back, and the version before never sees them. A curator's
decision concerns every version, so its mark belongs to the version that gave the answer.

A selection goes through the affiliations in the order of their ids, page by page. Each page commits
its marks and how far the selection is, so that an interrupted one goes on from there. A mark that
is there stays as it is: a page may be done twice.

*Due* are the answers that a source asks for and that are stale, or of a version that is not valid.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, text

from resolver.database.connection import driver, transaction
from resolver.database.overrides import OTHER_OVERRIDES
from resolver.database.resolver_versions import SWITCH_LOCK, valid_versions
from resolver.database.tables import Cause
from resolver.errors import ResolverSuperseded

__all__ = [
    "CarriedAffiliation",
    "CarriedLink",
    "CarriedNearest",
    "Cause",
    "Due",
    "Page",
    "about_due",
    "causes",
    "due",
    "due_among",
    "due_count",
    "last_affiliation",
    "mark_page",
    "mark_texts",
    "page",
    "prune",
    "selection_begun",
    "selection_done",
]


@dataclass(frozen=True, slots=True)
class CarriedLink:
    """A link of an answer that is carried over. `threshold` is the probability that its policy
    asks for; `sparse` and `dense` are the scores of the first stage, None where it did not find the
    organisation in that way."""

    ror_id: str
    matched_name: str
    probability: float
    threshold: float
    sparse: float | None
    dense: float | None


@dataclass(frozen=True, slots=True)
class CarriedNearest:
    """The probability of the most probable candidate of an answer without a link that is carried
    over, and the one that its policy asks for."""

    probability: float
    threshold: float


@dataclass(frozen=True, slots=True)
class CarriedAffiliation:
    """An affiliation whose answers are carried over: `links` are those of all its answers,
    `nearest` what came nearest in those without a link, as far as that is known."""

    id: int
    text: str
    links: tuple[CarriedLink, ...]
    nearest: tuple[CarriedNearest, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """The affiliations with ids after `after` and up to `to` that have answers for a selection to
    look at."""

    after: int
    to: int
    carried: tuple[CarriedAffiliation, ...]


@dataclass(frozen=True, slots=True)
class Due:
    """An answer that is to be given again, and its normalised text."""

    affiliation_id: int
    policy_id: int
    text: str


# What a selection marks


def page(engine: Engine, version_id: int, *, after: int, size: int) -> Page | None:
    """The next `size` affiliations after the id `after`; None where there are no more.

    They come with their answers that are carried over, are not stale, and that no selection of this
    version has looked at before. Answers that no source asks for at present are among them: a
    source may ask again, and the answer would be taken for valid.
    """
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        (to,) = cursor.execute(_PAGE, {"after": after, "size": size}).fetchone() or (None,)
        if to is None:
            return None
        valid = valid_versions(cursor, version_id)
        values = {"version": version_id, "valid": valid, "carried": valid[1:]}
        rows = cursor.execute(_CARRIED, values | {"after": after, "to": to}).fetchall()
    carried = (
        CarriedAffiliation(
            id,
            affiliation,
            tuple(CarriedLink(*link) for link in links),
            tuple(CarriedNearest(*of_answer) for of_answer in nearest),
        )
        for id, affiliation, links, nearest in rows
    )
    return Page(after, to, tuple(carried))


def mark_page(
    engine: Engine,
    version_id: int,
    done: Page,
    may_change: Collection[int],
    *,
    changed: Collection[str] = (),
) -> int:
    """Mark carried answers of a page: those that link to one of the organisations `changed`, that
    link to another one in its place, or whose runner-up it was, and those for the affiliations
    `may_change`. Returns how many are newly marked. With that the selection is done with the page.

    Raises:
        ResolverSuperseded: the version is not in use any more; nothing was marked.
    """
    marked = 0
    marking: list[tuple[str, Cause, dict[str, Any]]] = []
    if changed:
        values = {"ror_ids": sorted(changed), "after": done.after, "to": done.to}
        marking.append((_LINKED, Cause.ORGANISATION_CHANGED, values))
    if may_change:
        ids = {"ids": list(may_change)}
        marking.append((_UNLINKED, Cause.NO_ANSWER_BEFORE, ids))
        marking.append((_LINKED_TO_ANY, Cause.ORGANISATION_ADDED, ids))
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        for selection, cause, of in marking:
            marked += _mark(cursor, version_id, selection, cause, **of)
        _advance(cursor, _PAGE_DONE, version_id, to=done.to)
    return marked


def mark_texts(
    connection: Connection, text_hashes: Collection[bytes], cause: str = Cause.OVERRIDE
) -> int:
    """Mark the answers for these texts, of any version, that were given with other overrides than
    hold now; returns how many are newly marked.

    Waits for answers that are just being stored. Until the caller's transaction ends, no answer is
    stored; later ones see the overrides.
    """
    if not text_hashes:
        return 0
    with driver(connection).cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SWITCH_LOCK,))
        return cursor.execute(_TEXTS, {"hashes": list(text_hashes), "cause": cause}).rowcount


def last_affiliation(engine: Engine) -> int:
    """The greatest id of an affiliation, where a selection ends; 0 where there is none."""
    with transaction(engine) as connection:
        last = connection.execute(text("SELECT max(id) FROM affiliation")).scalar()
    return int(last or 0)


def selection_begun(engine: Engine, version_id: int, *, again: bool = False) -> int:
    """Begin a selection or go on with it; returns the id of the last affiliation that it is done
    with.

    `again` starts over, and looks again at what an earlier selection has looked at.

    Raises:
        ResolverSuperseded: the version is not in use any more.
    """
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        return _advance(cursor, _BEGUN, version_id, again=again)


def selection_done(engine: Engine, version_id: int) -> None:
    """Record that the selection is complete: all that the version's release may change is marked.

    Raises:
        ResolverSuperseded: the version is not in use any more.
    """
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        _advance(cursor, _DONE, version_id, carried=valid_versions(cursor, version_id)[1:])


def prune(engine: Engine, version_ids: Collection[int], *, batch: int = 10_000) -> int:
    """Drop the marks of all versions but these and those that they carry; returns how many.

    If another version comes in use again, its selection starts over. One transaction for every
    `batch` marks.
    """
    dropped = 0
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        kept = {valid for number in version_ids for valid in valid_versions(cursor, number)}
        others = cursor.execute(_FORGET, {"kept": list(kept)}).fetchall()
    for (number,) in others:
        last = batch
        while last == batch:
            with transaction(engine) as connection, driver(connection).cursor() as cursor:
                last = cursor.execute(_PRUNE, {"version": number, "batch": batch}).rowcount
                dropped += last
    return dropped


# What is due


def due(
    engine: Engine, version_id: int, *, after: tuple[int, int] = (0, 0), limit: int
) -> list[Due]:
    """The first `limit` answers that are due under this version after the key `after` (affiliation
    id, policy id), in the order of their keys."""
    answers: list[Due] = []
    while len(answers) < limit:
        # Each transaction reads `limit` keys and no more: many may be of answers that no source
        # asks for.
        with transaction(engine) as connection, driver(connection).cursor() as cursor:
            values = _valid_and_not(cursor, version_id)
            values |= {"affiliation": after[0], "policy": after[1], "limit": limit}
            rows = cursor.execute(_DUE, values).fetchall()
        answers += [Due(*row[:3]) for row in rows if row[3]]
        if len(rows) < limit:
            break
        after = rows[-1][0], rows[-1][1]
    return answers[:limit]


def due_among(
    engine: Engine, version_id: int, policy_id: int, affiliation_ids: Collection[int]
) -> list[Due]:
    """The answers for these affiliations under this policy that are due, in the order of their
    ids."""
    values: dict[str, object] = {"policy": policy_id, "ids": list(affiliation_ids)}
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        values["valid"] = valid_versions(cursor, version_id)
        return [Due(*row) for row in cursor.execute(_DUE_AMONG, values).fetchall()]


def about_due(engine: Engine, version_id: int, *, few: int = 100_000) -> int:
    """How many answers are due under this version: exact up to `few`. Beyond that the count
    includes answers that no source asks for any more, and twice those that two versions marked.

    For monitors, which ask often: an exact count looks up for each answer whether a source asks.
    """
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        row = cursor.execute(_ABOUT_DUE, _valid_and_not(cursor, version_id)).fetchone()
    assert row is not None  # a count always has a row
    return due_count(engine, version_id) if row[0] <= few else int(row[0])


def causes(engine: Engine, version_id: int) -> dict[str, int]:
    """How many answers are due under this version, by cause; the cause of those of a version that
    is not valid is "resolver change"."""
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        values = _valid_and_not(cursor, version_id)
        once = _ONCE if len(values["marking"]) > 1 else ""
        return dict(cursor.execute(_CAUSES.format(once=once), values).fetchall())


def due_count(engine: Engine, version_id: int) -> int:
    """How many answers are due under this version."""
    return sum(causes(engine, version_id).values())


def _valid_and_not(cursor: psycopg.Cursor[Any], version_id: int) -> dict[str, Any]:
    """The valid versions that have marks, and the versions that are not valid and have answers."""
    values = {"valid": valid_versions(cursor, version_id)}
    return {
        name: [row[0] for row in cursor.execute(query, values).fetchall()]
        for name, query in (("marking", _MARKING), ("invalid", _INVALID))
    }


def _mark(
    cursor: psycopg.Cursor[Any], version_id: int, selection: str, cause: str, **values: Any
) -> int:
    valid = valid_versions(cursor, version_id)
    values |= {"version": version_id, "valid": valid, "carried": valid[1:], "cause": cause}
    return cursor.execute(_INSERT.format(selection=selection), values).rowcount


def _advance(cursor: psycopg.Cursor[Any], statement: str, version_id: int, **values: Any) -> int:
    """Record in the version in use how far its selection is; returns the last affiliation done."""
    row = cursor.execute(statement, {"version": version_id} | values).fetchone()
    if row is None:
        current = cursor.execute("SELECT id FROM resolver_version WHERE is_current").fetchone()
        raise ResolverSuperseded(version_id=version_id, current_id=current[0] if current else None)
    return int(row[0])


# An answer that a valid version has marked already is not marked again.
_INSERT = """
    INSERT INTO stale (affiliation_id, policy_id, resolver_version_id, cause, ror_id)
    SELECT f.affiliation_id, f.policy_id, %(version)s, %(cause)s, min(f.ror_id)
    FROM ({selection}) f
    JOIN outcome o USING (affiliation_id, policy_id)
    WHERE o.resolver_version_id = ANY(%(carried)s)
    AND NOT EXISTS (
        SELECT FROM stale t
        WHERE (t.affiliation_id, t.policy_id) = (o.affiliation_id, o.policy_id)
        AND t.resolver_version_id = ANY(%(valid)s)
    )
    GROUP BY f.affiliation_id, f.policy_id
    ORDER BY f.affiliation_id, f.policy_id
    ON CONFLICT (affiliation_id, policy_id, resolver_version_id) DO NOTHING
"""

# By the key, as a page is read: an organisation may have millions of links.
_LINKED = """
    SELECT l.affiliation_id, l.policy_id, named AS ror_id
    FROM link l CROSS JOIN LATERAL unnest(
        ARRAY[l.ror_id, l.runner_up] || l.stands_for
    ) AS named
    WHERE l.affiliation_id > %(after)s AND l.affiliation_id <= %(to)s
    AND named = ANY(%(ror_ids)s)
"""

_OF_AFFILIATIONS = """
    SELECT affiliation_id, policy_id, NULL::text AS ror_id FROM outcome
    WHERE affiliation_id = ANY(%(ids)s) AND reason IS {null}
"""

_UNLINKED = _OF_AFFILIATIONS.format(null="NOT NULL")
_LINKED_TO_ANY = _OF_AFFILIATIONS.format(null="NULL")

_TEXTS = f"""
    INSERT INTO stale (affiliation_id, policy_id, resolver_version_id, cause)
    SELECT o.affiliation_id, o.policy_id, o.resolver_version_id, %(cause)s
    FROM affiliation a JOIN outcome o ON o.affiliation_id = a.id
    WHERE a.text_hash = ANY(%(hashes)s)
    AND {OTHER_OVERRIDES}
    ORDER BY o.affiliation_id, o.policy_id
    ON CONFLICT (affiliation_id, policy_id, resolver_version_id) DO NOTHING
"""  # noqa: S608

_PAGE = """
    SELECT max(id)
    FROM (SELECT id FROM affiliation WHERE id > %(after)s ORDER BY id LIMIT %(size)s) a
"""

_CARRIED = """
    SELECT
        a.id, a.text,
        coalesce(
            jsonb_path_query_array(jsonb_agg(coalesce(k.links, '[]')), '$[*][*]'), '[]'
        ),
        coalesce(
            jsonb_agg(jsonb_build_array(o.nearest_probability, p.threshold))
            FILTER (WHERE o.nearest_probability IS NOT NULL), '[]'
        )
    FROM outcome o JOIN affiliation a ON a.id = o.affiliation_id
    JOIN (
        SELECT id, (settings ->> 'accept_probability')::real AS threshold FROM policy
    ) p ON p.id = o.policy_id
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(
            jsonb_build_array(
                l.ror_id, l.matched_name, l.probability, p.threshold, l.sparse, l.dense
            )
        ) AS links
        FROM link l
        WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
    ) k
    WHERE o.affiliation_id > %(after)s AND o.affiliation_id <= %(to)s
    AND o.resolver_version_id = ANY(%(carried)s)
    AND NOT EXISTS (
        SELECT FROM resolver_version v
        WHERE v.id = %(version)s
        AND o.resolved_at < v.selected_until AND o.resolver_version_id = ANY(v.selected_of)
    )
    AND NOT EXISTS (
        SELECT FROM stale t
        WHERE (t.affiliation_id, t.policy_id) = (o.affiliation_id, o.policy_id)
        AND t.resolver_version_id = ANY(%(valid)s)
    )
    GROUP BY a.id
"""

_BEGUN = """
    UPDATE resolver_version SET
        selected_to = CASE WHEN %(again)s THEN 0 ELSE coalesce(selected_to, 0) END,
        selected_until = CASE WHEN NOT %(again)s THEN selected_until END,
        selected_of = CASE WHEN NOT %(again)s THEN selected_of END
    WHERE id = %(version)s AND is_current
    RETURNING selected_to
"""

_PAGE_DONE = """
    UPDATE resolver_version SET selected_to = %(to)s
    WHERE id = %(version)s AND is_current
    RETURNING selected_to
"""

_DONE = """
    UPDATE resolver_version SET
        selected_at = coalesce(selected_at, now()),
        selected_to = NULL,
        selected_until = now(),
        selected_of = %(carried)s
    WHERE id = %(version)s AND is_current
    RETURNING 0
"""

_FORGET = """
    UPDATE resolver_version SET
        selected_at = CASE WHEN carries_id IS NULL THEN selected_at END,
        selected_to = NULL,
        selected_until = NULL,
        selected_of = NULL
    WHERE id <> ALL(%(kept)s)
    RETURNING id
"""

_PRUNE = """
    DELETE FROM stale
    WHERE (affiliation_id, policy_id, resolver_version_id) IN (
        SELECT affiliation_id, policy_id, resolver_version_id FROM stale
        WHERE resolver_version_id = %(version)s
        ORDER BY affiliation_id, policy_id
        LIMIT %(batch)s
    )
"""

_ASKED = """
    EXISTS (
        SELECT FROM source_record s
        WHERE (s.affiliation_id, s.policy_id) = (d.affiliation_id, d.policy_id)
    )
"""

# The rows of one version, in the order of an index that begins with it. Written as a range: with an
# equality Postgres might follow the primary key, through the rows of all other versions.
_OF_VERSION = """
    (resolver_version_id, affiliation_id, policy_id) > (v.id, {affiliation}, {policy})
    AND resolver_version_id <= v.id
    ORDER BY resolver_version_id, affiliation_id, policy_id
"""

_FIRST = _OF_VERSION.format(affiliation=0, policy=0)
_NEXT = _OF_VERSION.format(affiliation="%(affiliation)s", policy="%(policy)s")

_MARKING = f"""
    SELECT v.id FROM unnest(%(valid)s::integer[]) AS v(id)
    CROSS JOIN LATERAL (SELECT FROM stale WHERE {_FIRST} LIMIT 1) m
"""  # noqa: S608

_INVALID = f"""
    SELECT v.id FROM resolver_version v
    CROSS JOIN LATERAL (SELECT FROM outcome WHERE {_FIRST} LIMIT 1) o
    WHERE v.id <> ALL(%(valid)s)
"""  # noqa: S608

# What a page reads does not grow with the number of answers that follow. Where all versions are
# valid, `outcome` is not read at all.
_DUE = f"""
    SELECT d.affiliation_id, d.policy_id, a.text, {_ASKED}
    FROM (
        SELECT m.affiliation_id, m.policy_id
        FROM unnest(%(marking)s::integer[]) AS v(id) CROSS JOIN LATERAL (
            SELECT affiliation_id, policy_id FROM stale WHERE {_NEXT} LIMIT %(limit)s
        ) m
        UNION
        SELECT o.affiliation_id, o.policy_id
        FROM unnest(%(invalid)s::integer[]) AS v(id) CROSS JOIN LATERAL (
            SELECT affiliation_id, policy_id FROM outcome WHERE {_NEXT} LIMIT %(limit)s
        ) o
        ORDER BY affiliation_id, policy_id LIMIT %(limit)s
    ) d
    JOIN affiliation a ON a.id = d.affiliation_id
    ORDER BY d.affiliation_id, d.policy_id
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
            AND t.resolver_version_id = ANY(%(valid)s)
        )
    )
    ORDER BY d.affiliation_id
"""  # noqa: S608

_ABOUT_DUE = """
    SELECT (SELECT count(*) FROM stale WHERE resolver_version_id = ANY(%(marking)s))
        + (SELECT count(*) FROM outcome WHERE resolver_version_id = ANY(%(invalid)s))
"""

_CAUSES = f"""
    SELECT cause, count(*) FROM (
        SELECT d.cause FROM stale d
        WHERE d.resolver_version_id = ANY(%(marking)s) AND {_ASKED} {{once}}
        UNION ALL
        SELECT 'resolver change' FROM outcome d
        WHERE d.resolver_version_id = ANY(%(invalid)s) AND {_ASKED} AND NOT EXISTS (
            SELECT FROM stale t
            WHERE (t.affiliation_id, t.policy_id) = (d.affiliation_id, d.policy_id)
            AND t.resolver_version_id = ANY(%(marking)s)
        )
    ) d
    GROUP BY cause ORDER BY cause
"""  # noqa: S608

# An answer that several versions have marked counts once.
_ONCE = """
    AND NOT EXISTS (
        SELECT FROM stale t
        WHERE (t.affiliation_id, t.policy_id) = (d.affiliation_id, d.policy_id)
        AND t.resolver_version_id > d.resolver_version_id
        AND t.resolver_version_id = ANY(%(marking)s)
    )
"""
