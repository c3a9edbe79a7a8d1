"""The Celery application: queues, delivery guarantees, and a service opened once a process.

``celery -A workers.app worker`` reads the settings from the environment; ``resolver worker`` does
the same. The pool is prefork. Models, index and database connections are opened in the child,
after the fork: a parent that has computed hands its child locked threads and it hangs.

A worker takes no message before every child has opened its `Service`. When one cannot, at the
start or later, the worker stops with the reason and an exit code other than 0, so that no message
fails for a cause that is not its own.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any, NoReturn

from celery import Celery, Task, bootsteps, signals
from celery.exceptions import (
    Ignore,
    Reject,
    Retry,
    Terminated,
    WorkerLostError,
    WorkerShutdown,
)
from celery.utils.log import current_process_index, get_logger
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer.connection import Connection as ConsumerConnection
from celery.worker.request import Request
from kombu import Exchange, Message, Queue
from kombu.exceptions import OperationalError
from kombu.utils.url import parse_url

from resolver import trust
from resolver.addresses import is_plain
from resolver.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    IndexUnavailable,
    RerankerUnavailable,
    ResolverError,
    SettingsError,
)
from resolver.service import Service, broker
from resolver.settings import Settings, load_settings
from workers import poison, telemetry
from workers.placement import placed
from workers.poison import DELIVERY_LIMIT

logger = get_logger(__name__)

QUEUES = ("interactive", "bulk", "registry", "refresh")
"""Interactive and bulk chunks, updates of the registry, and what an update made due: give each its
own workers."""

DEAD = "dead"
"""Where the messages of failed tasks wait for a person; no worker reads it."""

TRANSIENT = (DatabaseUnavailable, IndexUnavailable, RerankerUnavailable)
"""What passes when it is waited for."""

TIME_LIMIT = 20 * 60
"""Seconds a chunk may take, waiting for services included: under RabbitMQ's own limit of 30
minutes for an acknowledgement (``consumer_timeout``)."""

VISIBILITY_TIMEOUT = TIME_LIMIT + 10 * 60
"""Seconds after which Redis gives a message of a vanished worker to another one."""

START_LIMIT = 10 * 60
"""Seconds a child may take to open its service. Celery's own 4 would kill one that reads a model
from a slow disk."""

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for one connection to the broker."""


def create_app(settings: Settings, *, broker_url: str | None = None) -> Celery:
    """The application for these settings; connects to nothing.

    `broker_url` is where an embedded broker listens (`resolver.service.broker`); without it
    `settings.broker_url` is used.

    Raises:
        BrokerUnavailable: neither names a broker.
        SettingsError: a broker that is neither RabbitMQ nor Redis.
    """
    if broker_url is None:
        if settings.broker_url is None:
            raise BrokerUnavailable(
                "no message broker is set", remedy="set RESOLVER_BROKER_URL to amqp:// or redis://"
            )
        broker_url = settings.broker_url.get_secret_value()
    scheme, separator, _ = broker_url.partition("://")
    if scheme not in _AMQP | _REDIS:
        # Without a scheme the text may begin with a password.
        problem = f"{scheme!r} is no broker known here" if separator else "not a URL"
        raise SettingsError(
            f"RESOLVER_BROKER_URL: {problem}",
            remedy="use RabbitMQ (amqp://) or Redis (redis://)",
        )
    if not _is_readable(broker_url):
        raise SettingsError(
            "RESOLVER_BROKER_URL cannot be read",
            remedy="write it as amqp://user:password@host:5672//, with what is no letter and no "
            "digit in percent-encoding",
        )
    amqp = scheme in _AMQP
    app = Celery(
        "affiliation-resolver",
        broker=broker_url,
        task_cls=ChunkTask,
        log=telemetry.Logs,
        set_as_current=False,
    )
    app.conf.update(
        include=["workers.tasks"],
        accept_content=["json"],
        task_serializer="json",
        task_queues=queues(amqp=amqp),
        task_default_queue="bulk",
        task_default_exchange=_EXCHANGE,
        task_default_routing_key="bulk",
        task_create_missing_queues=False,
        task_ignore_result=True,
        # A message is gone only when its chunk is stored.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # `ChunkRequest` has put it among the dead letters by then.
        task_acks_on_failure=True,
        # Deliveries are counted; a chunk that is too slow is done in parts.
        task_acks_on_timeout=False,
        task_time_limit=TIME_LIMIT,
        worker_consumer="workers.app:ChunkConsumer",
        worker_pool="prefork",
        worker_pool_start_method="fork",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=START_LIMIT,
        # On RabbitMQ its queue is one worker's alone, and by the machine's name: a second worker of
        # the machine could not start. On Redis its subscription is what notices a lost connection
        # while a chunk is in hand; without it a worker waits for ever for room to take the next.
        worker_enable_remote_control=not amqp,
        worker_hijack_root_logger=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_timeout=CONNECT_TIMEOUT,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(amqp=amqp),
        broker_use_ssl=trust.broker_options(
            scheme,
            ca_file=settings.ca_file,
            certificate=settings.broker_certificate,
            key=settings.broker_key,
        )
        or False,
    )
    app.settings = settings
    app.amqp_broker = amqp
    app.steps["worker"].add(ServiceWatch)
    app.steps["worker"].add(telemetry.Telemetry)
    app.steps["consumer"].add(DeadLetters)
    return app


