"""What was never linked, read without holding it in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import Engine, text

from resolver.database.connection import translate
from resolver.domain.unmatched import EXAMPLES, Unmatched

_FETCHED = 2_000
"""Rows fetched at a time."""


def unresolved(
    engine: Engine, *, reasons: Collection[str], source: str | None = None
) -> Iterator[Unmatched]:
    """Distinct affiliations that no policy linked, with these reasons, in no order.

    Raises:
        DatabaseUnavailable: no answer.
    """
    with translate(engine), engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        rows = connection.execution_options(yield_per=_FETCHED).execute(
            text(_UNRESOLVED), {"reasons": list(reasons), "source": source, "kept": EXAMPLES}
        )
        for affiliation, reason, count, sources, records in rows:
            yield Unmatched(affiliation, reason, count, tuple(sources), tuple(records))


_UNRESOLVED = """
    SELECT
        u.affiliation,
        min(u.reason),
        count(DISTINCT (u.source, u.external_id, u.position)),
        array_agg(DISTINCT u.source),
        -- DOIs first: curators ask for publications.
        (array_agg(u.external_id ORDER BY u.external_id !~ '^10[.]', u.external_id))[1:(:kept)]
    FROM unresolved u
    WHERE u.reason = ANY(:reasons)
      AND (CAST(:source AS text) IS NULL OR u.source = :source)
      AND NOT EXISTS (
          SELECT FROM outcome o
          JOIN affiliation a ON a.id = o.affiliation_id
          WHERE o.status = 'linked' AND a.text = u.affiliation
      )
    GROUP BY u.affiliation
"""
"""An affiliation that one policy links and another does not is no gap of the registry."""
