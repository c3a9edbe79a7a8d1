"""The state of the broker: the messages in each queue, and the workers that are alive.

It reads only what a broker tells without delivering a message: to fetch one and give it back would
count as a delivery on RabbitMQ, and after a few of these the message would become a dead letter.
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
class QueueState:
    """A queue and the number of messages that wait in it; those that a worker has are not counted.

    `oldest` is the age in seconds of the oldest message: None where there is none, and on RabbitMQ,
    which does not tell it.
    """

    queue: str
    messages: int
    oldest: float | None


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker that sent a heartbeat: how many messages are in work (`active`) and how many are
    `done` since it started, and the queues that it serves."""

    name: str
    pid: int
    active: int
    done: int
    queues: tuple[str, ...] = QUEUES


@dataclass(frozen=True, slots=True)
class BrokerState:
    """The queues that workers serve, the queue of the dead letters, and the workers by name.

    A queue that does not exist yet is empty.
    """

    queues: tuple[QueueState, ...]
    dead: QueueState
    workers: tuple[WorkerState, ...]

    @property
    def waiting(self) -> int:
        """Messages that wait in all queues that workers serve."""
        return sum(queue.messages for queue in self.queues)

    def serving(self, queue: str) -> int:
        """How many workers serve a queue."""
        return sum(queue in worker.queues for worker in self.workers)


def read_state(app: Celery, *, timeout: float, listen: float = 1.5 * BEAT) -> BrokerState:
    """Count messages, then listen `listen` seconds for heartbeats; workers send one every `BEAT`.

    Raises:
        BrokerUnavailable: no answer within about `timeout` seconds.
    """
    with app.connection_for_read() as connection:
        connection.connect_timeout = timeout
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)
            queues = tuple(_queue_state(connection, name) for name in QUEUES)
            dead = _queue_state(connection, DEAD)
            return BrokerState(queues, dead, _listen(app, connection, listen))
        except failures(connection) as error:
            url = addresses.shown(app.conf.broker_url)
            raise BrokerUnavailable(
                f"the broker at {url}: {error or type(error).__name__}",
                remedy="check RESOLVER_BROKER_URL and that it runs",
            ) from error


def _queue_state(connection: Any, name: str) -> QueueState:
    # A channel of its own: RabbitMQ closes it where there is no such queue.
    channel = connection.channel()
    try:
        declared = Queue(name, channel=channel).queue_declare(passive=True)
    except connection.channel_errors:
        return QueueState(name, 0, None)
    messages = declared.message_count
    oldest = None
    client = getattr(channel, "client", None)
    if messages and client is not None:
        # Redis: a list, to which messages are added on the left.
        oldest = _age(client.lindex(name, -1))
    channel.close()
    return QueueState(name, messages, oldest)


def _age(message: bytes | None) -> float | None:
    """Seconds since a message was sent; None where it does not say. Anybody may have written it, so
    it may be anything."""
    if message is None:
        return None
    try:
        sent = json.loads(message)["headers"][SENT_AT]
        return max(0.0, time.time() - float(sent))
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None


def _listen(app: Celery, connection: Any, seconds: float) -> tuple[WorkerState, ...]:
    workers: dict[tuple[str, int], WorkerState] = {}

    def hear(event: Mapping[str, Any]) -> None:
        name, pid = str(event.get("hostname")), int(event.get("pid") or 0)
        if event.get("type") == "worker-offline":
            workers.pop((name, pid), None)
        else:
            workers[name, pid] = WorkerState(
                name,
                pid,
                int(event.get("active") or 0),
                int(event.get(DONE) or 0),
                # A worker that does not say is taken to serve all queues: no alarm for that.
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
    return tuple(sorted(workers.values(), key=lambda worker: (worker.name, worker.pid)))
