"""What waits at the broker, and which workers live; looks, and takes nothing.

Only what every broker tells without a message being touched: to fetch one and give it back would
count as a delivery on RabbitMQ, and after a few of them the message would be dead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu import Queue

from resolver.errors import BrokerUnavailable
from resolver.network import addresses
from resolver.workers.client import SENT_AT
from resolver.workers.queues import DEAD, QUEUES, failures
from resolver.workers.telemetry import DONE, QUEUES_SERVED

BEAT = 2.0
"""Seconds between the heartbeats that Celery's workers send to each other."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages of a queue that wait; those that a worker has are not among them.

    `oldest` is the age in seconds of the one that waits longest: None when none does, and where
    the broker does not tell (RabbitMQ).
    """

    queue: str
    messages: int
    oldest: float | None


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker that was heard: `active` messages in work, `done` since it started, and the queues
    that it serves."""

    name: str
    pid: int
    active: int
    done: int
    queues: tuple[str, ...] = QUEUES


@dataclass(frozen=True, slots=True)
class Traffic:
    """The broker's state: a line for each queue, the dead letters, the workers by name.

    A queue that nobody has made yet is empty.
    """

    queues: tuple[Waiting, ...]
    dead: Waiting
    workers: tuple[WorkerSeen, ...]

    @property
    def waiting(self) -> int:
        return sum(queue.messages for queue in self.queues)

    def serving(self, queue: str) -> int:
        """How many workers serve a queue."""
        return sum(queue in worker.queues for worker in self.workers)


def look(app: Celery, *, timeout: float, listen: float = 1.5 * BEAT) -> Traffic:
    """Count, then listen `listen` seconds for workers: one that lives is heard every `BEAT`.

    Raises:
        BrokerUnavailable: no answer within some `timeout` seconds.
    """
    with app.connection_for_read() as connection:
        connection.connect_timeout = timeout
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)
            queues = tuple(_waiting(connection, name) for name in QUEUES)
            dead = _waiting(connection, DEAD)
            return Traffic(queues, dead, _heard(app, connection, listen))
        except failures(connection) as error:
            url = addresses.shown(app.conf.broker_url)
            raise BrokerUnavailable(
                f"the broker at {url}: {error or type(error).__name__}",
                remedy="check RESOLVER_BROKER_URL and that it runs",
            ) from error


def _waiting(connection: Any, name: str) -> Waiting:
    # A channel of its own: RabbitMQ closes it where there is no such queue.
    channel = connection.channel()
    try:
        declared = Queue(name, channel=channel).queue_declare(passive=True)
    except connection.channel_errors:
        return Waiting(name, 0, None)
    messages = declared.message_count
    oldest = None
    client = getattr(channel, "client", None)
    if messages and client is not None:
        # Redis: a list, to which messages are added on the left.
        oldest = _age(client.lindex(name, -1))
    channel.close()
    return Waiting(name, messages, oldest)


def _age(message: bytes | None) -> float | None:
    """Seconds since a message was sent, if it says; anybody may have written it."""
    if message is None:
        return None
    try:
        sent = json.loads(message)["headers"][SENT_AT]
        return max(0.0, time.time() - float(sent))
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None


def _heard(app: Celery, connection: Any, seconds: float) -> tuple[WorkerSeen, ...]:
    found: dict[tuple[str, int], WorkerSeen] = {}

    def hear(event: Mapping[str, Any]) -> None:
        name, pid = str(event.get("hostname")), int(event.get("pid") or 0)
        if event.get("type") == "worker-offline":
            found.pop((name, pid), None)
        else:
            found[name, pid] = WorkerSeen(
                name,
                pid,
                int(event.get("active") or 0),
                int(event.get(DONE) or 0),
                # One that does not say is taken to serve all: nobody is to be woken for that.
                tuple(event.get(QUEUES_SERVED) or QUEUES),
            )

    receiver = app.events.Receiver(
        connection,
        handlers={
            "worker-heartbeat": hear,
            "worker-online": hear,
            "worker-offline": hear,
        },
    )
    deadline = time.monotonic() + seconds
    # It listens over a connection of its own.
    with receiver.consumer_context(wakeup=False) as (listening, _, _):
        while (left := deadline - time.monotonic()) > 0:
            try:
                listening.drain_events(timeout=left)
            except TimeoutError:
                break
    return tuple(sorted(found.values(), key=lambda worker: (worker.name, worker.pid)))
