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

from resolver.database import monitoring
from resolver.database.monitoring import Drift, Overview
from resolver.errors import ResolverError
from resolver.index import Manifest
from resolver.service import embedded, service
from resolver.settings import Settings
from resolver.workers import traffic
from resolver.workers.app import create_app
from resolver.workers.broker import address
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
    asking: Asking | None = None,
) -> Installation:
    """Ask all parts. Embedded services that have data are started for it; nothing is made.

    `count_seconds` are for each count in the database, `given_seconds` for all. Who looks more than
    once keeps an `asking` for it.
    """

    def database() -> tuple[Overview, Sequence[Drift]] | None:
        if not settings.database_url and not embedded.has_postgres(settings.home):
            return None
        with service.database(settings, connect_seconds=CONNECT_SECONDS) as engine:
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
        with address(settings) as url, ExitStack() as stack:
            app = create_app(settings, broker_url=url)
            stack.callback(app.close)
            app.conf.update(event_queue_exclusive=True)
            return traffic.look(app, timeout=CONNECT_SECONDS)

    def index() -> Manifest | None:
        brisk = settings.model_copy(
            update={"qdrant_timeout": min(settings.qdrant_timeout, float(CONNECT_SECONDS))}
        )
        with service.index_store(brisk) as store:
            return store.active()

    asked: dict[str, Callable[[], Any]] = {"database": database, "broker": broker, "index": index}
    answers = (asking or Asking()).ask(asked, given_seconds)
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
    if found.updating and not _in_step(found):
        return [
            Problem(
                "an update is running: "
                + (f"release {found.release.version}" if found.release else "no release")
                + " is loaded, the answers are by "
                + (found.version.release if found.version else "nobody yet"),
                "wait for it to end",
                serious=False,
            )
        ]
    if found.release is None:
        return [Problem("no release of the registry is loaded", "run: resolver update")]
    if found.version is None:
        told.append(
            Problem("no resolver version is in use", "run: resolver update, or start a worker")
        )
    elif found.before is not None:
        told.append(
            Problem(
                f"release {found.release.version} is loaded, and version {found.version.id}, by "
                f"{found.version.release}, was put in use after it",
                f"leave it, if that is meant; forward again: resolver version use {found.before}",
                serious=False,
            )
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
    if database is None or database.release is None or database.updating:
        # The registry comes first, and an update switches the one a moment before the other.
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
                f"{_messages(found.waiting)} waiting and no worker is heard", "run: resolver worker"
            )
        )
    elif found.workers:
        told += [
            Problem(
                f"{_messages(queue.messages)} in queue {queue.queue} and no worker serves it",
                f"run: resolver worker --queues {queue.queue}",
            )
            for queue in found.queues
            if queue.messages and not found.serving(queue.queue)
        ]
    told += [
        Problem(
            f"the oldest message of queue {INTERACTIVE} has waited {queue.oldest:.0f} s",
            f"run: resolver worker --queues {INTERACTIVE}",
        )
        for queue in found.queues
        if queue.queue == INTERACTIVE
        and (queue.oldest or 0) > INTERACTIVE_SECONDS
        and found.serving(INTERACTIVE)
    ]
    if found.dead.messages:
        told.append(
            Problem(
                f"{_messages(found.dead.messages)} failed for good",
                "run: resolver deadletters list",
            )
        )
    return told


def _in_step(found: Overview) -> bool:
    """Whether the version in use is by the release that is loaded."""
    return bool(found.release and found.version and found.release.id == found.version.release_id)


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"


class Asking:
    """Asks each part in a thread of its own, and waits for none longer than it is given.

    A thread that hangs cannot be ended, and is left; but no other one is sent after it as long as
    it does. So who looks again and again leaves one thread for each part at most.
    """

    def __init__(self) -> None:
        self._hanging: dict[str, threading.Thread] = {}

    def ask(self, asked: dict[str, Callable[[], Any]], seconds: float) -> dict[str, Part[Any]]:
        """What each answers, by name.

        Raises:
            whatever a question raises that is no `ResolverError`.
        """
        answered: SimpleQueue[tuple[str, Part[Any] | BaseException]] = SimpleQueue()

        def put(name: str, question: Callable[[], Any]) -> None:
            try:
                answered.put((name, Part(question())))
            except ResolverError as error:
                answered.put((name, Part(error=error)))
            except BaseException as error:  # noqa: BLE001 - raised below, where it is seen
                answered.put((name, error))

        waiting: set[str] = set()
        for name, question in asked.items():
            hanging = self._hanging.get(name)
            if hanging is not None and hanging.is_alive():
                continue
            thread = threading.Thread(target=put, args=(name, question), name=name, daemon=True)
            self._hanging[name] = thread
            thread.start()
            waiting.add(name)
        found: dict[str, Part[Any]] = {}
        deadline = time.monotonic() + seconds
        while waiting:
            try:
                name, answer = answered.get(timeout=max(0.01, deadline - time.monotonic()))
            except Empty:
                break
            if isinstance(answer, BaseException):
                raise answer
            found[name] = answer
            del self._hanging[name]
            waiting.discard(name)
        for name in asked.keys() - found.keys():
            found[name] = Part(
                error=ResolverError(
                    f"no answer from the {name} within {seconds:.0f} s",
                    remedy="check its URL, the network and the name server",
                )
            )
        return found
