"""The queues that workers serve, and the queue of the dead letters."""

from __future__ import annotations

from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError

from resolver.workers.poison import DELIVERY_LIMIT

QUEUES = ("interactive", "bulk", "registry", "refresh")
"""Chunks of people who wait, chunks of bulk loads, updates of the registry, and answers that are
due. Each may have workers of its own."""

DEAD = "dead"
"""The queue of messages that failed; no worker serves it: somebody has to look at them."""

EXCHANGE = "resolver"
_DEAD_EXCHANGE = "resolver.dead"


def queues(*, amqp: bool) -> tuple[Queue, ...]:
    """The queues that workers serve; on RabbitMQ they are quorum queues, which count deliveries."""
    exchange = Exchange(EXCHANGE, type="direct", durable=True)
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": _DEAD_EXCHANGE,
        "x-dead-letter-routing-key": DEAD,
        # A message stays until the dead letter queue has it; this needs the overflow below.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return tuple(
        Queue(
            name,
            exchange=exchange,
            routing_key=name,
            durable=True,
            queue_arguments=arguments if amqp else None,
        )
        for name in QUEUES
    )


def dead_queue(*, amqp: bool) -> Queue:
    """The queue of the dead letters. It is not among `queues`, so no worker consumes it."""
    return Queue(
        DEAD,
        exchange=Exchange(_DEAD_EXCHANGE, type="direct", durable=True),
        routing_key=DEAD,
        durable=True,
        queue_arguments={"x-queue-type": "quorum"} if amqp else None,
    )


def failures(connection: Connection) -> tuple[type[Exception], ...]:
    """The exceptions of a connection whose broker does not answer, or refuses."""
    return (
        OperationalError,
        OSError,
        *connection.connection_errors,
        *connection.channel_errors,
    )
