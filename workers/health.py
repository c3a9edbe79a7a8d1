"""The health of an installation: database, registry, index, broker, workers, drift, and problems.

The components are probed at the same time, each in a thread of its own and with a time limit: one
that does not answer, or hangs, is reported as such, and the others all the same.
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
from resolver.service import embedded
from resolver.service.installation import open_database, open_index_store
from resolver.settings import Settings
from resolver.workers.app import create_app
from resolver.workers.broker import address
from resolver.workers.broker_state import BrokerState, read_state

CONNECT_SECONDS = 3
"""Seconds until a component must answer at all."""

COUNT_SECONDS = 5.0
"""Seconds that a count in the database may take."""

LIMIT_SECONDS = 15.0
"""Seconds after which a component that has not answered is taken to hang; name servers are the
slowest."""

REGISTRY_DAYS = 100
"""Age in days from which a release is old: ROR publishes one a month."""

DRIFT = 0.1
"""Least change of the share without a link, against the weeks before, that is a problem."""

DRIFT_RECORDS = 500
"""Least number of records in a week for its share to be judged: from 500 on the error is some two
in a hundred."""

INTERACTIVE, INTERACTIVE_SECONDS = "interactive", 60
"""The queue of people who wait for an answer, and the seconds after which that is a problem."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Component(Generic[T]):
    """The state of a component, or why it did not answer."""

    state: T | None = None
    error: ResolverError | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The state of every component, at nearly the same moment.

    One that was never set up, such as an embedded service that no command has started yet, has
    neither `state` nor `error`.
    """

    database: Component[Overview]
    index: Component[Manifest]
    broker: Component[BrokerState]
    drift: Sequence[Drift]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and what helps. A problem that is not `serious` is a hint."""

    problem: str
    remedy: str | None
    serious: bool = True


def check(
    settings: Settings,
    *,
    count_seconds: float = COUNT_SECONDS,
    limit_seconds: float = LIMIT_SECONDS,
    drift: bool = True,
    probes: Probes | None = None,
) -> Health:
    """Probe all components. Embedded services that have data are started for it; nothing is made.

    `count_seconds` limits each count in the database, `limit_seconds` all of it. Whoever checks
    again and again passes the same `probes` each time.
    """

    def database() -> tuple[Overview, Sequence[Drift]] | None:
        if not settings.database_url and not embedded.has_postgres(settings.home):
            return None
        with open_database(settings, connect_seconds=CONNECT_SECONDS) as engine:
            overview = monitoring.overview(engine, seconds=count_seconds)
            weeks = (
                monitoring.drift(engine, seconds=count_seconds)
                if drift and overview.migrated
                else None
            )
        return overview, weeks or ()

    def broker() -> BrokerState | None:
        if not settings.broker_url and not (settings.home / "redis").is_dir():
            return None
        with address(settings) as url, ExitStack() as stack:
            app = create_app(settings, broker_url=url)
            stack.callback(app.close)
            app.conf.update(event_queue_exclusive=True)
            return read_state(app, timeout=CONNECT_SECONDS)

    def index() -> Manifest | None:
        brisk = settings.model_copy(
            update={"qdrant_timeout": min(settings.qdrant_timeout, float(CONNECT_SECONDS))}
        )
        with open_index_store(brisk) as store:
            return store.active()

    components = (probes or Probes()).run(
        {"database": database, "broker": broker, "index": index}, limit_seconds
    )
    stored = components["database"]
    overview, weeks = stored.state or (None, ())
    return Health(
        Component(overview, stored.error), components["index"], components["broker"], weeks
    )


def problems(health: Health, *, today: date | None = None) -> list[Problem]:
    """What is wrong, the most serious first: the others may follow from it."""
    return [
        *_of_database(health, today or datetime.now(UTC).date()),
        *_of_index(health),
        *_of_broker(health),
        *(
            Problem(f"drift: {line}", "see docs/operations.md, ResolverDrift", serious=False)
            for line in drifting(health.drift)
        ),
    ]


