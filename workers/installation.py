"""An installation at a glance: database, registry, index, broker, workers, drift; what is wrong.

Parts are asked at the same time, each in a thread of its own and none for longer than it is given:
one that is away, or hangs, is told as that, and the others are there all the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from resolver import embedded, service
from resolver.database import monitoring
from resolver.database.monitoring import Drift, Overview
from resolver.errors import ResolverError
from resolver.index import Manifest
from resolver.settings import Settings
from resolver.workers import traffic
from resolver.workers.app import create_app
from resolver.workers.traffic import Traffic

CONNECT_SECONDS = 3
"""How long a part may take to answer at all."""

COUNT_SECONDS = 5.0
"""How long a count may take."""

GIVEN_SECONDS = 15.0
"""After which a part that has said nothing is taken to hang; name servers are the slowest."""

REGISTRY_DAYS = 100
"""Age in days from which a release is old: ROR publishes one a month."""

DRIFT = 0.1
"""Change of the share without a link, against the weeks before, that is told."""

DRIFT_RECORDS = 500
"""Records in a week below which a share says little: its error is some two in a hundred."""

INTERACTIVE, INTERACTIVE_SECONDS = "interactive", 60
"""The queue of people who wait, and how long they may."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """What a part answered, or why it did not."""

    found: T | None = None
    error: ResolverError | None = None


@dataclass(frozen=True, slots=True)
class Installation:
    """The state of every part, at the same moment or nearly.

    What was never set up, as an embedded service that no command has started yet, is a part
    without `found` and without `error`.
    """

    database: Part[Overview]
    index: Part[Manifest]
    broker: Part[Traffic]
    drift: Sequence[Drift]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and what helps. One that is not `serious` is a hint."""

    problem: str
    remedy: str | None
    serious: bool = True


def look(
    settings: Settings,
    *,
    count_seconds: float = COUNT_SECONDS,
    given_seconds: float = GIVEN_SECONDS,
    drift: bool = True,
) -> Installation:
    """Ask all parts. Embedded services that have data are started for it; nothing is made.

    `count_seconds` are for each count in the database, `given_seconds` for all.
    """
    brisk = _brisk(settings)

    def database() -> tuple[Overview, Sequence[Drift]] | None:
        if not settings.database_url and not embedded.has_postgres(settings.home):
            return None
        with service.database(brisk) as engine:
            found = monitoring.overview(engine, seconds=count_seconds)
            drifting = (
                monitoring.drift(engine, seconds=count_seconds)
                if drift and found.migrated
                else None
            )
        return found, drifting or ()

    def broker() -> Traffic | None:
        if not settings.broker_url and not (settings.home / "redis").is_dir():
            return None
        with service.broker(settings) as url, ExitStack() as stack:
            app = create_app(settings, broker_url=url)
            stack.callback(app.close)
            app.conf.update(event_queue_exclusive=True)
            return traffic.look(app, timeout=CONNECT_SECONDS)

    def index() -> Manifest | None:
        with service.index_store(brisk) as store:
            return store.active()

    asked: dict[str, Callable[[], Any]] = {"database": database, "broker": broker, "index": index}
    answers = _ask(asked, given_seconds)
    stored = answers["database"]
    overview, drifting = stored.found or (None, ())
    return Installation(Part(overview, stored.error), answers["index"], answers["broker"], drifting)


def problems(installation: Installation, *, today: date | None = None) -> list[Problem]:
    """What is wrong, what ends all else first."""
    return [
        *_of_database(installation, today or datetime.now(UTC).date()),
        *_of_index(installation),
        *_of_broker(installation),
        *(
            Problem(f"drift: {told}", "see docs/operations.md, ResolverDrift", serious=False)
            for told in drifting(installation.drift)
        ),
    ]


def drifting(weeks: Sequence[Drift]) -> list[str]:
    """Sources whose newest week has another share without a link than the weeks before it."""
    told = []
    for source in dict.fromkeys(one.source for one in weeks):
        *before, last = sorted(
            (one for one in weeks if one.source == source), key=lambda one: one.week
        )
        records = sum(one.records for one in before)
        if min(records, last.records) < DRIFT_RECORDS:
            continue
        usual = sum(one.no_match * one.records for one in before) / records
        if abs(last.no_match - usual) > DRIFT:
            told.append(
                f"{source} has {last.no_match:.0%} without a link since {last.week}, "
                f"{usual:.0%} in the weeks before"
            )
    return told


def registry_age(overview: Overview, today: date) -> int | None:
    """Days since the release in use was published; since it was loaded, where it does not say."""
    release = overview.release
    if release is None:
        return None
    return (today - (release.released_on or release.loaded_at.astimezone(UTC).date())).days


