"""The queue of the review page: one item for each affiliation text that has an answer.

An item shows the answer under the policy that most of the text's records were sent with. Its
*priority* is the number of records times the doubt, how probable it is that the answer is wrong:
the records that are expected to be wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from resolver.database.connection import transaction
from resolver.database.overrides import OTHER_OVERRIDES
from resolver.database.review_filters import ORDER, Filters, searches
from resolver.database.tables import ReviewState, Why
from resolver.database.unmatched import Unmatched

LEASE_MINUTES = 10
"""How long an item is kept for the person who was given it, unless it is renewed."""


@dataclass(frozen=True, slots=True)
class ItemLink:
    """An organisation that the answer of an item links."""

    ror_id: str
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the queue, with the stored answer that it shows.

    `probability` is that of the least probable link, or of the nearest organisation where there
    is no link; None where nothing was near. `country` is the one that the text names, else that of
    the first link. `lease_by` and `lease_until` are set while somebody has the item. `barred` are
    persons who may not decide about it, since they have.
    """

    affiliation_id: int
    text: str
    policy_id: int
    records: int
    sources: tuple[str, ...]
    doubt: float
    priority: float
    probability: float | None
    reason: str | None
    country: str | None
    why: Why
    state: ReviewState
    barred: tuple[str, ...]
    lease_by: str | None
    lease_until: datetime | None
    answered_at: datetime
    links: tuple[ItemLink, ...]

    @property
    def blind(self) -> bool:
        """Whether the person who decides must see neither the answer nor earlier decisions."""
        return self.why is Why.SECOND

    @property
    def ror_ids(self) -> frozenset[str]:
        return frozenset(link.ror_id for link in self.links)


@dataclass(frozen=True, slots=True)
class Similar:
    """Another open item that the same decision may settle."""

    affiliation_id: int
    text: str
    records: int


@dataclass(frozen=True, slots=True)
class RecordExample:
    """A record that has the text of an item."""

    source: str
    external_id: str
    position: int


def queue(
    engine: Engine,
    filters: Filters,
    author: str,
    *,
    limit: int = 50,
    after: tuple[float, int] | None = None,
) -> list[Item]:
    """The first items of the queue, those of the most expected wrong records first; `after` is
    (priority, affiliation id) of the item before. Items that somebody has are among them, those
    about which the person may not decide are not."""
    behind = _BEHIND if after else ""
    conditions, values = searches(filters, behind)
    values |= {"author": author, "limit": limit}
    if after:
        values |= {"priority": after[0], "last": after[1]}
    items: list[Item] = []
    with transaction(engine) as connection:
        for condition in conditions:
            items = _items(
                connection,
                f"SELECT r.* FROM review_item r WHERE {condition} {behind}"  # noqa: S608
                f" AND :author <> ALL(r.barred) {ORDER} LIMIT :limit",
                values,
            )
            if len(items) == limit:
                break
    return items


def find(connection: Connection, affiliation_ids: Collection[int]) -> list[Item]:
    """The items of these texts, by their ids."""
    return _items(
        connection,
        "SELECT r.* FROM review_item r WHERE r.affiliation_id = ANY(:ids)"
        " ORDER BY r.affiliation_id",
        {"ids": list(affiliation_ids)},
    )


def lock(connection: Connection, affiliation_ids: Collection[int]) -> list[Item]:
    """The items of these texts, by their ids; nobody else changes them until the transaction
    ends."""
    values = {"ids": list(affiliation_ids)}
    connection.execute(text(_LOCK), values)
    # Another statement sees what was committed while this one waited.
    return find(connection, affiliation_ids)


def similar(connection: Connection, affiliation_id: int, *, limit: int) -> list[Similar]:
    """Open items that the same decision may settle, those of most expected wrong records first.

    Of an item without a link these are other writings of the same name in the same country; of
    another those that are linked to the same organisation by the same words, as far as its least
    probable link goes.
    """
    values = {"id": affiliation_id, "limit": limit, "most": _LINKS_READ}
    return [Similar(*row) for row in connection.execute(text(_SIMILAR), values)]


def examples(connection: Connection, affiliation_id: int, *, limit: int) -> list[RecordExample]:
    """Some records that have the text."""
    rows = connection.execute(text(_EXAMPLES), {"id": affiliation_id, "limit": limit}).all()
    return [RecordExample(*row) for row in rows]


def writings(connection: Connection, cluster: bytes, *, limit: int) -> list[Unmatched]:
    """The texts without a link that name the same organisation, those of most records first, each
    with some of its records."""
    rows = connection.execute(text(_WRITINGS), {"cluster": cluster, "limit": limit}).all()
    return [
        Unmatched(row.text, row.reason, row.records, tuple(row.sources), tuple(row.external_ids))
        for row in rows
    ]


def pending(connection: Connection, affiliation_ids: Collection[int]) -> list[tuple[int, int]]:
    """The answers for these texts, as (affiliation id, policy id), that were given with other
    overrides than hold now, or are marked because of overrides: each is due."""
    rows = connection.execute(text(_PENDING), {"ids": list(affiliation_ids)}).all()
    return [(affiliation_id, policy_id) for affiliation_id, policy_id in rows]


