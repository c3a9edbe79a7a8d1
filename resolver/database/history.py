"""How answers changed when they were given again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Engine, text

from resolver.database.connection import transaction


class Replacement(StrEnum):
    """A new answer compared with the one that it replaced, by the organisations that are linked."""

    SAME = "same"
    OTHER = "other organisation"
    """At least one organisation went and another one came."""

    GAINED = "gained"
    """All organisations of before and more; or some where there was none."""

    LOST = "lost"
    """Only some of the organisations of before, or none."""


def now(engine: Engine) -> datetime:
    """The time by the database's clock, as in all of the history."""
    with transaction(engine) as connection:
        moment = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    assert isinstance(moment, datetime)
    return moment


def replacements(
    engine: Engine, version_id: int, *, since: datetime | None = None
) -> Mapping[Replacement, int]:
    """How many answers this resolver version replaced, from `since` on, by how they changed.

    Where it answered more than once, the present answer is compared with the one before its first.
    """
    with transaction(engine) as connection:
        rows = connection.execute(_FATES, {"version": version_id, "since": since})
        counts = {Replacement(kind): int(count) for kind, count in rows}
    return {kind: counts.get(kind, 0) for kind in Replacement}


_FATES = text(
    """
    WITH replaced AS (
        SELECT DISTINCT ON (affiliation_id, policy_id) id, affiliation_id, policy_id
        FROM past_outcome
        WHERE ended_by = :version
          AND ended_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
        ORDER BY affiliation_id, policy_id, ended_at, id
    ),
    compared AS MATERIALIZED (
        SELECT ARRAY(
                   SELECT l.ror_id FROM past_link l WHERE l.past_outcome_id = r.id ORDER BY 1
               ) AS before,
               ARRAY(
                   SELECT l.ror_id FROM link l
                   WHERE l.affiliation_id = r.affiliation_id AND l.policy_id = r.policy_id
                   ORDER BY 1
               ) AS after
        FROM replaced r
    )
    SELECT CASE WHEN before = after THEN 'same'
                WHEN before <@ after THEN 'gained'
                WHEN before @> after THEN 'lost'
                ELSE 'other organisation' END,
           count(*)
    FROM compared GROUP BY 1
    """
)
