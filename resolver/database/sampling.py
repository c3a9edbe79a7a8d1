"""Some of the stored affiliations, the same ones each time."""

from __future__ import annotations

import hashlib

from sqlalchemy import Engine, text

from resolver.database.connection import transaction


def sample(engine: Engine, size: int, *, seed: int = 0) -> list[str]:
    """Distinct normalised affiliations that some source record has now, `size` at most.

    The same ones for a seed as long as the same are stored. Hashes of texts are as good as drawn by
    lot, so those that follow a place among them are a random sample; an index has them in order,
    and the cost is that of `size` rows however many there are.

    Raises:
        DatabaseUnavailable: no answer.
    """
    start = hashlib.blake2b(str(seed).encode(), digest_size=16).digest()
    with transaction(engine) as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        found: list[str] = []
        for condition in (">=", "<"):
            rows = connection.execute(
                text(_SAMPLE.format(condition=condition)),
                {"start": start, "size": size - len(found)},
            )
            found += rows.scalars()
    return found


_SAMPLE = """
    SELECT a.text FROM affiliation a
    WHERE a.text_hash {condition} :start
      AND EXISTS (SELECT FROM source_record s WHERE s.affiliation_id = a.id)
    ORDER BY a.text_hash
    LIMIT :size
"""
