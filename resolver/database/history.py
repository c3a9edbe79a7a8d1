"""What became of answers that were given again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Engine, text

from resolver.database.connection import transaction


class Fate(StrEnum):
    """A new answer beside the one that it replaced, by the organisations that are linked."""

    SAME = "same"
    OTHER = "other organisation"
    """At least one went and another one came."""

    GAINED = "gained"
    """All that were there, and more; where there were none, too."""

    LOST = "lost"
    """Some of those that were there, or none."""


def now(engine: Engine) -> datetime:
    """The database's clock, which every moment of the history is of."""
    with transaction(engine) as connection:
        moment = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    assert isinstance(moment, datetime)
    return moment


def fates(engine: Engine, version_id: int, *, since: datetime | None = None) -> Mapping[Fate, int]:
    """Answers that this resolver version replaced, from `since` on: how many met each fate.

    Of an answer that it gave more than once, what was before the first counts.
    """
    with transaction(engine) as connection:
        rows = connection.execute(_FATES, {"version": version_id, "since": since})
        found = {Fate(fate): int(count) for fate, count in rows}
    return {fate: found.get(fate, 0) for fate in Fate}


_FATES = text(
    """
    WITH replaced AS (
        SELECT DISTINCT ON (affiliation_id, policy_id) id, affiliation_id, policy_id
        FROM past_outcome
        WHERE ended_by = :version
          AND ended_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
        ORDER BY affiliation_id, policy_id, ended_at, id
    ),
    compared AS (
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
