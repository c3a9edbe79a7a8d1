from __future__ import annotations

from sqlalchemy import Engine, text
from support.reviewing import NOT_THERE, item, queued

from resolver.database import review_leases
from resolver.database.connection import transaction
from resolver.database.review_filters import Filters


def test_who_has_an_item_gets_it_again_and_others_the_next(
    engine: Engine, texts: dict[str, int]
) -> None:
    def taken(author: str, filters: Filters = Filters()) -> str | None:
        found = review_leases.take(engine, filters, author)
        return found and found.text

    order = queued(engine)
    assert taken("ada") == order[0]
    assert taken("ada") == order[0]
    assert taken("bob") == order[1]
    assert [u.text for u in review_leases.upcoming(engine, Filters(), "cy", 9)] == order[2:]
    # Theirs does not meet the filter.
    other = taken("ada", Filters(reason=NOT_THERE.value))
    assert other == "Kelmar Technical University, Oslo, Norway"
    assert taken("cy") == order[2]


def test_a_lease_expires_and_is_renewed(engine: Engine, texts: dict[str, int]) -> None:
    of = next(iter(texts.values()))
    assert review_leases.lease(engine, of, "ada")
    assert not review_leases.lease(engine, of, "bob")
    assert not review_leases.renew(engine, of, "bob")
    assert item(engine, of).lease_by == "ada"
    with transaction(engine) as connection:
        connection.execute(text("UPDATE review_item SET lease_until = now() - interval '1 s'"))
    assert item(engine, of).lease_by is None
    assert review_leases.renew(engine, of, "ada")
    assert item(engine, of).lease_by == "ada"
    with transaction(engine) as connection:
        connection.execute(text("UPDATE review_item SET lease_until = now() - interval '1 s'"))
    assert review_leases.lease(engine, of, "bob")
    assert not review_leases.renew(engine, of, "ada")
