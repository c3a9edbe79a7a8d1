from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from support.reviewing import QUEUED, fill_queue

from resolver.curation.review import rebuild
from resolver.database import review_items, review_leases
from resolver.database.connection import transaction
from resolver.database.tables import ReviewState, Why


@pytest.fixture
def texts(engine: Engine, version: int) -> dict[str, int]:
    return fill_queue(engine, version)


def contents(engine: Engine) -> list[tuple[object, ...]]:
    with transaction(engine) as connection:
        return [
            tuple(row)
            for row in connection.execute(text("SELECT * FROM review_item ORDER BY affiliation_id"))
        ]


def written_by(engine: Engine) -> list[object]:
    """Where each item was last written to."""
    with transaction(engine) as connection:
        query = text("SELECT ctid::text FROM review_item ORDER BY affiliation_id")
        return list(connection.execute(query).scalars())


@pytest.mark.parametrize("anew", [False, True])
def test_rebuilding_makes_what_saving_makes(
    engine: Engine, texts: dict[str, int], anew: bool
) -> None:
    before, written = contents(engine), written_by(engine)
    seen: list[tuple[int, int]] = []
    assert rebuild(engine, anew=anew) == len(QUEUED)
    assert contents(engine) == before
    # What does not change is not written.
    assert written_by(engine) == written
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM review_item"))
    assert rebuild(engine, anew=anew, batch=2, progress=lambda *n: seen.append(n)) == len(QUEUED)
    assert contents(engine) == before
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_rebuilding_keeps_leases_and_second_looks(engine: Engine, texts: dict[str, int]) -> None:
    first, second = list(texts.values())[:2]
    assert review_leases.lease(engine, first, "ada")
    with transaction(engine) as connection:
        review_items.settle(
            connection, second, state=ReviewState.OPEN, why=Why.SECOND, barred=["ada"]
        )
    before = contents(engine)
    rebuild(engine)
    assert contents(engine) == before
