"""The items of all stored answers are made again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from resolver.curation.review.keys import text_keys
from resolver.database import review_upkeep
from resolver.database.connection import driver, transaction

if TYPE_CHECKING:
    from sqlalchemy import Engine


def rebuild(
    engine: Engine,
    *,
    anew: bool = False,
    batch: int = 2_000,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Make the items of all stored answers again; returns how many texts have one.

    Leases, decisions and second looks stay. Words, country and cluster of a text are worked out
    where its item has none, or `anew` for all. `progress` gets (texts done, texts). One transaction
    a batch: it may be stopped, and done again, at any time.
    """
    total = review_upkeep.answered_count(engine)
    done = after = 0
    while rows := review_upkeep.answered(engine, after=after, limit=batch, anew=anew):
        keys = {
            affiliation_id: stored or text_keys(affiliation, linked=False)
            for affiliation_id, affiliation, stored in rows
        }
        with transaction(engine) as connection, driver(connection).cursor() as cursor:
            review_upkeep.put(cursor, keys)
        done += len(rows)
        after = rows[-1][0]
        if progress:
            progress(done, max(done, total))
    return done