def _is_readable(url: str) -> bool:
    """Whether the parts of a broker's URL, or of each of several, can be told apart."""
    try:
        return all(
            # Of a socket kombu reads the query by itself.
            is_plain(one) and (one.startswith("redis+socket:") or parse_url(one))
            for one in url.split(";")
        )
    except (KeyError, TypeError, ValueError):
        # What they say may quote a password.
        return False


_AMQP = frozenset({"amqp", "amqps", "pyamqp"})
_REDIS = frozenset({"redis", "rediss", "redis+socket", "sentinel"})

_EXCHANGE = "resolver"
_DEAD_EXCHANGE = "resolver.dead"


def queues(*, amqp: bool) -> tuple[Queue, ...]:
    """The queues that workers read; on RabbitMQ replicated ones that count deliveries."""
    exchange = Exchange(_EXCHANGE, type="direct", durable=True)
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


def _transport_options(*, amqp: bool) -> dict[str, object]:
    if amqp:
        return {"confirm_publish": True}
    return {
        "visibility_timeout": VISIBILITY_TIMEOUT,
        # Sweep for messages of vanished workers every `unacked_restore_interval` (10 s), not
        # every tenth time.
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": CONNECT_TIMEOUT,
    }


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
            exchange=queue.exchange,
            routing_key=queue.routing_key,
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


# The service of this process


_service: Service | None = None


def service() -> Service:
    """The service that this worker process opened."""
    if _service is None:
        raise RuntimeError("no service: this is not a worker process")
    return _service


