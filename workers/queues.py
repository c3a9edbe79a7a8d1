"""The queues: those that workers read, and that of the dead letters."""

from __future__ import annotations

from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError

from resolver.workers.poison import DELIVERY_LIMIT

QUEUES = ("interactive", "bulk", "registry", "refresh")
"""Interactive and bulk chunks, updates of the registry, and what an update made due: give each its
own workers."""

DEAD = "dead"
"""Where the messages of failed tasks wait for a person; no worker reads it."""

EXCHANGE = "resolver"
_DEAD_EXCHANGE = "resolver.dead"


def queues(*, amqp: bool) -> tuple[Queue, ...]:
    """The queues that workers read; on RabbitMQ replicated ones that count deliveries."""
    exchange = Exchange(EXCHANGE, type="direct", durable=True)
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": _DEAD_EXCHANGE,
        "x-dead-letter-routing-key": DEAD,
        # A failed message stays until the dead letter queue has it; needs this overflow.
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
    """Where failed messages end up. Kept out of `queues`, lest a worker consume it."""
    return Queue(
        DEAD,
        exchange=Exchange(_DEAD_EXCHANGE, type="direct", durable=True),
        routing_key=DEAD,
        durable=True,
        queue_arguments={"x-queue-type": "quorum"} if amqp else None,
    )


def failures(connection: Connection) -> tuple[type[Exception], ...]:
    """What a broker that is away, or that refuses, makes of this connection."""
    return (
        OperationalError,
        OSError,
        *connection.connection_errors,
        *connection.channel_errors,
    )