def settle(
    connection: Connection,
    affiliation_id: int,
    *,
    state: ReviewState,
    why: Why,
    barred: Collection[str] = (),
    author: str | None = None,
) -> None:
    """Put an item into this state, and lease it to the author, where one is given; else nobody has
    it."""
    connection.execute(
        text(
            "UPDATE review_item SET state = :state, why = :why, barred = CAST(:barred AS text[]),"
            " lease_by = CAST(:author AS text), lease_until = CASE"
            " WHEN CAST(:author AS text) IS NOT NULL THEN now() + make_interval(mins => :minutes)"
            " END WHERE affiliation_id = :id"
        ),
        {
            "id": affiliation_id,
            "state": state.value,
            "why": why.value,
            "barred": sorted(barred),
            "author": author,
            "minutes": LEASE_MINUTES,
        },
    )


def _items(connection: Connection, query: str, values: Mapping[str, object]) -> list[Item]:
    rows = connection.execute(text(_ITEMS.format(query=query)), values).all()
    return [
        Item(
            affiliation_id=row.affiliation_id,
            text=row.text,
            policy_id=row.policy_id,
            records=row.records,
            sources=tuple(row.sources),
            doubt=row.doubt,
            priority=row.priority,
            probability=row.probability,
            reason=row.reason,
            country=row.country,
            why=Why(row.why),
            state=ReviewState(row.state),
            barred=tuple(row.barred),
            lease_by=row.lease_by if row.leased else None,
            lease_until=row.lease_until if row.leased else None,
            answered_at=row.answered_at,
            links=tuple(ItemLink(*link) for link in row.links or ()),
        )
        for row in rows
    ]


_LINKS_READ = 500
"""Links to an organisation that `similar` looks at: a large university has a hundred thousand."""

_BEHIND = """
    AND r.priority <= CAST(:priority AS real)
    AND (r.priority < CAST(:priority AS real) OR r.affiliation_id > :last)
"""

_LOCK = """
    SELECT FROM review_item WHERE affiliation_id = ANY(:ids) ORDER BY affiliation_id FOR UPDATE
"""

_ITEMS = f"""
    SELECT r.*, a.text, r.lease_until > now() AS leased, k.links
    FROM ({{query}}) r
    JOIN affiliation a ON a.id = r.affiliation_id
    CROSS JOIN LATERAL (
        SELECT
            jsonb_agg(jsonb_build_array(l.ror_id, l.name, l.probability) ORDER BY l.rank) AS links
        FROM link l
        WHERE (l.affiliation_id, l.policy_id) = (r.affiliation_id, r.policy_id)
    ) k
    {ORDER}
"""  # noqa: S608

_SIMILAR = f"""
    SELECT r.affiliation_id, a.text, r.records
    FROM (
        SELECT o.affiliation_id
        FROM review_item me JOIN review_item o ON o.cluster = me.cluster
        WHERE me.affiliation_id = :id AND o.state = 'open'
        UNION ALL
        SELECT o.affiliation_id
        FROM (
            SELECT l.*, lower(substr(t.text, l.text_start + 1, l.text_end - l.text_start)) AS words
            FROM review_item me
            JOIN link l ON (l.affiliation_id, l.policy_id) = (me.affiliation_id, me.policy_id)
            JOIN affiliation t ON t.id = me.affiliation_id
            WHERE me.affiliation_id = :id
            ORDER BY l.probability, l.rank LIMIT 1
        ) me
        CROSS JOIN LATERAL (
            SELECT * FROM link WHERE ror_id = me.ror_id LIMIT :most
        ) o
        JOIN affiliation t ON t.id = o.affiliation_id
        WHERE o.matched_name = me.matched_name
        AND lower(substr(t.text, o.text_start + 1, o.text_end - o.text_start))
            IS NOT DISTINCT FROM me.words
    ) f
    JOIN review_item r USING (affiliation_id)
    JOIN affiliation a ON a.id = r.affiliation_id
    WHERE r.affiliation_id <> :id AND r.state = 'open' AND r.records > 0
    -- Second looks are for one text at a time.
    AND r.why IN ('doubt', 'release')
    {ORDER} LIMIT :limit
"""  # noqa: S608

_EXAMPLES = """
    SELECT source, external_id, position FROM source_record
    WHERE affiliation_id = :id LIMIT :limit
"""

_WRITINGS = """
    SELECT a.text, r.reason, r.records, r.sources, ARRAY(
        SELECT external_id FROM source_record s
        WHERE s.affiliation_id = r.affiliation_id LIMIT 5
    ) AS external_ids
    FROM review_item r JOIN affiliation a ON a.id = r.affiliation_id
    WHERE r.cluster = :cluster AND r.state = 'open' AND r.records > 0
    ORDER BY r.records DESC, r.affiliation_id LIMIT :limit
"""

_PENDING = f"""
    SELECT o.affiliation_id, o.policy_id
    FROM affiliation a JOIN outcome o ON o.affiliation_id = a.id
    WHERE a.id = ANY(:ids)
    AND coalesce(o.reason, '') NOT IN ('empty', 'too_long')
    AND (
        {OTHER_OVERRIDES}
        OR EXISTS (
            SELECT FROM stale t
            WHERE (t.affiliation_id, t.policy_id) = (o.affiliation_id, o.policy_id)
            AND t.cause = 'override'
        )
    )
    ORDER BY o.affiliation_id, o.policy_id
"""  # noqa: S608
"""A marked answer may have the overrides that hold: they changed to and fro while it was being
given again, and it will be stored with those in between."""
