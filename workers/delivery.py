"""What happens to a message that is delivered: it is done, split, put back, or a dead letter.

A chunk fails for one of three causes:

- *The message itself*: it cannot be read, or makes no sense. It becomes a dead letter.
- *A known cause outside of it*: a service that does not answer, a database that takes no writes, a
  missing grant, model or index. The message goes back to its queue as if it had never been
  delivered, and the worker stops with the reason: every other message would fail in the same way.
- *Anything else*: a mistake in the code, or a string that it cannot handle. The process may be
  damaged, so it ends, and the message goes back as that of any process that died: next time it is
  split (`resolver.workers.poison`). A record that fails alone, each time in a new process, becomes
  a dead letter in the end.
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

from resolver.database import jobs
from resolver.errors import IntakeError, MessageError, PairError, PolicyError, ResolverError
from resolver.workers import poison, telemetry
from resolver.workers.broker import CONFIRM_TIMEOUT
from resolver.workers.client import RESOLVE_CHUNK, SENT_AT
from resolver.workers.poison import DELIVERY_LIMIT, PoisonMessage
from resolver.workers.process import exit_code, service
from resolver.workers.queues import QUEUES, dead_queue

logger = get_logger(__name__)

BROKER_RETRIES = {"max_retries": 10, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 2}
"""For messages that a worker itself sends: some 15 s, and the time of each attempt."""

OF_THE_MESSAGE = (IntakeError, MessageError, PolicyError, PoisonMessage)
"""Faults of a message itself: it can never be done."""

MOST_DEATHS = 10
"""Processes that may die one after the other without a message being done in between. A single
string kills six at most; so after these the cause is another one, and the worker stops."""


class Buried(Exception):
    """A message that becomes a dead letter; the argument says why. It is a single string, so that
    it can be sent from the child to its parent."""


class GivenBack(Exception):
    """A message that goes back because its worker cannot work: (what is wrong, exit code)."""


class ChunkRequest(Request):  # type: ignore[misc]
    """A delivery in the worker's parent."""

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Make the message a dead letter, or put it back, before Celery acknowledges it."""
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
                self._bury(str(error) if isinstance(error, Buried) else _error_text(error))
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """A message that was acknowledged when it began is not delivered again: make it a dead
        letter."""
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
        """Put it back as if it had never been delivered: RabbitMQ would count a rejected message as
        a delivery."""
        queue = str((self.message.delivery_info or {}).get("routing_key"))
        if not (self.app.amqp_broker and queue in QUEUES):
            self.reject(requeue=True)
            return
        headers = poison.remove_labels(self.message.headers)
        try:
            forward(self.app, self.message, self.app.amqp.queues[queue], headers)
        except (OperationalError, OSError, *self._connection_errors) as broken:
            logger.error("the message goes back as delivered once: %s", broken)
            self.reject(requeue=True)
        else:
            self.acknowledge()


_NO_FAILURE = (Terminated, Ignore, Reject, Retry, MemoryError)


def _stop(problem: str, code: int) -> None:
    """Finish the chunks in work, take no others, and end with this exit code."""
    if state.should_stop in (None, False):
        logger.critical("the worker stops: %s", problem)
        state.should_stop = code


def _error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def bury(
    app: Celery,
    message: Message,
    error: str,
    *,
    queue: str | None = None,
    failed_at: datetime | None = None,
) -> None:
    """Send a message to the dead letters; returns when the broker has confirmed it.

    Raises:
        OperationalError: the broker does not answer.
    """
    if queue is None:
        queue = str((message.delivery_info or {}).get("routing_key") or "")
    forward(
        app,
        message,
        dead_queue(amqp=app.amqp_broker),
        poison.add_labels(message.headers, queue=queue, error=error, failed_at=failed_at),
    )


def forward(app: Celery, message: Message, queue: Queue, headers: dict[str, Any]) -> None:
    """Send a message unchanged to a queue; returns when the broker has confirmed it.

    Raises:
        OperationalError: the broker does not answer.
    """
    known = message.properties or {}
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(
            b"" if message.body is None else message.body,
            # By the queue's name, not through an exchange: on Redis a binding is data that may be
            # flushed, and a message that an exchange cannot route is dropped.
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
    """A task that is begun a limited number of times, and is split once its process died."""

    Request = ChunkRequest
    throws = (Buried, GivenBack)
    """Exceptions that the parent logs, with what it does about them."""

    def apply_async(
        self, args: Any = None, kwargs: Any = None, *others: Any, **options: Any
    ) -> Any:
        """Send a message of this task, with the time in its headers."""
        headers = {SENT_AT: time.time()} | (options.pop("headers", None) or {})
        return super().apply_async(args, kwargs, *others, headers=headers, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Handle a delivery, in the child.

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
                # It was acknowledged when it began, so the broker would forget it.
                logger.exception("%s failed", self.name)
                raise Buried(_error_text(error)) from error
        earlier = self._begun()
        try:
            answer = self._deliver(args, kwargs, earlier)
            telemetry.message_done()
            return answer
        except (Ignore, Reject, Retry):
            raise
        except OF_THE_MESSAGE as error:
            self._note_dead_letter(args)
            raise Buried(_error_text(error)) from error
        except MemoryError:
            # This process may be damaged, and Celery would end its parent.
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
            raise PoisonMessage(f"its process died {earlier} times")
        if earlier and (parts := poison.split(args)):
            self._divide(parts, kwargs, earlier)
            return None
        if earlier == DELIVERY_LIMIT:
            # If its process dies again, nobody else can: RabbitMQ itself buries the message.
            self._note_dead_letter(args)
        return self.run(*args, **kwargs)

    def _fail(self, error: Exception, args: Any, earlier: int) -> NoReturn:
        """End the process, so that another one tries; after enough of them, blame the message."""
        if earlier >= DELIVERY_LIMIT and not poison.split(args):
            raise Buried(f"{_error_text(error)} (in each of {earlier + 1} processes)") from error
        telemetry.failed(error)
        _end("an error that nobody foresaw", error)

    def _note_dead_letter(self, args: Any) -> None:
        """Tell the jobs whose affiliations are in this message that they need not wait for it.

        Raises:
            GivenBack: the database does not answer; the message is tried again.
        """
        if self.name != RESOLVE_CHUNK or not args:
            return
        try:
            jobs.note_dead_letter(service().engine, args[0], self.request.id)
        except ResolverError as error:
            raise GivenBack(str(error), exit_code(error)) from error

    def _begun(self) -> int:
        """Deliveries of this message before, whose processes died."""
        if self.app.amqp_broker:
            # Quorum queues count it.
            return int((self.request.headers or {}).get("x-delivery-count") or 0)
        return self._on_redis(poison.count_delivery) or 0

    def _ended(self) -> None:
        if not self.app.amqp_broker:
            self._on_redis(poison.forget_deliveries)

    def _on_redis(self, action: Callable[[Any, str], int | None]) -> int | None:
        tag = (self.request.properties or {}).get("delivery_tag") or self.request.id
        with self.app.connection_or_acquire() as connection:
            try:
                connection.ensure_connection(**BROKER_RETRIES)
                return action(connection.default_channel.client, poison.delivery_key(str(tag)))
            except (OperationalError, *connection.connection_errors) as error:
                # This delivery is not counted; the others are.
                logger.warning("Redis does not answer, a delivery is not counted: %s", error)
                return None

    def _divide(self, parts: list[list[Any]], kwargs: Any, earlier: int) -> None:
        """Send the parts to the queue that the chunk came from; twice is harmless."""
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
    """End this process: its message goes back to its queue, and a new process replaces it."""
    logger.critical("%s; the process ends and its message goes back", problem, exc_info=error)
    os._exit(os.EX_SOFTWARE)


class ChunkConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer without its 28 queues for delayed messages on RabbitMQ. Messages that
    are no tasks become dead letters.

    No message is delayed here: a task that waits for a service keeps its message.
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

    # Messages that Celery would acknowledge or drop

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
    """Declares the dead letter queue at every connection: RabbitMQ drops messages that it cannot
    route."""

    requires = (ConsumerConnection,)

    def start(self, parent: Any) -> None:
        dead_queue(amqp=parent.app.amqp_broker)(parent.connection.default_channel).declare()
