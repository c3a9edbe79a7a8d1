"""The queue of the review page: one item for each affiliation text that has an answer.

An item shows the answer under the policy that most of the text's records were sent with. Its
*priority* is the number of records times the doubt, how probable it is that the answer is wrong:
the records that are expected to be wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from resolver.database.connection import transaction
from resolver.database.copying import Cursor, copy
from resolver.database.tables import ReviewState, Why
from resolver.matching.outcome import Reason
from resolver.registry.ror_id import read_ror_id
from resolver.text.text import Text

LINKED = "linked"
"""What `Filters.reason` has for items whose answer has links."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which items are meant: those for which all that is given holds.

    `reason` is a reason for no link, or `LINKED`; `source` and `country` (ISO 3166-1 alpha-2) are
    those of its records and its text. `ror_id` finds the items that link this organisation, nearly
    linked it, or have it as a rival of a link. `least` and `below` bound the probability of the
    answer: at least, and less than. `words` is a text all of whose words the affiliation has.
    `since` and `until` (both included) are the days, in UTC, on which the answer was given.
    """

    reason: str | None = None
    source: str | None = None
    country: str | None = None
    ror_id: str | None = None
    least: float | None = None
    below: float | None = None
    words: str | None = None
    since: date | None = None
    until: date | None = None
    why: Why | None = None
    state: ReviewState = ReviewState.OPEN

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """The filters of an address; parameters that are empty or of another name are ignored.

        Raises:
            ValueError: a value cannot be read; names the parameter.
        """
        values: dict[str, object] = {}
        for field in fields(cls):
            if value := query.get(field.name, "").strip():
                try:
                    values[field.name] = _READERS[field.name](value)
                except ValueError as error:
                    raise ValueError(f"{field.name}: {error}") from None
        return cls(**values)  # type: ignore[arg-type]

    def as_query(self) -> dict[str, str]:
        """The parameters of an address, from which `of` makes these filters again."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.isoformat() if isinstance(value, date) else str(value)
            for name, value in given.items()
            if value is not None and (name, value) != ("state", ReviewState.OPEN)
        }


def _reason(value: str) -> str:
    return LINKED if value == LINKED else Reason(value).value


def _country(value: str) -> str:
    if len(value) != 2 or not value.isascii() or not value.isalpha():
        raise ValueError(f"{value[:20]!r} is no code of two letters")
    return value.upper()


def _share(value: str) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{value[:20]} is not in 0 to 1")
    return number


def _text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("holds NUL")
    return value[:500]


_READERS = {
    "reason": _reason,
    "source": _text,
    "country": _country,
    "ror_id": read_ror_id,
    "least": _share,
    "below": _share,
    "words": _text,
    "since": date.fromisoformat,
    "until": date.fromisoformat,
    "why": Why,
    "state": ReviewState,
}


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
class Remaining:
    """How many open items a filter has, of how many records, and how many of these records are
    expected to be wrong."""

    items: int
    records: int
    expected_wrong: float


@dataclass(frozen=True, slots=True)
class Upcoming:
    """An item that a person will probably be given soon."""

    affiliation_id: int
    text: str
    policy_id: int


@dataclass(frozen=True, slots=True)
class Similar:
    """Another open item that the same decision may settle. `by` says what is the same: the
    unlinked name (`NAME`), or organisation and words of a link (`LINK`)."""

    affiliation_id: int
    text: str
    records: int
    by: str
    links: tuple[ItemLink, ...]


NAME, LINK = "name", "link"


@dataclass(frozen=True, slots=True)
class TextKeys:
    """What an item is found by, worked out of its text: its `words`
    (`resolver.text.text.Text.units`), the `country` it names, and the `cluster` of the organisation
    it names (16 bytes, the same for other writings of the name)."""

    words: tuple[str, ...]
    country: str | None
    cluster: bytes


# Reading the queue


