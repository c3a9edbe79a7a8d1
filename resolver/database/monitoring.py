"""The state of the database in a few numbers, each with a limit of time.

A query that takes longer leaves its number out: on a large database no screen shall wait for it,
and no monitor pile up queries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar

from psycopg.errors import QueryCanceled
from sqlalchemy import Connection, Engine, event, text

from resolver.database import (
    due_answers,
    jobs,
    locks,
    releases,
    resolver_versions,
    revision,
    update_runs,
)
from resolver.database.connection import driver, transaction
from resolver.database.releases import StoredRelease
from resolver.database.resolver_versions import ResolverVersion
from resolver.database.update_runs import UpdateRun
from resolver.errors import DatabaseUnavailable

WEEKS = 4
"""Weeks of drift: the present one and those before it."""

SOURCES = 20
"""Sources whose drift is reported by name, those with the most records; the rest counts as one."""

REST = "(other sources)"

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Drift:
    """Answered records of a `source`, received in the week that begins on the Monday `week` (UTC).

    `no_match` is the share of them without a link, `probability` the mean of the others' best
    links; None where there are none.
    """

    source: str
    week: date
    records: int
    no_match: float
    probability: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of the database. None is what could not be counted in time, or is not there yet;
    with another schema than `needed` all else is None. A large number of answers `due` is
    approximate (`due_answers.about_due`).

    `updating`: a process takes in a release or switches versions. `before`: somebody went back, and
    this version, of the release that is loaded, was in use before the present one. `last_update` is
    the update that began last. `jobs_set_aside`: jobs of `resolver serve` that are not
    sent to the queue any more, until somebody retries them.
    """

    schema: str | None
    needed: str
    release: StoredRelease | None = None
    version: ResolverVersion | None = None
    due: int | None = None
    counted: bool = True
    updating: bool = False
    before: int | None = None
    last_update: UpdateRun | None = None
    jobs_set_aside: int | None = None

    @property
    def migrated(self) -> bool:
        return self.schema == self.needed


def overview(engine: Engine, *, seconds: float) -> Overview:
    """What is in use, and how much is due. `seconds` are for each count.

    Raises:
        DatabaseUnavailable: no answer.
    """
    found, needed = revision.current(engine), revision.head()
    if found != needed:
        return Overview(found, needed)
    release, version = releases.current_release(engine), resolver_versions.current_resolver(engine)
    updating, last_update = _last_update(engine)
    limited = within(engine, seconds)
    set_aside = _in_time(lambda: jobs.count_set_aside(limited))
    if version is None:
        return Overview(
            found,
            needed,
            release,
            updating=updating,
            last_update=last_update,
            jobs_set_aside=set_aside,
        )
    number = version.id
    due = _in_time(lambda: due_answers.about_due(limited, number))
    before = None
    if release and release.id != version.release_id:
        before = resolver_versions.used_before(engine, version, release.id)
    return Overview(
        found,
        needed,
        release,
        version,
        due,
        due is not None,
        updating,
        before,
        last_update,
        set_aside,
    )


def _last_update(engine: Engine) -> tuple[bool, UpdateRun | None]:
    """Whether an update runs, and the one that began last."""
    updating, run = locks.updating(engine), update_runs.last(engine)
    if run is not None and run.ended_at is None and not updating:
        # It was killed, unless it began or ended between the two questions.
        updating, run = locks.updating(engine), update_runs.last(engine)
    return updating, run


def drift(engine: Engine, *, seconds: float, today: date | None = None) -> list[Drift] | None:
    """The last `WEEKS` of the view ``drift``, by source and week; None if that takes too long.

    `SOURCES` sources are reported one by one.

    Raises:
        DatabaseUnavailable: no answer.
    """
    limited = within(engine, seconds)
    values = {
        "today": today or datetime.now(UTC).date(),
        "weeks": WEEKS - 1,
        "sources": SOURCES,
        "rest": REST,
    }

    def found() -> list[Drift]:
        with transaction(limited) as connection:
            return [Drift(*row) for row in connection.execute(text(_DRIFT), values)]

    return _in_time(found)


def within(engine: Engine, seconds: float) -> Engine:
    """The same engine, each statement of which may take `seconds`."""
    limited = engine.execution_options()

    def limit(connection: Connection) -> None:
        # By the driver: SQLAlchemy is just about to begin the transaction that this belongs to.
        with driver(connection).cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true)", (str(int(seconds * 1000)),)
            )

    event.listen(limited, "begin", limit)
    return limited


def _in_time(look: Callable[[], _Found]) -> _Found | None:
    try:
        return look()
    except DatabaseUnavailable as error:
        # A query that was stopped is not a server that is away.
        cause = error.__cause__
        if isinstance(getattr(cause, "orig", cause), QueryCanceled):
            return None
        raise


_DRIFT = """
    WITH weeks AS MATERIALIZED (
        SELECT * FROM drift
        WHERE week > date_trunc('week', CAST(:today AS timestamp))::date - 7 * (:weeks + 1)
    ),
    large AS (
        SELECT source FROM weeks GROUP BY source ORDER BY sum(records) DESC, source LIMIT :sources
    )
    SELECT
        coalesce(l.source, :rest) AS source,
        w.week,
        sum(w.records)::bigint,
        (sum(w.no_match) / sum(w.records))::float8,
        (sum(w.mean_probability * (w.records - w.no_match))
            / nullif(sum(w.records - w.no_match), 0))::float8
    FROM weeks w LEFT JOIN large l USING (source)
    GROUP BY 1, 2
    ORDER BY 1, 2
"""
