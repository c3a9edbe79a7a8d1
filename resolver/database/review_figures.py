"""Figures of the review: how much is left, and what all items show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, text

from resolver.database.connection import transaction
from resolver.database.review_filters import LINKED, Filters, condition


@dataclass(frozen=True, slots=True)
class Remaining:
    """How many open items a filter has, of how many records, and how many of these records are
    expected to be wrong."""

    items: int
    records: int
    expected_wrong: float


@dataclass(frozen=True, slots=True)
class Count:
    """How many items have an answer of this reason (None: linked), and how many records."""

    reason: str | None
    items: int
    records: int


@dataclass(frozen=True, slots=True)
class ReleaseEffects:
    """What the release in use changed: organisations by kind of change
    (`resolver.registry.change.ChangeKind`), and links that ended and that began because of it."""

    release: str
    changes: Mapping[str, int]
    links_ended: int
    links_begun: int


def remaining(engine: Engine, filters: Filters) -> Remaining:
    """What is left. It reads every item that meets the filters: keep it for a minute."""
    meant, values = condition(filters)
    with transaction(engine) as connection:
        row = connection.execute(
            text(
                "SELECT count(*), coalesce(sum(r.records), 0), coalesce(sum(r.priority), 0)"  # noqa: S608
                f" FROM review_item r WHERE {meant}"
            ),
            values,
        ).one()
    return Remaining(int(row[0]), int(row[1]), float(row[2]))


def counts(engine: Engine) -> dict[str, int]:
    """Open items by reason, or `LINKED`, the most frequent first. It reads every open item: keep it
    for a minute."""
    with transaction(engine) as connection:
        rows = connection.execute(text(_COUNTS), {"linked": LINKED}).all()
    return {row[0]: row[1] for row in rows}


def stock(engine: Engine) -> list[Count]:
    """All items that have records, by reason."""
    with transaction(engine) as connection:
        return [Count(*row) for row in connection.execute(text(_STOCK))]


def histogram(engine: Engine, *, bins: int) -> tuple[int, ...]:
    """Links of the answers shown by their probability, in equal bins from 0 to 1."""
    with transaction(engine) as connection:
        rows = connection.execute(text(_HISTOGRAM), {"bins": bins}).all()
    links = {row[0]: row[1] for row in rows}
    return tuple(links.get(number, 0) for number in range(1, bins + 1))


def release_effects(engine: Engine) -> ReleaseEffects | None:
    """What the release in use changed; None where none is in use."""
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
    return ReleaseEffects(release.version, {row[0]: row[1] for row in changes}, ended, begun)


_COUNTS = """
    SELECT coalesce(reason, :linked), count(*) AS items FROM review_item
    WHERE state = 'open' AND records > 0
    GROUP BY reason ORDER BY items DESC
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