class ServiceWatch(bootsteps.StartStopStep):  # type: ignore[misc]
    """Opens the service in each child and waits for it before the worker takes messages.

    Celery logs what an initialiser of a child raises and goes on, and a child that exits is
    replaced for ever. So each child tells its parent through a pipe how it went.
    """

    requires = ("celery.worker.components:Pool", telemetry.Telemetry)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._reports, self._report = os.pipe()
        self._opened = ExitStack()
        self._settings: Settings = parent.app.settings
        self._processes: int = parent.concurrency
        if not parent.pool_cls.__module__.endswith("prefork"):
            raise SystemExit("this worker needs the prefork pool (-P prefork)")
        signals.worker_process_init.connect(self._open, weak=False)
        signals.worker_process_shutdown.connect(self._close, weak=False)

    # In the child

    def _open(self, **_: Any) -> None:
        global _service
        try:
            # A process that replaces another one has its place.
            settings = placed(self._settings, current_process_index(base=0), self._processes)
            logger.info("device %s, threads %s", settings.device or "-", settings.threads or "-")
            _service = self._opened.enter_context(Service.open(settings))
        except ResolverError as error:
            self._give_up(str(error), _exit_code(error))
        except Exception as error:
            logger.exception("the service cannot be opened")
            self._give_up(f"{type(error).__name__}: {error}", os.EX_SOFTWARE)
        self._tell()

    def _give_up(self, problem: str, exit_code: int) -> NoReturn:
        self._opened.close()
        self._tell(problem, exit_code)
        os._exit(exit_code)

    def _tell(self, problem: str | None = None, exit_code: int = os.EX_OK) -> None:
        report = {"pid": os.getpid(), "problem": problem and problem[:500], "exit_code": exit_code}
        # One write of at most PIPE_BUF (4096) bytes is whole, whoever else writes.
        os.write(self._report, json.dumps(report).encode() + b"\n")

    def _close(self, **_: Any) -> None:
        self._opened.close()

    # In the parent

    def start(self, parent: Any) -> None:
        """Wait until every child is ready; stop the worker when one is not."""
        waiting = set(parent.pool.info["processes"])
        deadline = time.monotonic() + START_LIMIT
        while waiting:
            state.maybe_shutdown()
            for report in self._read(timeout=0.5):
                if report["problem"]:
                    _stop(report["problem"], report["exit_code"])
                waiting.discard(report["pid"])
            for pid in waiting:
                # WNOWAIT: the pool itself collects its children.
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    # A last look: the report may have come since.
                    for report in self._read(timeout=0):
                        if report["problem"]:
                            _stop(report["problem"], report["exit_code"])
                    _stop(f"process {pid} died while it opened its service", os.EX_SOFTWARE)
            if time.monotonic() > deadline:
                _stop(f"no service after {START_LIMIT} s", os.EX_UNAVAILABLE)
        logger.info("models, index and database are open")

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:  # noqa: ARG002
        hub.add_reader(self._reports, self._on_report)

    def _on_report(self) -> None:
        # A child that replaced another one; SystemExit passes through the event loop.
        for report in self._read(timeout=0):
            if report["problem"]:
                _stop(report["problem"], report["exit_code"])

    def _read(self, *, timeout: float) -> list[dict[str, Any]]:
        if not select.select([self._reports], [], [], timeout)[0]:
            return []
        # Writes are whole and far smaller than this, so lines are too.
        return [json.loads(line) for line in os.read(self._reports, 65536).splitlines()]


def _stop(problem: str, exit_code: int) -> NoReturn:
    logger.critical("the worker stops: %s", problem)
    raise WorkerShutdown(exit_code)


def _exit_code(error: ResolverError) -> int:
    """From sysexits.h: whether to wait for a service or to mend the installation."""
    if isinstance(error, TRANSIENT):
        return os.EX_UNAVAILABLE
    return os.EX_CONFIG


# Entrances


def run_worker(
    settings: Settings,
    *,
    queues: Sequence[str] = QUEUES,
    concurrency: int = 1,
    log_level: str = "INFO",
) -> int:
    """Run a worker until it is stopped; returns its exit code.

    Without a broker URL it runs on the embedded Redis under `settings.home`.

    Raises:
        SettingsError: a queue that does not exist.
    """
    if unknown := sorted(set(queues) - set(QUEUES)):
        raise SettingsError(
            f"no such queue: {', '.join(unknown)}", remedy=f"choose from {', '.join(QUEUES)}"
        )
    with broker(settings) as url:
        worker = create_app(settings, broker_url=url).Worker(
            queues=list(queues),
            concurrency=concurrency,
            loglevel=log_level,
            # The banner is for a person.
            quiet=settings.log_format == "json",
            without_gossip=True,
            without_mingle=True,
        )
        worker.start()
        return int(worker.exitcode or os.EX_OK)


def __getattr__(name: str) -> Celery:
    """``workers.app.app``, made when it is asked for: importing this module needs no settings."""
    if name != "app":
        raise AttributeError(name)
    settings = load_settings()
    embedded = ExitStack()
    # The embedded broker, where there is one, runs as long as this process.
    atexit.register(embedded.close)
    app = create_app(settings, broker_url=embedded.enter_context(broker(settings)))
    globals()["app"] = app
    return app
