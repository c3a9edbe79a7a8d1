"""Outcomes and their links are saved, and the answers before them kept.

Every write can be repeated, and any number of workers write at the same time, in the way that
`resolver.database.records` describes.

What is replaced moves to `past_outcome` and `past_link` in the same transaction: the spells of an
answer follow each other without gap or overlap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import Engine

from resolver.database import policies, review_upkeep
from resolver.database.connection import driver, transaction
from resolver.database.copying import Cursor, copy, storable
from resolver.database.resolver_versions import SWITCH_LOCK, valid_versions
from resolver.database.review_upkeep import TextKeys
from resolver.errors import ModelError, ResolverSuperseded
from resolver.matching.outcome import LinkEvidence, Outcome
from resolver.matching.policy import Policy


@dataclass(frozen=True, slots=True)
class SaveReport:
    """How many `outcomes` were stored, and with how many `links`; `unchanged` outcomes were there
    before."""

    outcomes: int
    links: int
    unchanged: int


def save(
    engine: Engine,
    version_id: int,
    answers: Sequence[tuple[int, Outcome]],
    policy: Policy = Policy(),
    *,
    keys: Mapping[int, TextKeys] = MappingProxyType({}),
) -> SaveReport:
    """Store answers as (affiliation id, outcome), in one transaction; links are replaced whole.

    Answers under other policies stay. The answer before moves to the past, unless it is the same:
    of the same resolver version, with the same overrides, reason and links, and numbers equal but
    for rounding. Of such a one only the nearest candidate is stored anew, if it is another one or
    its probability differs. The answer is no longer stale then, unless curators decided about the
    text while it was being resolved. Of an affiliation twice in one chunk the later answer counts.
    An affiliation that was forgotten meanwhile gets none.

    The review items of the affiliations that have `keys` are made from it.

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
        values: dict[str, object] = {"policy": policies.key(cursor, policy), "version": version_id}
        _require_in_use(cursor, version_id)
        cursor.execute(_CREATE_INCOMING_ANSWER)
        types = ("int8", "text", "text", "int8[]", "text", "float4")
        copy(cursor, "incoming_outcome", types, outcomes)
        copy(
            cursor,
            "incoming_link",
            _LINK_TYPES,
            links,
        )
        known = len(outcomes) - cursor.execute(_LEAVE_FORGOTTEN).rowcount
        (new,) = cursor.execute(_TAKE_OUTCOMES, values).fetchone() or (0,)
        assert isinstance(new, int)
        stored = new
        if new < known:
            values["valid"] = valid_versions(cursor, version_id)
            stored += cursor.execute(_FIND_REPLACED, values).rowcount
            if stored > new:
                cursor.execute(_KEEP_PAST, values)
                cursor.execute(_DELETE_LINKS, values)
                cursor.execute(_REPLACE_OUTCOMES, values)
            cursor.execute(_UPDATE_NEAREST, values)
            cursor.execute(_DELETE_STALE, values)
        linked = cursor.execute(_INSERT_LINKS, values).rowcount
        cursor.execute(_MARK_OVERRIDDEN_MEANWHILE, values)
        review_upkeep.put(cursor, keys)
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
                *_nearest_row(affiliation_id, outcome),
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
                    _within(link.probability),
                    storable(link.name),
                    storable(link.matched_name),
                    list(link.stands_for),
                    *_evidence_row(link.evidence),
                )
            )
    return outcomes, links


def _nearest_row(affiliation_id: int, outcome: Outcome) -> tuple[str | None, float | None]:
    nearest = outcome.nearest
    if nearest is None:
        return None, None
    if not math.isfinite(nearest.probability):
        raise ModelError(
            f"affiliation {affiliation_id} ({outcome.affiliation[:80]!r}), organisation "
            f"{nearest.ror_id}: the probability is {nearest.probability}",
            remedy="check the reranker's weights and precision",
        )
    return nearest.ror_id, _within(nearest.probability)


def _within(probability: float) -> float:
    """A probability that rounding may have put beyond 0 or 1."""
    return min(max(probability, 0.0), 1.0)


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


def _require_in_use(cursor: Cursor, version_id: int) -> None:
    """Keep this version in use until the transaction ends."""
    cursor.execute(_LOCK_IN_USE, {"lock": SWITCH_LOCK})
    # A statement of its own, which sees what was committed before the lock was granted.
    row = cursor.execute(_IN_USE).fetchone()
    current_id = row[0] if row else None
    assert current_id is None or isinstance(current_id, int)
    if current_id != version_id:
        raise ResolverSuperseded(version_id=version_id, current_id=current_id)


_LOCK_IN_USE = "SELECT pg_advisory_xact_lock_shared(%(lock)s)"

_IN_USE = "SELECT id FROM resolver_version WHERE is_current"

_CREATE_INCOMING_ANSWER = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_outcome (
        affiliation_id bigint, status text, reason text, overrides bigint[], nearest text,
        nearest_probability real
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
"""Nothing is forgotten from here on, thanks to the lock that `_require_in_use` took."""

_TAKE_OUTCOMES = """
    WITH inserted AS (
        INSERT INTO outcome AS o
            (affiliation_id, policy_id, resolver_version_id, status, reason, overrides,
             resolved_at, begin_reason, nearest, nearest_probability)
        SELECT
            i.affiliation_id, %(policy)s, %(version)s, i.status, i.reason, i.overrides,
            statement_timestamp(), 'source sent', i.nearest, i.nearest_probability
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
    -- LIMIT makes Postgres look up one key after the other, and not read the whole table.
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
"""Numbers that differ by 1e-4 count as equal: in float32 the scores of a text depend a little on
the other texts of its batch, by a tenth of that in what was seen."""

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
            begin_reason = r.reason,
            nearest = i.nearest,
            nearest_probability = i.nearest_probability
        FROM replaced_outcome r JOIN incoming_outcome i USING (affiliation_id)
        WHERE (o.affiliation_id, o.policy_id) = (r.affiliation_id, %(policy)s)
        RETURNING o.affiliation_id, o.resolved_at, o.begin_reason
    )
    INSERT INTO stored_outcome SELECT * FROM replaced
"""

_UPDATE_NEAREST = """
    UPDATE outcome o SET
        nearest = i.nearest, nearest_probability = i.nearest_probability
    FROM incoming_outcome i
    -- An array makes Postgres look up the keys, and not read the whole table.
    WHERE o.affiliation_id = ANY(ARRAY(SELECT affiliation_id FROM incoming_outcome))
    AND (o.affiliation_id, o.policy_id) = (i.affiliation_id, %(policy)s)
    AND (
        o.nearest IS DISTINCT FROM i.nearest
        OR abs(o.nearest_probability - i.nearest_probability) > 1e-4
    )
"""
"""Of answers that are not replaced. What came nearest is no part of an answer, and has no past."""

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
    -- An array makes Postgres look up the keys, and not read the whole table.
    WHERE affiliation_id = ANY(ARRAY(SELECT affiliation_id FROM incoming_outcome))
    AND policy_id = %(policy)s
    AND resolver_version_id = ANY(%(valid)s)
"""
"""Marks of a later version that was rolled back stay: it would still give another answer."""

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
"""Marks answers whose overrides changed after they were read. Texts that are refused unread have no
overrides."""