def drifting(weeks: Sequence[Drift]) -> list[str]:
    """A line for each source whose newest week has another share without a link than the weeks
    before it."""
    lines = []
    for source in dict.fromkeys(week.source for week in weeks):
        *before, last = sorted(
            (week for week in weeks if week.source == source), key=lambda week: week.week
        )
        records = sum(week.records for week in before)
        if min(records, last.records) < DRIFT_RECORDS:
            continue
        usual = sum(week.no_match * week.records for week in before) / records
        if abs(last.no_match - usual) > DRIFT:
            lines.append(
                f"{source} has {last.no_match:.0%} without a link since {last.week}, "
                f"{usual:.0%} in the weeks before"
            )
    return lines


def registry_age(overview: Overview, today: date) -> int | None:
    """Days since the release in use was published; since it was loaded, where it does not say."""
    release = overview.release
    if release is None:
        return None
    return (today - (release.released_on or release.loaded_at.astimezone(UTC).date())).days


def _of_database(health: Health, today: date) -> list[Problem]:
    component = health.database
    if component.error:
        return [Problem(component.error.problem, component.error.remedy)]
    overview = component.state
    if overview is None:
        return [Problem("there is no database yet", "run: resolver migrate")]
    if not overview.migrated:
        return [
            Problem(
                f"the database has schema {overview.schema or 'none'}, this version needs "
                f"{overview.needed}",
                "run: resolver migrate",
            )
        ]
    problems = [*_of_last_update(overview), *_of_jobs(overview)]
    if overview.updating and not _in_step(overview):
        return [
            *problems,
            Problem(
                "an update is running: "
                + (f"release {overview.release.version}" if overview.release else "no release")
                + " is loaded, the answers are by "
                + (overview.version.release if overview.version else "nobody yet"),
                "wait for it to end",
                serious=False,
            ),
        ]
    if overview.release is None:
        return [*problems, Problem("no release of the registry is loaded", "run: resolver update")]
    if overview.version is None:
        problems.append(
            Problem("no resolver version is in use", "run: resolver update, or start a worker")
        )
    elif overview.before is not None:
        problems.append(
            Problem(
                f"release {overview.release.version} is loaded, and version "
                f"{overview.version.id}, by {overview.version.release}, was put in use after it",
                "leave it, if that is meant; forward again: "
                f"resolver version use {overview.before}",
                serious=False,
            )
        )
    elif overview.version.release_id != overview.release.id:
        problems.append(
            Problem(
                f"release {overview.release.version} is loaded, the answers are by "
                f"{overview.version.release}",
                "run: resolver update",
            )
        )
    age = registry_age(overview, today)
    if age is not None and age > REGISTRY_DAYS:
        problems.append(
            Problem(
                f"release {overview.release.version} is {age} days old",
                "run: resolver update, or set RESOLVER_UPDATE_SCHEDULE",
                serious=False,
            )
        )
    if overview.due:
        problems.append(
            Problem(
                f"{overview.due:,} answers are due",
                "run: resolver refresh, or resolver refresh --enqueue for the workers",
                serious=False,
            )
        )
    return problems


def _of_last_update(overview: Overview) -> list[Problem]:
    """That it failed, until another one begins."""
    run = overview.last_update
    if run is None or overview.updating:
        return []
    update = (
        f"the {'scheduled ' if run.scheduled else ''}update of {run.began_at:%Y-%m-%d %H:%M} UTC"
    )
    at_step = f" at step {run.step}" if run.step else ""
    if run.problem is not None:
        remedy = (
            f"{run.remedy}; then run: resolver update" if run.remedy else "run: resolver update"
        )
        return [Problem(f"{update} failed{at_step}: {run.problem}", remedy)]
    if run.ended_at is None:
        return [
            Problem(f"{update} broke off{at_step}: its process was killed", "run: resolver update")
        ]
    return []


def _of_jobs(overview: Overview) -> list[Problem]:
    count = overview.jobs_set_aside
    if not count:
        return []
    return [
        Problem(
            f"{'1 job is' if count == 1 else f'{count:,} jobs are'} set aside and not sent to the "
            "queue any more",
            "see docs/operations.md, ResolverJobsFailed",
        )
    ]


