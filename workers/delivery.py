"""A delivery from its arrival to its end: done, divided, given back, or a dead letter.

What fails a chunk is one of three:

- *The message itself*: it cannot be read, or asks for what makes no sense. It becomes a dead
  letter.
- *Something else that is known*: a service that stayed away, a database that takes no writes, a
  grant, a model or an index that is missing. The message goes back to its queue as if nobody had
  taken it, and the worker stops and says why: every other message would fare alike.
- *Anything else*, a mistake in the code or a string that it cannot bear. Nobody knows what it did
  to the process, so that ends, and the message goes back as that of any process that died: it is
  done in parts then (`resolver.workers.poison`), and what fails alone, each time in a new process,
  becomes a dead letter in the end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

from celery import Celery, Task, bootsteps
from celery.exceptions import Ignore, Reject, Retry, Terminated, WorkerLostError
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer.connection import Connection as ConsumerConnection
from celery.worker.request import Request
from kombu import Message, Queue
from kombu.exceptions import OperationalError

from resolver.errors import IntakeError, MessageError, PairError, PolicyError, ResolverError
from resolver.workers import poison, telemetry
from resolver.workers.broker import CONFIRM_TIMEOUT
from resolver.workers.client import SENT_AT
from resolver.workers.opening import exit_code
from resolver.workers.poison import DELIVERY_LIMIT, Poisonous
from resolver.workers.queues import QUEUES, dead_queue

logger = get_logger(__name__)

BROKER_RETRIES = {"max_retries": 10, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 2}
"""For what a worker itself sends; some 15 s, and the time of each attempt."""

OF_THE_MESSAGE = (IntakeError, MessageError, PolicyError, Poisonous)
"""Faults of a message itself: nobody can do it, now or later."""

MOST_DEATHS = 10
"""Processes that may die one after the other without a message being done in between; then it is
no string's doing, which costs six at most, and the worker stops."""


class Buried(Exception):
    """A message that becomes a dead letter; the argument says why. One string, so that it comes
    whole from the process of the chunk to its parent."""


class GivenBack(Exception):
    """A message that goes back because its worker cannot work: (what is wrong, the exit code)."""


class ChunkRequest(Request):  # type: ignore[misc]
    """A delivery, as the worker's parent sees it."""

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Keep or give back the message before it is acknowledged."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        match error:
            case GivenBack(args=(problem, code)):
                self._give_back()
                _stop(problem, code)
            case WorkerLostError() if self.task.acks_late:
                # It goes back to its queue, counted.
                deaths = telemetry.count_death()
                if deaths >= MOST_DEATHS:
                    _stop(
                        f"{deaths} processes died one after the other, and no message was done in "
                        "between",
                        os.EX_SOFTWARE,
                    )
            case Exception() if not isinstance(error, _NO_FAILURE):
                self._bury(str(error) if isinstance(error, Buried) else _told(error))
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """One that was acknowledged when it began is not delivered again; it leaves a letter."""
        if not soft and not self.task.acks_late:
            self._bury(f"not done after {timeout:.0f} s")
        super().on_timeout(soft, timeout)

    def _bury(self, problem: str) -> None:
        logger.error("message %s of %s becomes a dead letter: %s", self.id, self.name, problem)
        try:
            bury(self.app, self.message, problem)
        except (OperationalError, OSError, *self._connection_errors) as broken:
            logger.error("no dead letter could be written, the message goes back: %s", broken)
            self.reject(requeue=True)

    def _give_back(self) -> None:
        """As if nobody had taken it: RabbitMQ counts what is merely rejected as a delivery."""
        queue = str((self.message.delivery_info or {}).get("routing_key"))
        if not (self.app.amqp_broker and queue in QUEUES):
            self.reject(requeue=True)
            return
        headers = poison.unlabelled(self.message.headers)
        try:
            forward(self.app, self.message, self.app.amqp.queues[queue], headers)
        except (OperationalError, OSError, *self._connection_errors) as broken:
            logger.error("the message goes back as delivered once: %s", broken)
            self.reject(requeue=True)
        else:
            self.acknowledge()


_NO_FAILURE = (Terminated, Ignore, Reject, Retry, MemoryError)


def _stop(problem: str, code: int) -> None:
    """Let the chunks in hand be done, take no other, and end with this exit code."""
    if state.should_stop in (None, False):
        logger.critical("the worker stops: %s", problem)
        state.should_stop = code


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


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
            b"" if message.body is None else message.body,
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
    throws = (Buried, GivenBack)
    """What is logged by the parent, with what it does about it."""

    def apply_async(
        self, args: Any = None, kwargs: Any = None, *others: Any, **options: Any
    ) -> Any:
        """Send it, with the time in its headers."""
        headers = {SENT_AT: time.time()} | (options.pop("headers", None) or {})
        return super().apply_async(args, kwargs, *others, headers=headers, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Called in the child for each delivery.

        Raises:
            Buried: the message becomes a dead letter.
            GivenBack: it goes back to its queue, and the worker stops.
        """
        if self.request.called_directly:
            return self.run(*args, **kwargs)
        if not self.acks_late:
            try:
                answer = self.run(*args, **kwargs)
                telemetry.message_done()
                return answer
            except Exception as error:
                # It was acknowledged when it began, and goes nowhere else.
                logger.exception("%s failed", self.name)
                raise Buried(_told(error)) from error
        earlier = self._begun()
        try:
            answer = self._deliver(args, kwargs, earlier)
            telemetry.message_done()
            return answer
        except (Ignore, Reject, Retry):
            raise
        except OF_THE_MESSAGE as error:
            raise Buried(_told(error)) from error
        except MemoryError:
            # Nothing is sure in this process any more, and Celery would end its parent.
            _end("out of memory")
        except PairError as error:
            self._fail(error, args, earlier)
        except ResolverError as error:
            raise GivenBack(str(error), exit_code(error)) from error
        except Exception as error:  # noqa: BLE001 - ends the process, or is raised again
            self._fail(error, args, earlier)
        finally:
            self._ended()

    def _deliver(self, args: Any, kwargs: Any, earlier: int) -> Any:
        try:
            self.__header__(*args, **kwargs)
        except TypeError as error:
            raise MessageError(f"the arguments do not fit: {error}") from error
        if earlier > DELIVERY_LIMIT:
            raise Poisonous(f"its process died {earlier} times")
        if earlier and (parts := poison.parts(args)):
            self._divide(parts, kwargs, earlier)
            return None
        return self.run(*args, **kwargs)

    def _fail(self, error: Exception, args: Any, earlier: int) -> NoReturn:
        """End the process, for another one to try; once enough have, it is the message's doing."""
        if earlier >= DELIVERY_LIMIT and not poison.parts(args):
            raise Buried(f"{_told(error)} (in each of {earlier + 1} processes)") from error
        telemetry.failed(error)
        _end("an error that nobody foresaw", error)

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
        try:
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
        except (OperationalError, OSError) as error:
            # The parent waits for the broker.
            raise Reject(f"its parts could not be sent: {error}", requeue=True) from error


def _end(problem: str, error: BaseException | None = None) -> NoReturn:
    """End this process; its message goes back to its queue, and another process takes its place."""
    logger.critical("%s; the process ends and its message goes back", problem, exc_info=error)
    os._exit(os.EX_SOFTWARE)


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
