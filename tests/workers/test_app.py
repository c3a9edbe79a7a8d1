"""What the application promises, read from its configuration; what it costs to import it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kombu import Queue
from pydantic import SecretStr
from support.paths import ROOT

from resolver.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    IndexMissing,
    RerankerUnavailable,
    SettingsError,
)
from resolver.settings import Settings
from resolver.workers.app import TIME_LIMIT, VISIBILITY_TIMEOUT, create_app, run_worker
from resolver.workers.process import exit_code, service
from resolver.workers.queues import DEAD, QUEUES


def settings(broker_url: str | None, **changes: object) -> Settings:
    secret = SecretStr(broker_url) if broker_url else None
    return Settings(_env_file=None, broker_url=secret, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["amqp://guest@localhost//", "redis://localhost/1"])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("accept_content", ["json"]),
        ("task_serializer", "json"),
        ("task_acks_late", True),
        ("task_reject_on_worker_lost", True),
        ("task_acks_on_failure", True),
        ("task_acks_on_timeout", False),
        ("task_ignore_result", True),
        ("task_create_missing_queues", False),
        ("worker_prefetch_multiplier", 1),
        ("worker_concurrency", 1),
        ("worker_pool", "prefork"),
        ("worker_pool_start_method", "fork"),
        ("broker_connection_retry_on_startup", True),
    ],
)
def test_promise(url: str, option: str, value: object) -> None:
    assert create_app(settings(url)).conf[option] == value


@pytest.mark.parametrize(
    ("url", "enabled"), [("amqp://guest@localhost//", False), ("redis://localhost/1", True)]
)
def test_remote_control(url: str, enabled: bool) -> None:
    assert create_app(settings(url)).conf.worker_enable_remote_control == enabled


def _queues(url: str) -> dict[str, Queue]:
    return {queue.name: queue for queue in create_app(settings(url)).conf.task_queues}


def test_no_worker_consumes_the_dead_letters() -> None:
    assert set(_queues("amqp://localhost//")) == set(_queues("redis://localhost/1")) == set(QUEUES)
    assert DEAD not in QUEUES


def test_rabbitmq_queues_are_replicated_and_count_deliveries() -> None:
    for queue in _queues("amqp://localhost//").values():
        assert queue.queue_arguments["x-queue-type"] == "quorum"
        assert queue.queue_arguments["x-delivery-limit"] == 3
        assert queue.queue_arguments["x-dead-letter-exchange"] == "resolver.dead"


def test_redis_queues_are_plain_and_redelivery_waits_for_the_longest_chunk() -> None:
    assert all(queue.queue_arguments is None for queue in _queues("redis://localhost/1").values())
    options = create_app(settings("redis://localhost/1")).conf.broker_transport_options
    assert options["visibility_timeout"] == VISIBILITY_TIMEOUT > TIME_LIMIT


def test_rabbitmq_confirms_what_was_published() -> None:
    options = create_app(settings("amqp://localhost//")).conf.broker_transport_options
    assert options["confirm_publish"] is True


def test_broker_must_be_named() -> None:
    with pytest.raises(BrokerUnavailable, match="RESOLVER_BROKER_URL"):
        create_app(settings(None))


@pytest.mark.parametrize("url", ["sqs://", "memory://", "localhost:6379", "http://localhost"])
def test_other_brokers_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"RabbitMQ \(amqp://\) or Redis"):
        create_app(settings(url))


def test_worker_of_an_unknown_queue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such queue: bulky"):
        run_worker(settings(None, home=tmp_path), queues=["bulk", "bulky"])


def test_service_exists_in_worker_processes_only() -> None:
    with pytest.raises(RuntimeError, match="not a worker process"):
        service()


@pytest.mark.parametrize(
    ("error", "code"),
    [(IndexMissing("none"), 78), (DatabaseUnavailable("away"), 69), (RerankerUnavailable("x"), 69)],
)
def testexit_code_tells_mending_from_waiting(error: Exception, code: int) -> None:
    assert exit_code(error) == code  # type: ignore[arg-type]


HEAVY = ("torch", "onnxruntime", "transformers", "sentence_transformers", "qdrant_edge", "pyarrow")


def test_parent_imports_nothing_that_computes() -> None:
    # The parent forks: a library with threads of its own, loaded before, hangs the child.
    code = "import sys, resolver.workers.app, resolver.workers.tasks, resolver.workers.client; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    loaded = set(done.stdout.split())
    assert "resolver.workers.tasks" in loaded
    assert loaded.isdisjoint(HEAVY)
