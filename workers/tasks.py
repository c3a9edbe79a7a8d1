"""Tasks: one call into `resolver` each. Their names are the interface to other senders."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from celery import shared_task
from celery.utils.log import get_task_logger
from celery.utils.time import get_exponential_backoff_interval

from resolver import resolving
from workers.app import TRANSIENT, service
from workers.client import RESOLVE_CHUNK

logger = get_task_logger(__name__)

ATTEMPTS = 10
BACKOFF_FACTOR = 2
BACKOFF_MAXIMUM = 60
"""Nine waits of 0 to 2, 4, 8, 16, 32 and four times 60 s: 150 s on average, 302 at most. Enough for
a restart or failover of Postgres or Qdrant, and far from the time limit of a chunk."""

_Answer = TypeVar("_Answer")


@shared_task(name=RESOLVE_CHUNK)  # type: ignore[untyped-decorator]
def resolve_chunk(records: object, policy: object = None) -> None:
    """Resolve and store a chunk of records (docs/tasks.md). Doing it twice changes nothing.

    `policy` has the choices that differ from the worker's own.
    """
    opened = service()
    chosen = opened.policy(policy)
    report = patiently(
        lambda: resolving.resolve_chunk(
            opened.engine, opened.matcher, opened.resolver_version_id, records, chosen
        )
    )
    logger.info("%s %s", report, report.meters)


def patiently(
    action: Callable[[], _Answer], *, wait: Callable[[float], None] = time.sleep
) -> _Answer:
    """Repeat `action` while a service is away, with growing random waits; at last give up.

    The chunk is kept meanwhile and its worker waits with it: every other chunk would meet the
    same missing service, and a worker that went on would run the whole queue into its retries.

    Raises:
        DatabaseUnavailable, IndexUnavailable, RerankerUnavailable: still away after `ATTEMPTS`.
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return action()
        except TRANSIENT as error:
            seconds = get_exponential_backoff_interval(
                BACKOFF_FACTOR, attempt, BACKOFF_MAXIMUM, full_jitter=True
            )
            logger.warning("%s; trying again in %d s", error, seconds)
            wait(seconds)
    return action()
