"""How often each organisation is linked."""

from __future__ import annotations

from sqlalchemy import Engine, text

from resolver.database.connection import transaction


def link_counts(engine: Engine) -> dict[str, int]:
    """Stored links by ROR id; it reads all links.

    Raises:
        DatabaseUnavailable: no answer.
    """
    with transaction(engine) as connection:
        rows = connection.execute(
            text("SELECT ror_id, count(*) AS links FROM link GROUP BY ror_id")
        ).all()
    return {row.ror_id: row.links for row in rows}