def _of_database(installation: Installation, today: date) -> list[Problem]:
    part = installation.database
    if part.error:
        return [Problem(part.error.problem, part.error.remedy)]
    found = part.found
    if found is None:
        return [Problem("there is no database yet", "run: resolver migrate")]
    if not found.migrated:
        return [
            Problem(
                f"the database has schema {found.schema or 'none'}, this version needs "
                f"{found.needed}",
                "run: resolver migrate",
            )
        ]
    told = []
    if found.release is None:
        return [Problem("no release of the registry is loaded", "run: resolver update")]
    if found.version is None:
        told.append(
            Problem("no resolver version is in use", "run: resolver update, or start a worker")
        )
    elif found.version.release_id != found.release.id:
        told.append(
            Problem(
                f"release {found.release.version} is loaded, the answers are by "
                f"{found.version.release}",
                "run: resolver update",
            )
        )
    age = registry_age(found, today)
    if age is not None and age > REGISTRY_DAYS:
        told.append(
            Problem(
                f"release {found.release.version} is {age} days old",
                "run: resolver update, or set RESOLVER_UPDATE_SCHEDULE",
                serious=False,
            )
        )
    if found.due:
        told.append(
            Problem(
                f"{found.due:,} answers are due",
                "run: resolver refresh, or resolver refresh --enqueue for the workers",
                serious=False,
            )
        )
    return told


def _of_index(installation: Installation) -> list[Problem]:
    part, database = installation.index, installation.database.found
    if part.error:
        return [Problem(part.error.problem, part.error.remedy)]
    if database is None or database.release is None:
        # The registry comes first.
        return []
    if part.found is None:
        return [Problem("no index is active", "run: resolver index build")]
    version = database.version
    if version and version.index_version and version.index_version != part.found.version:
        return [
            Problem(
                f"index {part.found.version} is active, resolver version {version.id} searches "
                f"{version.index_version}",
                f"run: resolver version use {version.id}",
                serious=False,
            )
        ]
    return []


def _of_broker(installation: Installation) -> list[Problem]:
    part = installation.broker
    if part.error:
        return [Problem(part.error.problem, part.error.remedy)]
    found = part.found
    if found is None:
        return []
    told = []
    if found.waiting and not found.workers:
        told.append(
            Problem(
                f"{found.waiting:,} messages wait and no worker is heard", "run: resolver worker"
            )
        )
    told += [
        Problem(
            f"the oldest message of queue {INTERACTIVE} has waited {queue.oldest:.0f} s",
            f"run: resolver worker --queues {INTERACTIVE}",
        )
        for queue in found.queues
        if queue.queue == INTERACTIVE and (queue.oldest or 0) > INTERACTIVE_SECONDS
    ]
    if found.dead.messages:
        told.append(
            Problem(
                f"{found.dead.messages:,} messages failed for good",
                "run: resolver deadletters list",
            )
        )
    return told


def _brisk(settings: Settings) -> Settings:
    """The settings with short waits."""
    changed: dict[str, object] = {
        "qdrant_timeout": min(settings.qdrant_timeout, float(CONNECT_SECONDS))
    }
    if settings.database_url:
        try:
            url = make_url(settings.database_url.get_secret_value())
        except (ArgumentError, ValueError):
            # Whoever connects says what is wrong with it.
            return settings.model_copy(update=changed)
        url = url.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})
        changed["database_url"] = SecretStr(url.render_as_string(hide_password=False))
    return settings.model_copy(update=changed)


def _ask(asked: dict[str, Callable[[], Any]], seconds: float) -> dict[str, Part[Any]]:
    """What each answers, by name; threads that hang are left behind."""
    answered: SimpleQueue[tuple[str, Part[Any] | BaseException]] = SimpleQueue()

    def ask(name: str, question: Callable[[], Any]) -> None:
        try:
            answered.put((name, Part(question())))
        except ResolverError as error:
            answered.put((name, Part(error=error)))
        except BaseException as error:  # noqa: BLE001 - raised below, where it is seen
            answered.put((name, error))

    for name, question in asked.items():
        threading.Thread(target=ask, args=(name, question), name=name, daemon=True).start()
    found: dict[str, Part[Any]] = {}
    deadline = time.monotonic() + seconds
    while len(found) < len(asked):
        left = deadline - time.monotonic()
        try:
            name, answer = answered.get(timeout=max(0.01, left))
        except Empty:
            break
        if isinstance(answer, BaseException):
            raise answer
        found[name] = answer
    for name in asked.keys() - found.keys():
        found[name] = Part(
            error=ResolverError(
                f"no answer from the {name} within {seconds:.0f} s",
                remedy="check its URL, the network and the name server",
            )
        )
    return found
