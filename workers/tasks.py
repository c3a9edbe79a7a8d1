"""Tasks: one call into `resolver` each. Their names are the interface to other senders."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from celery import shared_task
from celery.utils.log import get_task_logger
from celery.utils.time import get_exponential_backoff_interval

from resolver.answering import chunk, refresh
from resolver.database import forgetting
from resolver.database.forgetting import Ages
from resolver.database.schema import require_schema
from resolver.errors import DatabaseOutdated, MessageError, ResolverSuperseded, UpdateRunning
from resolver.release import update as updating
from resolver.service.service import Service
from resolver.workers import telemetry
from resolver.workers.client import (
    FORGET,
    REFRESH_CHUNK,
    RESOLVE_CHUNK,
    UPDATE,
    WITHDRAW_CHUNK,
    enqueue_refresh,
)
from resolver.workers.opening import TRANSIENT, service

logger = get_task_logger(__name__)

ATTEMPTS = 10
BACKOFF_FACTOR = 2
BACKOFF_MAXIMUM = 60
"""Nine waits of 0 to 2, 4, 8, 16, 32 and four times 60 s: 150 s on average, 302 at most. Enough for
a restart or failover of Postgres or Qdrant, and far from the time limit of a chunk."""

SWITCHES = 5
"""How often a chunk is begun again because another resolver version came in use."""

UPDATE_LIMIT = 6 * 60 * 60
"""Seconds an update may take: minutes, but where a large encoder embeds the registry on a CPU."""

_Answer = TypeVar("_Answer")


@shared_task(name=RESOLVE_CHUNK)  # type: ignore[untyped-decorator]
def resolve_chunk(records: object, policy: object = None, replace: object = None) -> None:
    """Resolve and store a chunk of records (docs/tasks.md). Doing it twice changes nothing.

    `policy` has the choices that differ from the worker's own, `replace` the records that these
    are all of.
    """
    report = with_version_in_use(
        lambda opened: chunk.resolve_chunk(
            opened.engine,
            opened.matcher,
            opened.version.id,
            records,
            opened.policy(policy),
            replace,
        )
    )
    telemetry.done(report)


@shared_task(name=WITHDRAW_CHUNK)  # type: ignore[untyped-decorator]
def withdraw_chunk(records: object) -> None:
    """Withdraw what a source has taken back (docs/tasks.md). Done twice it finds nothing more."""
    report = with_version_in_use(lambda opened: chunk.withdraw_chunk(opened.engine, records))
    log = logger.warning if report.unknown else logger.info
    log("%s", report)


@shared_task(name=REFRESH_CHUNK)  # type: ignore[untyped-decorator]
def refresh_chunk(affiliation_ids: list[int], policy_id: int) -> None:
    """Resolve again what of these is due (docs/tasks.md); late or twice it is a look-up."""
    if not (isinstance(affiliation_ids, list) and all(map(_is_key, [*affiliation_ids, policy_id]))):
        raise MessageError("not [affiliation ids, policy id]: lists of whole numbers from 1")
    report = with_version_in_use(
        lambda opened: refresh.refresh_chunk(opened, policy_id, affiliation_ids)
    )
    telemetry.done(report)


@shared_task(name=UPDATE, acks_late=False, time_limit=UPDATE_LIMIT)  # type: ignore[untyped-decorator]
def update() -> None:
    """Take in the newest release, and send what it makes due to the queue ``refresh``.

    Acknowledged before it begins: it may take longer than RabbitMQ waits for that, and the next
    one completes what a killed one left. One that fails leaves a dead letter, to be seen and to be
    sent again.
    """
    opened = service()
    try:
        report = updating.update(
            opened.settings,
            opened.engine,
            enqueue=lambda due: enqueue_refresh(due, settings=opened.settings).records,
        )
    except UpdateRunning as error:
        logger.warning("%s; this one does nothing", error.problem)
        return
    for line in report.lines():
        logger.info("%s", line)


@shared_task(name=FORGET, acks_late=False, time_limit=UPDATE_LIMIT)  # type: ignore[untyped-decorator]
def forget() -> None:
    """Delete for good what is over and older than the settings of this worker keep it.

    Acknowledged before it begins, as an update is: the next one completes what this one leaves.
    """
    opened = service()
    ages = Ages.of(opened.settings)
    if ages == Ages():
        logger.warning("nothing is forgotten: no RESOLVER_KEEP_…_DAYS is set for this worker")
        return
    try:
        logger.info("%s", forgetting.forget(opened.engine, ages))
    except UpdateRunning as error:
        logger.warning("%s; the next one forgets the rest", error.problem)


def _is_key(value: object) -> bool:
    """Whether it can be a key of the database."""
    return type(value) is int and 0 < value < 2**63


def with_version_in_use(action: Callable[[Service], _Answer]) -> _Answer:
    """Do a chunk with the resolver version in use; again, when another one comes in meanwhile."""

    def attempt() -> _Answer:
        for _ in range(SWITCHES):
            service().follow()
            try:
                return action(service())
            except ResolverSuperseded as error:
                logger.info("%s; once more", error)
        service().follow()
        return action(service())

    try:
        return patiently(attempt)
    except DatabaseOutdated:
        # Migrated meanwhile, most likely: which schema there is says more than what is missing.
        require_schema(service().engine)
        raise


def patiently(
    action: Callable[[], _Answer], *, wait: Callable[[float], None] = time.sleep
) -> _Answer:
    """Repeat `action` while what it needs is away, with growing random waits; at last give up.

    The chunk is kept meanwhile and its worker waits with it: every other chunk would meet the
    same missing service, and a worker that went on would run the whole queue into its retries.

    Raises:
        one of `TRANSIENT`: so still after `ATTEMPTS`.
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return action()
        except TRANSIENT as error:
            seconds = get_exponential_backoff_interval(
                BACKOFF_FACTOR, attempt, BACKOFF_MAXIMUM, full_jitter=True
            )
            telemetry.failed(error)
            logger.warning("%s; trying again in %d s", error, seconds)
            wait(seconds)
    return action()
