"""Leases of review items: nobody else is given what a person has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, text

from resolver.database.connection import transaction
from resolver.database.review_filters import ORDER, Filters, condition, searches
from resolver.database.review_items import LEASE_MINUTES, Item, find


@dataclass(frozen=True, slots=True)
class Upcoming:
    """An item that a person will probably be given soon."""

    affiliation_id: int
    text: str
    policy_id: int


def take(engine: Engine, filters: Filters, author: str) -> Item | None:
    """Give a person the next item, for `LEASE_MINUTES`: the one that they have already, if it meets
    the filters, else the first that nobody has. None where there is none.

    Left out are items about which the person may not decide, or that they skipped in the last day.
    """
    queries, values = taking(filters, author)
    with transaction(engine) as connection:
        for query in queries:
            taken = connection.execute(text(query), values).scalar()
            if taken is not None:
                return find(connection, [taken])[0]
    return None


def taking(filters: Filters, author: str) -> tuple[tuple[str, ...], dict[str, object]]:
    """The statements by which `take` leases an item, each of which is tried if those before lease
    none, and the values of all. The first one is for an item that the person has."""
    conditions, values = searches(filters)
    statements = tuple(
        f"WITH next AS (SELECT r.affiliation_id FROM review_item r WHERE {search}"  # noqa: S608
        f" AND {_ALLOWED} {ORDER} LIMIT 1 FOR UPDATE SKIP LOCKED)"
        f" UPDATE review_item r SET {_LEASED} FROM next"
        " WHERE r.affiliation_id = next.affiliation_id RETURNING r.affiliation_id"
        for search in (
            f"{condition(filters)[0]} AND {_OWN}",
            *(f"{search} AND {_FREE}" for search in conditions),
        )
    )
    return statements, {**values, "author": author, "minutes": LEASE_MINUTES}


def upcoming(engine: Engine, filters: Filters, author: str, count: int) -> list[Upcoming]:
    """The next items that `take` would give this person, for reading ahead; leases nothing."""
    conditions, values = searches(filters)
    rows: Sequence[Row[Any]] = ()
    with transaction(engine) as connection:
        for condition in conditions:
            rows = connection.execute(
                text(
                    "SELECT n.affiliation_id, a.text, n.policy_id FROM ("  # noqa: S608
                    "SELECT r.affiliation_id, r.policy_id, r.priority FROM review_item r"
                    f" WHERE {condition} AND {_FREE} AND {_ALLOWED} {ORDER} LIMIT :count"
                    ") n JOIN affiliation a ON a.id = n.affiliation_id"
                    " ORDER BY n.priority DESC, n.affiliation_id"
                ),
                {**values, "author": author, "count": count},
            ).all()
            if len(rows) == count:
                break
    return [Upcoming(row.affiliation_id, row.text, row.policy_id) for row in rows]


def lease(engine: Engine, affiliation_id: int, author: str) -> bool:
    """Give a person this item, in whatever state, as when they open its address; False where
    somebody else has it or they may not decide about it."""
    with transaction(engine) as connection:
        return bool(
            connection.execute(
                text(
                    f"UPDATE review_item r SET {_LEASED} WHERE r.affiliation_id = :id"  # noqa: S608
                    f" AND ({_FREE} OR r.lease_by = :author)"
                    " AND :author <> ALL(r.barred)"
                ),
                {"id": affiliation_id, "author": author, "minutes": LEASE_MINUTES},
            ).rowcount
        )


def renew(engine: Engine, affiliation_id: int, author: str) -> bool:
    """Prolong a lease by `LEASE_MINUTES` from now; False where the person has it no more."""
    with transaction(engine) as connection:
        return bool(
            connection.execute(
                text(
                    f"UPDATE review_item r SET {_LEASED}"  # noqa: S608
                    " WHERE r.affiliation_id = :id AND r.lease_by = :author"
                ),
                {"id": affiliation_id, "author": author, "minutes": LEASE_MINUTES},
            ).rowcount
        )


_OWN = """
    r.affiliation_id = ANY(ARRAY(
        SELECT affiliation_id FROM review_item
        WHERE lease_by = :author AND lease_until > now()
    ))
"""

_FREE = "(r.lease_until IS NULL OR r.lease_until <= now())"

_ALLOWED = """
    :author <> ALL(r.barred)
    AND r.affiliation_id <> ALL(ARRAY(
        SELECT a.id FROM review_decision d JOIN affiliation a USING (text_hash)
        WHERE d.author = :author AND d.action = 'skip' AND d.ended_at IS NULL
        AND d.created_at > now() - interval '1 day'
    ))
"""

_LEASED = "lease_by = :author, lease_until = now() + make_interval(mins => :minutes)"
