"""Affiliations that were never linked, read without holding them in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import Engine, text

from resolver.database.connection import translate

EXAMPLES = 5
"""Affiliations and publications kept for each organisation."""

_FETCHED = 2_000
"""Rows fetched at a time."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """One affiliation without a link: how often it was sent, by whom, in which records."""

    affiliation: str
    reason: str
    count: int
    sources: tuple[str, ...]
    records: tuple[str, ...]


def unmatched_affiliations(
    engine: Engine, *, reasons: Collection[str], source: str | None = None
) -> Iterator[Unmatched]:
    """Distinct affiliations that no policy linked, with these reasons, in no order.

    Raises:
        DatabaseUnavailable: no answer.
    """
    with translate(engine), engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        rows = connection.execution_options(yield_per=_FETCHED).execute(
            text(_UNMATCHED), {"reasons": list(reasons), "source": source, "kept": EXAMPLES}
        )
        for affiliation, reason, count, sources, records in rows:
            yield Unmatched(affiliation, reason, count, tuple(sources), tuple(records))


_UNMATCHED = """
    SELECT a.text, r.reason, r.count, r.sources, r.records
    FROM (SELECT DISTINCT affiliation_id FROM outcome WHERE reason = ANY(:reasons)) u
    JOIN affiliation a ON a.id = u.affiliation_id
    CROSS JOIN LATERAL (
        SELECT
            min(o.reason) AS reason,
            count(*) AS count,
            array_agg(DISTINCT s.source) AS sources,
            -- DOIs first: curators ask for publications.
            (array_agg(s.external_id ORDER BY s.external_id !~ '^10[.]', s.external_id))[1:(:kept)]
                AS records
        FROM source_record s
        JOIN outcome o ON (o.affiliation_id, o.policy_id) = (s.affiliation_id, s.policy_id)
        WHERE s.affiliation_id = u.affiliation_id
        AND o.reason = ANY(:reasons)
        AND (CAST(:source AS text) IS NULL OR s.source = :source)
    ) r
    WHERE r.count > 0
    AND NOT EXISTS (
        SELECT FROM outcome o WHERE o.affiliation_id = u.affiliation_id AND o.status = 'linked'
    )
"""
"""An affiliation that one policy links and another does not is no gap in the registry. Outcomes are
read once; records only of the affiliations that are returned, by key."""
