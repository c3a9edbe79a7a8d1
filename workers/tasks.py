"""The Celery tasks: each calls one function. Their names are an interface (docs/tasks.md)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from celery import shared_task
from celery.utils.log import get_task_logger
from celery.utils.time import get_exponential_backoff_interval

from resolver.answering import chunk, refresh
from resolver.curation import review
from resolver.database import forgetting, jobs
from resolver.database.forgetting import Ages
from resolver.database.revision import require_schema
from resolver.errors import DatabaseOutdated, MessageError, ResolverSuperseded, UpdateRunning
from resolver.release import update as release_update
from resolver.service.service import Service
from resolver.workers import telemetry
from resolver.workers.client import (
    FORGET,
    REBUILD_REVIEW,
    REFRESH_CHUNK,
    RESOLVE_CHUNK,
    UPDATE,
    WITHDRAW_CHUNK,
    enqueue_refresh,
)
from resolver.workers.process import TRANSIENT, service

logger = get_task_logger(__name__)

ATTEMPTS = 10
BACKOFF_FACTOR = 2
BACKOFF_MAXIMUM = 60
"""Nine waits of at most 2, 4, 8, 16, 32 and four times 60 s, drawn at random: 150 s on average, 302
at most. This is enough for a restart or failover of Postgres or Qdrant, and far below the time
limit of a chunk."""

SWITCHES = 5
"""Most times that a chunk is begun again because another resolver version came in use."""

UPDATE_LIMIT = 6 * 60 * 60
"""Seconds that an update may take. Most take minutes; a large encoder on a CPU takes hours."""

_Answer = TypeVar("_Answer")


@shared_task(name=RESOLVE_CHUNK)  # type: ignore[untyped-decorator]
def resolve_chunk(records: object, policy: object = None, replace: object = None) -> None:
    """Resolve and store a chunk of records (docs/tasks.md). Doing it twice changes nothing.

    `policy` has the choices that differ from the worker's settings, `replace` the records that are
    replaced whole, with all their positions.
    """
    report = with_version_in_use(
        lambda opened: chunk.resolve_chunk(
            opened.engine,
            opened.matcher,
            opened.version.id,
            jobs.wanted(opened.engine, records),
            opened.policy(policy),
            replace,
        )
    )
    telemetry.done(report)


@shared_task(name=WITHDRAW_CHUNK)  # type: ignore[untyped-decorator]
def withdraw_chunk(records: object) -> None:
    """Withdraw records (docs/tasks.md). Doing it twice changes nothing."""
    report = with_version_in_use(lambda opened: chunk.withdraw_chunk(opened.engine, records))
    log = logger.warning if report.unknown else logger.info
    log("%s", report)


@shared_task(name=REFRESH_CHUNK)  # type: ignore[untyped-decorator]
def refresh_chunk(affiliation_ids: list[int], policy_id: int) -> None:
    """Resolve again those of these answers that are due (docs/tasks.md): none, when the message
    comes late or twice."""
    if not (isinstance(affiliation_ids, list) and all(map(_is_key, [*affiliation_ids, policy_id]))):
        raise MessageError("not [affiliation ids, policy id]: lists of whole numbers from 1")
    report = with_version_in_use(
        lambda opened: refresh.refresh_chunk(opened, policy_id, affiliation_ids)
    )
    telemetry.done(report)


@shared_task(name=UPDATE, acks_late=False, time_limit=UPDATE_LIMIT)  # type: ignore[untyped-decorator]
def update() -> None:
    """Take in the newest release, and send the answers that it makes due to the queue ``refresh``.

    It is acknowledged before it begins: it may take longer than RabbitMQ waits for an
    acknowledgement, and the next update completes one that was killed. One that fails leaves a dead
    letter.
    """
    opened = service()
    settings = opened.installation.settings
    try:
        report = release_update.update(
            opened.installation,
            enqueue=lambda due: enqueue_refresh(due, settings=settings).records,
            scheduled=True,
        )
    except UpdateRunning as error:
        logger.warning("%s; this one does nothing", error.problem)
        return
    for line in report.lines():
        logger.info("%s", line)


@shared_task(name=FORGET, acks_late=False, time_limit=UPDATE_LIMIT)  # type: ignore[untyped-decorator]
def forget() -> None:
    """Delete for good what is over and older than the settings of this worker keep it.

    It is acknowledged before it begins, as an update is: the next one completes one that was
    killed.
    """
    opened = service()
    ages = Ages.of(opened.installation.settings)
    if ages == Ages():
        logger.warning("nothing is forgotten: no RESOLVER_KEEP_…_DAYS is set for this worker")
        return
    try:
        logger.info("%s", forgetting.forget(opened.engine, ages))
    except UpdateRunning as error:
        logger.warning("%s; the next one forgets the rest", error.problem)


@shared_task(name=REBUILD_REVIEW, acks_late=False, time_limit=UPDATE_LIMIT)  # type: ignore[untyped-decorator]
def rebuild_review() -> None:
    """Make the items of the review again from the stored answers.

    It is acknowledged before it begins: the next one does what one that was killed did not.
    """
    logger.info(
        "%d texts with an answer are in the queue of the review", review.rebuild(service().engine)
    )


def _is_key(value: object) -> bool:
    """Whether a value can be a key of the database."""
    return type(value) is int and 0 < value < 2**63


def with_version_in_use(action: Callable[[Service], _Answer]) -> _Answer:
    """Do a chunk with the resolver version in use; again, when another comes in use meanwhile.

    Raises:
        as `retry_patiently`.
    """

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
        return retry_patiently(attempt)
    except DatabaseOutdated:
        # Most likely it was migrated meanwhile: an error about the schema says more.
        require_schema(service().engine)
        raise


def retry_patiently(
    action: Callable[[], _Answer], *, wait: Callable[[float], None] = time.sleep
) -> _Answer:
    """Repeat `action` while a service does not answer, after random waits that grow.

    The worker keeps the chunk and waits with it: every other chunk would meet the same missing
    service, and a worker that went on would use up the retries of the whole queue.

    Raises:
        one of `TRANSIENT`: the last of `ATTEMPTS` failed, too.
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
