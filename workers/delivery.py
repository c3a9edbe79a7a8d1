"""A delivery from its arrival to its end: done, divided, delivered again, or a dead letter."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

from celery import Celery, Task, bootsteps
from celery.exceptions import Ignore, Reject, Retry, Terminated, WorkerLostError
from celery.utils.log import get_logger
from celery.worker.consumer import Consumer
from celery.worker.consumer.connection import Connection as ConsumerConnection
from celery.worker.request import Request
from kombu import Message, Queue
from kombu.exceptions import OperationalError

from resolver.workers import poison
from resolver.workers.poison import DELIVERY_LIMIT
from resolver.workers.queues import QUEUES, dead_queue

logger = get_logger(__name__)

BROKER_RETRIES = {"max_retries": 10, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 2}
"""For what a worker itself sends; some 15 s, and the time of each attempt."""

CONFIRM_TIMEOUT = 30
"""Seconds to wait for RabbitMQ to confirm a message: it withholds that when it runs full."""


class ChunkRequest(Request):  # type: ignore[misc]
    """A delivery, as the worker's parent sees it: one that fails becomes a dead letter."""

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Keep the message before it is acknowledged, as it came and with the error.

        That of a process that died goes back to its queue instead.
        """
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if (
            self.task.acks_late
            and isinstance(error, Exception)
            and not isinstance(error, _NO_FAILURE)
        ):
            try:
                bury(self.app, self.message, f"{type(error).__name__}: {error}")
            except (OperationalError, OSError, *self._connection_errors) as broken:
                logger.error("no dead letter could be written, the message goes back: %s", broken)
                self.reject(requeue=True)
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)


_NO_FAILURE = (WorkerLostError, Terminated, Ignore, Reject, Retry, MemoryError)


def bury(
    app: Celery,
    message: Message,
    error: str,
    *,
    queue: str | None = None,
    failed_at: datetime | None = None,
) -> None:
    """Put a message among the dead letters; returns when the broker has it there.

    Raises:
        OperationalError: the broker does not answer.
    """
    if queue is None:
        queue = str((message.delivery_info or {}).get("routing_key") or "")
    forward(
        app,
        message,
        dead_queue(amqp=app.amqp_broker),
        poison.labelled(message.headers, queue=queue, error=error, failed_at=failed_at),
    )


def forward(app: Celery, message: Message, queue: Queue, headers: dict[str, Any]) -> None:
    """Send a message as it is to a queue; returns when the broker has it there.

    Raises:
        OperationalError: the broker does not answer.
    """
    known = message.properties or {}
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(
            message.body,
            # By the queue's name: on Redis a binding is data, which may be flushed, and what an
            # exchange cannot route is dropped.
            exchange="",
            routing_key=queue.name,
            declare=[queue],
            headers=headers,
            content_type=message.content_type or "application/data",
            content_encoding=message.content_encoding or "binary",
            correlation_id=known.get("correlation_id") or "",
            delivery_mode=2,
            retry=True,
            retry_policy=BROKER_RETRIES,
            confirm_timeout=CONFIRM_TIMEOUT,
        )


class ChunkTask(Task):  # type: ignore[misc]
    """A task that is begun a bounded number of times, and in parts once its process died."""

    Request = ChunkRequest

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Called in the child for each delivery.

        Raises:
            Poisonous: its process died each time; the message becomes a dead letter.
        """
        if self.request.called_directly or not self.acks_late:
            return self.run(*args, **kwargs)
        earlier = self._begun()
        try:
            if earlier > DELIVERY_LIMIT:
                raise poison.Poisonous(f"its process died {earlier} times")
            if earlier and (parts := poison.parts(args)):
                self._divide(parts, kwargs, earlier)
                return None
            return self.run(*args, **kwargs)
        except MemoryError:
            # Nothing is sure in this process any more, and Celery would end its parent.
            logger.critical("out of memory; the process ends and its message goes back")
            os._exit(os.EX_SOFTWARE)
        finally:
            self._ended()

    def _begun(self) -> int:
        """How often the message was delivered before and its process died."""
        if self.app.amqp_broker:
            # Kept by quorum queues.
            return int((self.request.headers or {}).get("x-delivery-count") or 0)
        return self._on_redis(poison.begun) or 0

    def _ended(self) -> None:
        if not self.app.amqp_broker:
            self._on_redis(poison.ended)

    def _on_redis(self, action: Callable[[Any, str], int | None]) -> int | None:
        tag = (self.request.properties or {}).get("delivery_tag") or self.request.id
        with self.app.connection_or_acquire() as connection:
            try:
                connection.ensure_connection(**BROKER_RETRIES)
                return action(connection.default_channel.client, poison.counted(str(tag)))
            except (OperationalError, *connection.connection_errors) as error:
                # One delivery is not counted; the others are.
                logger.warning("Redis does not answer, a delivery is not counted: %s", error)
                return None

    def _divide(self, parts: list[list[Any]], kwargs: Any, earlier: int) -> None:
        """Send the parts to the queue that the chunk came from. Done twice it does no harm."""
        logger.warning(
            "delivered %d times before and not finished: goes on as %d messages",
            earlier,
            len(parts),
        )
        queue = (self.request.delivery_info or {}).get("routing_key")
        for arguments in parts:
            self.apply_async(
                arguments,
                kwargs,
                queue=queue if queue in QUEUES else "bulk",
                retry_policy=BROKER_RETRIES,
                confirm_timeout=CONFIRM_TIMEOUT,
                argsrepr=f"({len(arguments[0])} records)",
                kwargsrepr=repr(kwargs)[:200],
            )


class ChunkConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer without the 28 queues in which it would delay messages on RabbitMQ, and
    with a place for messages that are no tasks.

    Nothing here is delayed: a task waits for a missing service with its message in hand.
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        default_steps = tuple(
            step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        )

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Message], None]:
        handle = super().create_task_handler(*args, **kwargs)

        def on_message(message: Message) -> None:
            problem = poison.malformed(message)
            if problem is None:
                handle(message)
            else:
                self._bury(message, problem)

        return on_message

    # What Celery would acknowledge or drop

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        self._bury(message, f"the body cannot be read: {exc}")

    def on_unknown_message(self, body: Any, message: Message) -> None:  # noqa: ARG002
        self._bury(message, "not a task message")

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002
        self._bury(message, f"no such task: {message.headers['task']}")

    def on_invalid_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002
        self._bury(message, str(exc))

    def _bury(self, message: Message, problem: str) -> None:
        logger.error("a message is no task and becomes a dead letter: %s", problem)
        bury(self.app, message, problem)
        message.ack_log_error(logger, self.connection_errors)


class DeadLetters(bootsteps.StartStopStep):  # type: ignore[misc]
    """Declares the dead letter queue at every connection: RabbitMQ drops what it cannot route."""

    requires = (ConsumerConnection,)

    def start(self, parent: Any) -> None:
        dead_queue(amqp=parent.app.amqp_broker)(parent.connection.default_channel).declare()