def queue(
    engine: Engine,
    filters: Filters,
    author: str,
    *,
    limit: int,
    after: tuple[float, int] | None = None,
) -> list[Item]:
    """The first `limit` items by priority about which this person may decide, behind the item with
    this (priority, affiliation id)."""
    behind = _BEHIND if after else ""
    conditions, values = _searches(filters, behind)
    values |= {"author": author, "limit": limit}
    if after:
        values |= {"priority": after[0], "last": after[1]}
    items: list[Item] = []
    with transaction(engine) as connection:
        for condition in conditions:
            items = _items(
                connection,
                f"SELECT r.* FROM review_item r WHERE {condition} {behind}"  # noqa: S608
                f" AND :author <> ALL(r.barred) {_ORDER} LIMIT :limit",
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


def remaining(engine: Engine, filters: Filters) -> Remaining:
    """What is left, and how much of it is expected to be wrong."""
    condition, values = _meant(filters)
    with transaction(engine) as connection:
        row = connection.execute(
            text(
                "SELECT count(*), coalesce(sum(r.records), 0), coalesce(sum(r.priority), 0)"  # noqa: S608
                f" FROM review_item r WHERE {condition}"
            ),
            values,
        ).one()
    return Remaining(int(row[0]), int(row[1]), float(row[2]))


def counts(engine: Engine) -> dict[str, int]:
    """Open items by reason, or `LINKED`, the most frequent first."""
    with transaction(engine) as connection:
        rows = connection.execute(text(_COUNTS), {"linked": LINKED}).all()
    return {row[0]: row[1] for row in rows}


def similar(connection: Connection, affiliation_id: int, *, limit: int) -> list[Similar]:
    """Open items that the same decision may settle, those of most expected wrong records first.

    Of an item without a link these are other writings of the same name in the same country; of
    another those that are linked to the same organisation by the same words, as far as its least
    probable link goes.
    """
    rows = connection.execute(
        text(_SIMILAR),
        {"id": affiliation_id, "limit": limit, "most": _LINKS_READ, "name": NAME, "link": LINK},
    ).all()
    return [
        Similar(row.affiliation_id, row.text, row.records, row.by, _links(row.links))
        for row in rows
    ]


def examples(
    connection: Connection, affiliation_id: int, *, limit: int
) -> list[tuple[str, str, int]]:
    """Some records that have the text, as (source, external id, position)."""
    rows = connection.execute(text(_EXAMPLES), {"id": affiliation_id, "limit": limit}).all()
    return [(source, external_id, position) for source, external_id, position in rows]


def pending(connection: Connection, affiliation_ids: Collection[int]) -> list[tuple[int, int]]:
    """The answers for these texts, as (affiliation id, policy id), that were given with other
    overrides than hold now, or are marked because of overrides: each is due."""
    rows = connection.execute(text(_PENDING), {"ids": list(affiliation_ids)}).all()
    return [(affiliation_id, policy_id) for affiliation_id, policy_id in rows]


@dataclass(frozen=True, slots=True)
class Writing:
    """A text of a cluster, with its records, some of their ids, and their sources."""

    text: str
    reason: str | None
    records: int
    sources: tuple[str, ...]
    external_ids: tuple[str, ...]


def writings(connection: Connection, cluster: bytes, *, limit: int) -> list[Writing]:
    """The texts without a link that name the same organisation, those of most records first."""
    rows = connection.execute(text(_WRITINGS), {"cluster": cluster, "limit": limit}).all()
    return [
        Writing(row.text, row.reason, row.records, tuple(row.sources), tuple(row.external_ids))
        for row in rows
    ]


# Figures


@dataclass(frozen=True, slots=True)
class Count:
    """How many items have an answer of this reason (None: linked), and how many records."""

    reason: str | None
    items: int
    records: int


def stock(engine: Engine) -> list[Count]:
    """All items that have records, by reason."""
    with transaction(engine) as connection:
        return [Count(*row) for row in connection.execute(text(_STOCK))]


def histogram(engine: Engine, *, bins: int) -> tuple[int, ...]:
    """Links of the answers shown by their probability, in equal bins from 0 to 1."""
    with transaction(engine) as connection:
        rows = connection.execute(text(_HISTOGRAM), {"bins": bins}).all()
    found = {row[0]: row[1] for row in rows}
    return tuple(found.get(number, 0) for number in range(1, bins + 1))


def release_effects(engine: Engine) -> tuple[str, dict[str, int], int, int] | None:
    """What the release in use did: (its version, changes by kind, links that ended, links that
    began); None where none is in use."""
    with transaction(engine) as connection:
        release = connection.execute(
            text("SELECT id, version FROM registry_release WHERE is_current")
        ).one_or_none()
        if release is None:
            return None
        values = {"release": release.id}
        changes = connection.execute(text(_CHANGES), values).all()
        ended = connection.execute(text(_LINKS_ENDED), values).scalar_one()
        begun = connection.execute(text(_LINKS_BEGUN), values).scalar_one()
    return release.version, {row[0]: row[1] for row in changes}, int(ended), int(begun)


# Leases


def take(engine: Engine, filters: Filters, author: str, *, minutes: int) -> Item | None:
    """Lease the item that this person has already, if it meets the filters, else the next that
    nobody has, and return it.

    Not among them are items about which the person may not decide, or that they skipped in the last
    day.
    """
    queries, values = taking(filters, author, minutes=minutes)
    with transaction(engine) as connection:
        for query in queries:
            taken = connection.execute(text(query), values).scalar()
            if taken is not None:
                return find(connection, [taken])[0]
    return None


def taking(
    filters: Filters, author: str, *, minutes: int
) -> tuple[tuple[str, ...], dict[str, object]]:
    """The statements by which `take` leases an item, each of which is tried if those before lease
    none, and the values of all. The first one is for an item that the person has."""
    conditions, values = _searches(filters)
    statements = tuple(
        f"WITH next AS (SELECT r.affiliation_id FROM review_item r WHERE {condition}"  # noqa: S608
        f" AND {_ALLOWED} {_ORDER} LIMIT 1 FOR UPDATE SKIP LOCKED)"
        f" UPDATE review_item r SET {_LEASED} FROM next"
        " WHERE r.affiliation_id = next.affiliation_id RETURNING r.affiliation_id"
        for condition in (
            f"{_meant(filters)[0]} AND {_OWN}",
            *(f"{condition} AND {_FREE}" for condition in conditions),
        )
    )
    return statements, {**values, "author": author, "minutes": minutes}


def upcoming(engine: Engine, filters: Filters, author: str, count: int) -> list[Upcoming]:
    """The next items that `take` would lease; leases nothing."""
    conditions, values = _searches(filters)
    rows: Sequence[Row[Any]] = ()
    with transaction(engine) as connection:
        for condition in conditions:
            rows = connection.execute(
                text(
                    "SELECT n.affiliation_id, a.text, n.policy_id FROM ("  # noqa: S608
                    "SELECT r.affiliation_id, r.policy_id, r.priority FROM review_item r"
                    f" WHERE {condition} AND {_FREE} AND {_ALLOWED} {_ORDER} LIMIT :count"
                    ") n JOIN affiliation a ON a.id = n.affiliation_id"
                    " ORDER BY n.priority DESC, n.affiliation_id"
                ),
                {**values, "author": author, "count": count},
            ).all()
            if len(rows) == count:
                break
    return [Upcoming(row.affiliation_id, row.text, row.policy_id) for row in rows]


def lease(engine: Engine, affiliation_id: int, author: str, *, minutes: int) -> bool:
    """Lease this item, in whatever state; False where somebody else has it or the person may not
    decide about it."""
    with transaction(engine) as connection:
        return bool(
            connection.execute(
                text(
                    f"UPDATE review_item r SET {_LEASED} WHERE r.affiliation_id = :id"  # noqa: S608
                    " AND (r.lease_until IS NULL OR r.lease_until <= now() OR r.lease_by = :author)"
                    " AND :author <> ALL(r.barred)"
                ),
                {"id": affiliation_id, "author": author, "minutes": minutes},
            ).rowcount
        )


def renew(engine: Engine, affiliation_id: int, author: str, *, minutes: int) -> bool:
    """Prolong a lease from now; False where the person has it no more."""
    with transaction(engine) as connection:
        return bool(
            connection.execute(
                text(
                    f"UPDATE review_item r SET {_LEASED}"  # noqa: S608
                    " WHERE r.affiliation_id = :id AND r.lease_by = :author"
                ),
                {"id": affiliation_id, "author": author, "minutes": minutes},
            ).rowcount
        )


def release(engine: Engine, affiliation_id: int, author: str) -> None:
    """End this person's lease of an item."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "UPDATE review_item SET lease_by = NULL, lease_until = NULL"
                " WHERE affiliation_id = :id AND lease_by = :author"
            ),
            {"id": affiliation_id, "author": author},
        )


def settle(
    connection: Connection,
    affiliation_id: int,
    *,
    state: ReviewState,
    why: Why,
    barred: Collection[str] = (),
    author: str | None = None,
    minutes: int = 0,
) -> None:
    """Put an item into this state, and lease it to the author, where one is given, for so many
    minutes; else nobody has it."""
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
            "minutes": minutes,
        },
    )


# Writing the queue


def put(cursor: Cursor, keys: Mapping[int, TextKeys]) -> int:
    """Make the items of these texts from their records, answers and decisions, in the transaction
    of `cursor`; returns how many are new or changed. A text without an answer, or that was refused
    unread, has none. Leases stay, and second looks that wait."""
    if not keys:
        return 0
    cursor.execute(_CREATE_INCOMING)
    copy(
        cursor,
        "incoming_item",
        ("int8", "text[]", "text", "bytea"),
        [(id, list(key.words), key.country, key.cluster) for id, key in keys.items()],
    )
    return cursor.execute(_PUT).rowcount


def count_records(cursor: Cursor) -> None:
    """Count again the records of items whose texts have more or less of them, by the temporary
    table `moved_record` (affiliation_id, source, change). Call it at the end of a transaction."""
    # In the order in which all lock items.
    if cursor.execute(_LOCK_MOVED).rowcount:
        cursor.execute(_COUNT_MOVED)


def answered(
    engine: Engine, *, after: int, limit: int, anew: bool
) -> list[tuple[int, str, TextKeys | None]]:
    """The next texts that have an answer, by id, as (id, text, keys). The keys are those that their
    item has; None where it has none, or they are to be worked out `anew`."""
    with transaction(engine) as connection:
        rows = connection.execute(
            text(_ANSWERED), {"after": after, "limit": limit, "anew": anew}
        ).all()
    return [
        (
            row.id,
            row.text,
            None
            if row.words is None
            else TextKeys(tuple(row.words), row.country, bytes(row.cluster or b"")),
        )
        for row in rows
    ]


def answered_count(engine: Engine) -> int:
    """About how many texts have an answer."""
    with transaction(engine) as connection:
        return int(
            connection.execute(text("SELECT count(DISTINCT affiliation_id) FROM outcome")).scalar()
            or 0
        )


def _searches(filters: Filters, behind: str = "") -> tuple[tuple[str, ...], dict[str, object]]:
    """The filters as conditions to be tried one after the other, until there are items enough, and
    their values.

    Postgres looks for what it takes for frequent in the order of the queue: past all items, if
    nothing has it. It knows little of how rare a word is, and nothing of how probability and place
    in the queue go together. So what is looked up in arrays and by probability is looked for among
    the first of the queue, and then by an index of its own.
    """
    condition, values = _meant(filters)
    if not (filters.source is filters.words is filters.ror_id is None):
        by_index = f"SELECT r.affiliation_id FROM review_item r WHERE {condition}"  # noqa: S608
    elif not (filters.least is filters.below is None):
        by_index = _OF_BANDS.format(
            condition=condition + behind,
            least="0" if filters.least is None else "CAST(:least AS real)",
            below="1.01" if filters.below is None else "CAST(:below AS real)",
            limit=_OF_BAND,
        )
    else:
        return (condition,), values
    first = _FIRST.format(state=_STATE[filters.state], behind=behind, many=_FIRST_ITEMS)
    by_index = f"r.affiliation_id = ANY(ARRAY({by_index}))"
    return (f"{condition} AND {first}", f"{condition} AND {by_index}"), values


def _meant(filters: Filters) -> tuple[str, dict[str, object]]:
    """The filters as conditions on `review_item r`, made of constants alone, and their values."""
    conditions = [_STATE[filters.state], "r.records > 0"]
    values: dict[str, object] = {}
    for name, condition in _CONDITIONS.items():
        value = getattr(filters, name)
        if value is None:
            continue
        if name == "reason" and value == LINKED:
            conditions.append("r.reason IS NULL")
            continue
        if name == "words":
            value = list(dict.fromkeys(Text(value).units))
            if not value:
                continue
        if name == "why":
            # As the index of those that are not there for doubt wants it.
            conditions.append(_WHY[value])
            continue
        conditions.append(condition)
        values[name] = value
    return " AND ".join(conditions), values


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
            links=_links(row.links),
        )
        for row in rows
    ]


def _links(rows: Sequence[Sequence[Any]] | None) -> tuple[ItemLink, ...]:
    return tuple(ItemLink(*row) for row in rows or ())


_LINKS_READ = 500
"""Links to an organisation that `similar` looks at: a large university has a hundred thousand."""

_STATE = {state: f"r.state = '{state.value}'" for state in ReviewState}
"""Literals, since the indexes are for one state each."""

_WHY = {why: f"r.why = '{why.value}'" for why in Why}

_CONDITIONS = {
    "reason": "r.reason = :reason",
    "source": "r.sources @> ARRAY[CAST(:source AS text)]",
    "country": "r.country = :country",
    "ror_id": "r.organisations @> ARRAY[CAST(:ror_id AS text)]",
    "least": "r.probability >= CAST(:least AS real)",
    "below": "r.probability < CAST(:below AS real)",
    "words": "r.words @> CAST(:words AS text[])",
    "since": "r.answered_at >= CAST(:since AS date) AT TIME ZONE 'UTC'",
    "until": "r.answered_at < (CAST(:until AS date) + 1) AT TIME ZONE 'UTC'",
    "why": "",
}

_ORDER = "ORDER BY r.priority DESC, r.affiliation_id"

_BEHIND = """
    AND r.priority <= CAST(:priority AS real)
    AND (r.priority < CAST(:priority AS real) OR r.affiliation_id > :last)
"""

_FIRST_ITEMS = 5_000
"""Items among which a word is looked for in the order of the queue. What is rarer than one in so
many is in so few texts that its index has them at once."""

_FIRST = """
    r.priority >= coalesce((
        SELECT r.priority FROM review_item r WHERE {state} {behind}
        ORDER BY r.priority DESC OFFSET {many} LIMIT 1
    ), 0)
"""

_OF_BAND = 100
"""Items of a band (a hundredth of probability) that are read: more than are shown, or leased."""

_OF_BANDS = """
    SELECT f.affiliation_id
    FROM generate_series(
        floor({least} * 100)::integer, floor({below} * 100 - 0.0001)::integer
    ) band (number)
    CROSS JOIN LATERAL (
        SELECT r.affiliation_id FROM review_item r
        WHERE r.band = band.number AND {condition}
        ORDER BY r.priority DESC, r.affiliation_id LIMIT {limit}
    ) f
"""

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

_LOCK = """
    SELECT FROM review_item WHERE affiliation_id = ANY(:ids) ORDER BY affiliation_id FOR UPDATE
"""

_LINKS_OF = """
    SELECT jsonb_agg(jsonb_build_array(l.ror_id, l.name, l.probability) ORDER BY l.rank) AS links
    FROM link l
    WHERE (l.affiliation_id, l.policy_id) = (r.affiliation_id, r.policy_id)
"""

_ITEMS = f"""
    SELECT r.*, a.text, r.lease_until > now() AS leased, k.links
    FROM ({{query}}) r
    JOIN affiliation a ON a.id = r.affiliation_id
    CROSS JOIN LATERAL ({_LINKS_OF}) k
    {_ORDER}
"""  # noqa: S608

_COUNTS = """
    SELECT coalesce(reason, :linked), count(*) AS items FROM review_item
    WHERE state = 'open' AND records > 0
    GROUP BY reason ORDER BY items DESC
"""

_SIMILAR = f"""
    SELECT r.affiliation_id, a.text, r.records, f.by, k.links
    FROM (
        SELECT o.affiliation_id, CAST(:name AS text) AS by
        FROM review_item me JOIN review_item o ON o.cluster = me.cluster
        WHERE me.affiliation_id = :id AND o.state = 'open'
        UNION ALL
        SELECT o.affiliation_id, CAST(:link AS text) AS by
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
    CROSS JOIN LATERAL ({_LINKS_OF}) k
    WHERE r.affiliation_id <> :id AND r.state = 'open' AND r.records > 0
    -- Second looks are for one text at a time.
    AND r.why IN ('doubt', 'release')
    {_ORDER} LIMIT :limit
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

_STOCK = """
    SELECT reason, count(*)::integer, sum(records)::bigint FROM review_item
    WHERE records > 0 GROUP BY reason ORDER BY 2 DESC
"""

_HISTOGRAM = """
    SELECT least(width_bucket(l.probability::numeric, 0, 1, :bins), :bins), count(*)
    FROM review_item r
    JOIN link l ON (l.affiliation_id, l.policy_id) = (r.affiliation_id, r.policy_id)
    WHERE r.records > 0
    GROUP BY 1
"""

_CHANGES = """
    SELECT kind, count(*)::integer FROM release_change WHERE release_id = :release
    GROUP BY kind ORDER BY 2 DESC
"""

_LINKS_ENDED = """
    SELECT count(*) FROM resolver_version v
    JOIN past_outcome b ON b.ended_by = v.id JOIN past_link l ON l.past_outcome_id = b.id
    WHERE v.release_id = :release AND b.end_reason = 'registry release' AND NOT l.continued
"""

_LINKS_BEGUN = """
    SELECT count(*) FROM link l JOIN resolver_version v ON v.id = l.since_version_id
    WHERE v.release_id = :release AND l.since_reason = 'registry release'
"""

_PENDING = """
    SELECT o.affiliation_id, o.policy_id
    FROM affiliation a JOIN outcome o ON o.affiliation_id = a.id
    WHERE a.id = ANY(:ids)
    AND coalesce(o.reason, '') NOT IN ('empty', 'too_long')
    AND (
        o.overrides <> ARRAY(
            SELECT x.id FROM link_override x
            WHERE x.text_hash = a.text_hash AND x.ended_at IS NULL
            ORDER BY x.id
        )
        OR EXISTS (
            SELECT FROM stale t
            WHERE (t.affiliation_id, t.policy_id) = (o.affiliation_id, o.policy_id)
            AND t.cause = 'override'
        )
    )
    ORDER BY o.affiliation_id, o.policy_id
"""
"""A marked answer may have the overrides that hold: they changed to and fro while it was being
given again, and it will be stored with those in between."""

_CREATE_INCOMING = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_item (
        affiliation_id bigint, words text[], country text, cluster bytea
    ) ON COMMIT DELETE ROWS;
    DELETE FROM incoming_item
"""

WRONG = {
    Reason.BELOW_THRESHOLD: 0.46,
    Reason.DEPARTMENT_ONLY: 0.15,
    Reason.NOT_IN_REGISTRY: 0.10,
    Reason.AMBIGUOUS: 0.24,
    Reason.PLACE_ONLY: 0.24,
    Reason.PERSON_OR_NOISE: 0.24,
}
"""The share of answers without a link, by reason, to texts that do name an organisation: at least
so probable is it that such an answer is wrong. By `python -m benchmarks.reasons --near
../shared/data/gold/dev-read/*.jsonl` on release 2.9: 43 of 93, 5 of 34, 24 of 229, and of the last
three reasons together 4 of 17, too few to tell them apart. Other reasons are a matter of the policy
or of curators."""

_WRONG = " ".join(f"WHEN '{reason.value}' THEN {share}" for reason, share in WRONG.items())

_SOURCE = "CASE WHEN starts_with(c.source, 'job:') THEN 'job' ELSE c.source END"
"""Jobs are many, and each is a source of its own."""

_WAITS = "(r.why IN ('second', 'disagreement') AND r.state = 'open')"

_NEW_WHY = f"CASE WHEN {_WAITS} THEN r.why ELSE excluded.why END"

_NEW_STATE = f"CASE WHEN {_WAITS} THEN r.state ELSE excluded.state END"

_NEW_BARRED = f"CASE WHEN {_WAITS} THEN r.barred ELSE '{{}}' END"

_CHANGED = """
    o.begin_reason = 'registry release'
    AND (
        EXISTS (
            SELECT FROM link l
            WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
            AND l.beginning = 'new'
        )
        OR EXISTS (
            SELECT FROM past_outcome b JOIN past_link l ON l.past_outcome_id = b.id
            WHERE (b.affiliation_id, b.policy_id) = (o.affiliation_id, o.policy_id)
            AND b.ended_at = o.resolved_at AND NOT l.continued
        )
    )
    AND EXISTS (
        SELECT FROM resolver_version w JOIN registry_release g ON g.id = w.release_id
        WHERE w.id = o.resolver_version_id AND g.is_current
    )
"""
"""Whether the release in use changed the organisations of an answer `o`. The answer before ended
when this one began."""

_PUT = f"""
    INSERT INTO review_item AS r
        (affiliation_id, answered_at, policy_id, records, doubt, priority, probability, reason,
         country, why, state, cluster, sources, words, organisations, band)
    SELECT
        i.affiliation_id, o.resolved_at, o.policy_id, coalesce(s.records, 0), p.doubt,
        coalesce(s.records, 0) * p.doubt, p.probability, o.reason,
        coalesce(i.country, (
            SELECT v.country_code
            FROM link l
            JOIN resolver_version w ON w.id = o.resolver_version_id
            JOIN release_organisation n ON (n.release_id, n.ror_id) = (w.release_id, l.ror_id)
            JOIN organisation_version v ON v.id = n.organisation_version_id
            WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
            ORDER BY l.rank LIMIT 1
        )),
        CASE
            WHEN d.id IS NOT NULL AND d.state = 'open' THEN 'release'
            WHEN d.id IS NULL AND {_CHANGED} THEN 'release'
            ELSE 'doubt'
        END,
        coalesce(d.state, 'open'),
        CASE WHEN o.reason IS NOT NULL THEN nullif(i.cluster, '') END,
        coalesce(s.sources, '{{}}'), i.words,
        ARRAY(
            SELECT l.ror_id FROM link l
            WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
            UNION
            SELECT l.runner_up FROM link l
            WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
            AND l.runner_up IS NOT NULL
            UNION SELECT o.nearest WHERE o.nearest IS NOT NULL
            ORDER BY 1
        ),
        floor(p.probability * 100)::smallint
    FROM incoming_item i
    JOIN affiliation a ON a.id = i.affiliation_id
    -- LIMIT makes Postgres look up one key after the other.
    CROSS JOIN LATERAL (
        SELECT o.*
        FROM outcome o
        WHERE o.affiliation_id = i.affiliation_id
        ORDER BY (
            SELECT count(*) FROM source_record c
            WHERE (c.affiliation_id, c.policy_id) = (o.affiliation_id, o.policy_id)
        ) DESC, o.policy_id
        LIMIT 1
    ) o
    CROSS JOIN LATERAL (
        SELECT count(*)::integer AS records,
               array_agg(DISTINCT {_SOURCE} ORDER BY {_SOURCE}) AS sources
        FROM source_record c WHERE c.affiliation_id = i.affiliation_id
    ) s
    CROSS JOIN LATERAL (
        SELECT
            array_agg(l.ror_id) AS ror_ids,
            CASE
                WHEN o.reason IS NULL THEN min(l.probability) ELSE o.nearest_probability
            END AS probability,
            least(greatest(
                CASE
                    WHEN o.reason IS NULL THEN 1 - exp(sum(ln(greatest(l.probability, 1e-6))))
                    -- A curator decided so.
                    WHEN o.reason = 'overridden' THEN 0
                    ELSE greatest(o.nearest_probability, CASE o.reason {_WRONG} ELSE 0 END)
                END, 0), 1)::real AS doubt
        FROM link l
        WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
    ) p
    LEFT JOIN LATERAL (
        SELECT d.id,
            CASE
                WHEN d.action = 'unsure' THEN 'later'
                WHEN d.ror_ids @> coalesce(p.ror_ids, '{{}}')
                    AND d.ror_ids <@ coalesce(p.ror_ids, '{{}}') THEN 'done'
                -- It is being given again.
                WHEN o.overrides <> ARRAY(
                    SELECT x.id FROM link_override x
                    WHERE x.text_hash = a.text_hash AND x.ended_at IS NULL
                    ORDER BY x.id
                ) THEN 'done'
                ELSE 'open'
            END AS state
        FROM review_decision d
        WHERE d.text_hash = a.text_hash AND d.ended_at IS NULL AND NOT d.blind
        AND d.action <> 'skip'
        ORDER BY d.id DESC LIMIT 1
    ) d ON true
    -- Of texts that were refused unread there is nothing to say.
    WHERE coalesce(o.reason, '') NOT IN ('empty', 'too_long')
    ORDER BY i.affiliation_id
    ON CONFLICT (affiliation_id) DO UPDATE SET
        answered_at = excluded.answered_at,
        policy_id = excluded.policy_id,
        records = excluded.records,
        doubt = excluded.doubt,
        priority = excluded.priority,
        probability = excluded.probability,
        band = excluded.band,
        reason = excluded.reason,
        country = excluded.country,
        cluster = excluded.cluster,
        sources = excluded.sources,
        words = excluded.words,
        organisations = excluded.organisations,
        why = {_NEW_WHY},
        state = {_NEW_STATE},
        barred = {_NEW_BARRED}
    -- What does not change is not written: a repair would write the whole queue.
    WHERE (
        r.answered_at, r.policy_id, r.records, r.doubt, r.priority, r.probability, r.reason,
        r.country, r.cluster, r.sources, r.words, r.organisations, r.why, r.state, r.barred
    ) IS DISTINCT FROM (
        excluded.answered_at, excluded.policy_id, excluded.records, excluded.doubt,
        excluded.priority, excluded.probability, excluded.reason, excluded.country,
        excluded.cluster, excluded.sources, excluded.words, excluded.organisations,
        {_NEW_WHY}, {_NEW_STATE}, {_NEW_BARRED}
    )
"""  # noqa: S608

_LOCK_MOVED = """
    SELECT FROM review_item
    WHERE affiliation_id = ANY(ARRAY(SELECT affiliation_id FROM moved_record))
    ORDER BY affiliation_id FOR UPDATE
"""

_COUNT_MOVED = f"""
    UPDATE review_item r SET
        records = n.records, priority = n.records * r.doubt, sources = n.sources
    FROM (
        SELECT affiliation_id, sum(change) AS change, min(change) AS least,
               array_agg({_SOURCE}) AS sources
        FROM moved_record c GROUP BY affiliation_id
    ) m
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN m.least > 0 THEN i.records + m.change ELSE s.records END::integer AS records,
            CASE WHEN m.least > 0 THEN ARRAY(
                SELECT DISTINCT f FROM unnest(i.sources || m.sources) f ORDER BY f
            ) ELSE s.sources END AS sources
        FROM review_item i
        -- Of a text with a hundred thousand records, not for each that comes.
        LEFT JOIN LATERAL (
            SELECT count(*) AS records,
                   coalesce(array_agg(DISTINCT {_SOURCE} ORDER BY {_SOURCE}), '{{}}') AS sources
            FROM source_record c WHERE c.affiliation_id = i.affiliation_id
        ) s ON m.least < 0
        WHERE i.affiliation_id = m.affiliation_id
    ) n
    WHERE r.affiliation_id = m.affiliation_id
"""  # noqa: S608

_ANSWERED = """
    SELECT a.id, a.text, r.words, r.country, r.cluster
    FROM (
        SELECT DISTINCT affiliation_id FROM outcome WHERE affiliation_id > :after
        ORDER BY affiliation_id LIMIT :limit
    ) o
    JOIN affiliation a ON a.id = o.affiliation_id
    LEFT JOIN review_item r ON r.affiliation_id = a.id AND NOT :anew
        AND (r.reason IS NULL OR r.cluster IS NOT NULL)
    ORDER BY a.id
"""