def _of_index(health: Health) -> list[Problem]:
    component, database = health.index, health.database.state
    if component.error:
        return [Problem(component.error.problem, component.error.remedy)]
    if database is None or database.release is None or database.updating:
        # The registry comes first; and an update flips the alias before the version in use.
        return []
    if component.state is None:
        return [Problem("no index is active", "run: resolver index build")]
    version = database.version
    if version and version.index_version and version.index_version != component.state.version:
        return [
            Problem(
                f"index {component.state.version} is active, "
                f"resolver version {version.id} searches {version.index_version}",
                f"run: resolver version use {version.id}",
                serious=False,
            )
        ]
    return []


def _of_broker(health: Health) -> list[Problem]:
    component = health.broker
    if component.error:
        return [Problem(component.error.problem, component.error.remedy)]
    state = component.state
    if state is None:
        return []
    problems = []
    if state.waiting and not state.workers:
        problems.append(
            Problem(
                f"{_messages(state.waiting)} waiting and no worker is heard", "run: resolver worker"
            )
        )
    elif state.workers:
        problems += [
            Problem(
                f"{_messages(queue.messages)} in queue {queue.queue} and no worker serves it",
                f"run: resolver worker --queues {queue.queue}",
            )
            for queue in state.queues
            if queue.messages and not state.serving(queue.queue)
        ]
    problems += [
        Problem(
            f"the oldest message of queue {INTERACTIVE} has waited {queue.oldest:.0f} s",
            f"run: resolver worker --queues {INTERACTIVE}",
        )
        for queue in state.queues
        if queue.queue == INTERACTIVE
        and (queue.oldest or 0) > INTERACTIVE_SECONDS
        and state.serving(INTERACTIVE)
    ]
    if state.dead.messages:
        problems.append(
            Problem(
                f"{_messages(state.dead.messages)} failed for good",
                "run: resolver deadletters list",
            )
        )
    return problems


def _in_step(overview: Overview) -> bool:
    """Whether the version in use is by the release that is loaded."""
    return bool(
        overview.release and overview.version and overview.release.id == overview.version.release_id
    )


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"


class Probes:
    """Runs probes, each in a thread of its own, and waits for none beyond the time limit.

    A thread that hangs cannot be ended, and is left; but no second one of its name is started as
    long as it hangs. So whoever checks again and again leaves one thread for each component at
    most.
    """

    def __init__(self) -> None:
        self._hanging: dict[str, threading.Thread] = {}

    def run(
        self, probes: dict[str, Callable[[], Any]], seconds: float
    ) -> dict[str, Component[Any]]:
        """The component that each probe returns the state of, by name.

        Raises:
            whatever a probe raises that is no `ResolverError`.
        """
        answers: SimpleQueue[tuple[str, Component[Any] | BaseException]] = SimpleQueue()

        def put(name: str, probe: Callable[[], Any]) -> None:
            try:
                answers.put((name, Component(probe())))
            except ResolverError as error:
                answers.put((name, Component(error=error)))
            except BaseException as error:  # noqa: BLE001 - raised below, where it is seen
                answers.put((name, error))

        waiting: set[str] = set()
        for name, probe in probes.items():
            hanging = self._hanging.get(name)
            if hanging is not None and hanging.is_alive():
                continue
            thread = threading.Thread(target=put, args=(name, probe), name=name, daemon=True)
            self._hanging[name] = thread
            thread.start()
            waiting.add(name)
        components: dict[str, Component[Any]] = {}
        deadline = time.monotonic() + seconds
        while waiting:
            try:
                name, answer = answers.get(timeout=max(0.01, deadline - time.monotonic()))
            except Empty:
                break
            if isinstance(answer, BaseException):
                raise answer
            components[name] = answer
            del self._hanging[name]
            waiting.discard(name)
        for name in probes.keys() - components.keys():
            components[name] = Component(
                error=ResolverError(
                    f"no answer from the {name} within {seconds:.0f} s",
                    remedy="check its URL, the network and the name server",
                )
            )
        return components
