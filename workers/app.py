"""The Celery application and how it is started.

``celery -A resolver.workers.app worker`` reads the settings from the environment, as ``resolver
worker`` does. How a message is handled is in `resolver.workers.delivery`, what a process opens
before it takes one in `resolver.workers.process`.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack

from celery import Celery
from celery.app.amqp import AMQP

from resolver.errors import BrokerUnavailable, ResolverError, SettingsError
from resolver.settings import Settings, load_settings
from resolver.workers import broker, telemetry
from resolver.workers.broker import CONNECT_TIMEOUT
from resolver.workers.delivery import ChunkTask, DeadLetters
from resolver.workers.envelopes import Connection
from resolver.workers.process import START_LIMIT, ServiceStep, exit_code
from resolver.workers.queues import EXCHANGE, QUEUES, queues
from resolver.workers.scorer import scorer

log = logging.getLogger(__name__)

TIME_LIMIT = 20 * 60
"""Seconds that a chunk may take, with waiting for services: less than RabbitMQ's own limit of 30
minutes for an acknowledgement (``consumer_timeout``)."""

VISIBILITY_TIMEOUT = TIME_LIMIT + 10 * 60
"""Seconds after which a message of a worker that vanished is delivered again on Redis."""


class Messaging(AMQP):  # type: ignore[misc]
    """Celery's, with connections that read anything in a list on Redis as a message."""

    Connection = Connection


def create_app(settings: Settings, *, broker_url: str | None = None) -> Celery:
    """The application for these settings; it connects to nothing yet.

    `broker_url` is the URL of an embedded broker (`resolver.workers.broker.address`); without it
    `settings.broker_url` is used.

    Raises:
        BrokerUnavailable: neither is set.
        SettingsError: the broker is neither RabbitMQ nor Redis.
    """
    if broker_url is None:
        if settings.broker_url is None:
            raise BrokerUnavailable(
                "no message broker is set", remedy="set RESOLVER_BROKER_URL to amqp:// or redis://"
            )
        broker_url = settings.broker_url.get_secret_value()
    amqp = broker.is_amqp(broker_url)
    app = Celery(
        "affiliation-resolver",
        broker=broker_url,
        amqp=Messaging,
        task_cls=ChunkTask,
        log=telemetry.Logs,
        set_as_current=False,
    )
    app.conf.update(
        include=["resolver.workers.tasks"],
        accept_content=["json"],
        task_serializer="json",
        task_queues=queues(amqp=amqp),
        task_default_queue="bulk",
        task_default_exchange=EXCHANGE,
        task_default_routing_key="bulk",
        task_create_missing_queues=False,
        task_ignore_result=True,
        # A message is acknowledged when its chunk is stored, not before.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # By then `ChunkRequest` has made it a dead letter.
        task_acks_on_failure=True,
        # It is delivered again, and counted: a chunk that is too slow is done in parts.
        task_acks_on_timeout=False,
        task_time_limit=TIME_LIMIT,
        worker_consumer="resolver.workers.delivery:ChunkConsumer",
        worker_pool="prefork",
        worker_pool_start_method="fork",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=START_LIMIT,
        # On RabbitMQ its queue is exclusive and named by the machine: a second worker of the
        # machine could not start. On Redis its subscription notices a lost connection while a
        # chunk is in work; without it a worker would wait for ever to take the next message.
        worker_enable_remote_control=not amqp,
        worker_hijack_root_logger=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_timeout=CONNECT_TIMEOUT,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(amqp=amqp),
        broker_use_ssl=broker.tls(settings, broker_url),
    )
    app.settings = settings
    app.amqp_broker = amqp
    app.steps["worker"].add(ServiceStep)
    app.steps["worker"].add(telemetry.Telemetry)
    app.steps["consumer"].add(DeadLetters)
    return app


def _transport_options(*, amqp: bool) -> dict[str, object]:
    options = broker.transport_options(amqp=amqp)
    if not amqp:
        options |= {
            "visibility_timeout": VISIBILITY_TIMEOUT,
            # Look for messages of vanished workers every `unacked_restore_interval` (10 s), not
            # only every tenth time.
            "unacked_restore_throttle": 1,
        }
    return options


def run_worker(
    settings: Settings,
    *,
    queues: Sequence[str] = QUEUES,
    concurrency: int = 1,
    log_level: str = "INFO",
    with_scorer: bool = False,
) -> int:
    """Run a worker until it is stopped; returns its exit code.

    Without a broker URL it runs on the embedded Redis under `settings.home`. `with_scorer` starts a
    scorer beside it, which computes the reranker for all of its processes.

    Raises:
        SettingsError: a queue that does not exist, or two scorers.
    """
    if unknown := sorted(set(queues) - set(QUEUES)):
        raise SettingsError(
            f"no such queue: {', '.join(unknown)}", remedy=f"choose from {', '.join(QUEUES)}"
        )
    if with_scorer and settings.scorer is not None:
        raise SettingsError(
            "this worker is to start a scorer, and RESOLVER_SCORER names another one",
            remedy="use one of them",
        )
    with ExitStack() as opened:
        if with_scorer:
            try:
                settings = opened.enter_context(scorer(settings))
            except ResolverError as error:
                log.critical("the worker stops: %s", error)
                return exit_code(error)
        url = opened.enter_context(broker.address(settings))
        worker = create_app(settings, broker_url=url).Worker(
            queues=list(queues),
            concurrency=concurrency,
            loglevel=log_level,
            # The banner is for people.
            quiet=settings.log_format == "json",
            without_gossip=True,
            without_mingle=True,
        )
        worker.start()
        return int(worker.exitcode or os.EX_OK)


def __getattr__(name: str) -> Celery:
    """``app``, made when it is first used: importing this module needs no settings."""
    if name != "app":
        raise AttributeError(name)
    settings = load_settings()
    embedded = ExitStack()
    # The embedded broker, where there is one, runs as long as this process.
    atexit.register(embedded.close)
    app = create_app(settings, broker_url=embedded.enter_context(broker.address(settings)))
    globals()["app"] = app
    return app
