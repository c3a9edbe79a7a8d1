"""Some of the stored affiliations, the same ones each time."""

from __future__ import annotations

import hashlib

from sqlalchemy import Engine, text

from resolver.database.connection import transaction


def sample(engine: Engine, size: int, *, seed: int = 0) -> list[str]:
    """Distinct normalised affiliations that some source record has now, `size` at most.

    A seed gives the same sample as long as the same affiliations are stored. Hashes of texts are
    random, so those that follow a given hash are a random sample. An index has them in order: the
    cost is that of `size` rows, however many there are.

    Raises:
        DatabaseUnavailable: no answer.
    """
    start = hashlib.blake2b(str(seed).encode(), digest_size=16).digest()
    with transaction(engine) as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        affiliations: list[str] = []
        for condition in (">=", "<"):
            rows = connection.execute(
                text(_SAMPLE.format(condition=condition)),
                {"start": start, "size": size - len(affiliations)},
            )
            affiliations += rows.scalars()
    return affiliations


_SAMPLE = """
    SELECT a.text FROM affiliation a
    WHERE a.text_hash {condition} :start
      AND EXISTS (SELECT FROM source_record s WHERE s.affiliation_id = a.id)
    ORDER BY a.text_hash
    LIMIT :size
"""
