"""A deployment of workers for tests: real processes on a real broker, Postgres and the index."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, text

from resolver.service.installation import Installation
from resolver.settings import Settings
from resolver.workers.app import create_app
from resolver.workers.queues import dead_queue
from support.paths import ROOT
from support.sample_index import load_and_index

CELERY = ("-m", "celery", "-A", "resolver.workers.app", "worker", "-l", "INFO")
DEADLY = ("-m", "benchmarks.deadly")
"""The same worker, but its process dies of a certain word."""

PATIENCE = 90
"""Seconds: two shared cores may need them."""


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.1)


def without_settings() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}


@dataclass(frozen=True)
class Deployment:
    """One installation: settings, and an engine to look at what is stored."""

    settings: Settings
    engine: Engine
    folder: Path

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    def count(self, table: str) -> int:
        [(number,)] = self.rows(f"SELECT count(*) FROM {table}")
        assert isinstance(number, int)
        return number

    def environment(self) -> dict[str, str]:
        assert self.settings.broker_url is not None
        assert self.settings.database_url is not None
        return without_settings() | {
            "RESOLVER_HOME": str(self.settings.home),
            "RESOLVER_BROKER_URL": self.settings.broker_url.get_secret_value(),
            "RESOLVER_DATABASE_URL": self.settings.database_url.get_secret_value(),
        }

    def start(self, *options: str, program: Sequence[str] = CELERY) -> Worker:
        log = self.folder / f"worker-{time.monotonic_ns()}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, *program, *options],
                env=self.environment(),
                cwd=ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Worker(process, log)

    @contextmanager
    def worker(self, *options: str, program: Sequence[str] = CELERY) -> Iterator[Worker]:
        worker = self.start(*options, program=program)
        try:
            until(lambda: " ready." in worker.output(), "the worker is ready")
            yield worker
        finally:
            worker.stop()

    def dead(self) -> list[tuple[object, object]]:
        """(task, records) of the messages in the dead letter queue; they stay there."""
        app = create_app(self.settings)
        with app.connection_for_read() as connection:
            queue = dead_queue(amqp=app.amqp_broker)(connection.default_channel)
            queue.declare()
            messages = []
            while message := queue.get():
                messages.append((message.headers["task"], json.loads(message.body)[0][0]))
            return messages


@dataclass(frozen=True)
class Worker:
    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        if self.process.poll() not in (None, 0, -signal.SIGKILL):
            pytest.fail(f"the worker ended with {self.process.returncode}: {self.log.read_text()}")
        return self.log.read_text()

    def child(self) -> psutil.Process:
        [child] = psutil.Process(self.process.pid).children()
        return child

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def prepare(bare: Deployment) -> None:
    """The sample registry, loaded and indexed."""
    with Installation(bare.settings, engine=bare.engine) as installation:
        load_and_index(installation)


def record(number: int, affiliation: object) -> dict[str, object]:
    return {"source": "test", "id": f"10.1/{number}", "affiliation": affiliation}


CHUNK = [
    record(1, "ETH Zurich, Zurich, Switzerland"),
    record(2, "Qwxyz Vvvv"),
    record(3, "ETH  Zurich, Zurich, Switzerland "),
]


def linked(deployment: Deployment) -> list[object]:
    rows = deployment.rows(
        "SELECT s.external_id FROM source_record s JOIN link l USING (affiliation_id) "
        "WHERE l.name = 'ETH Zurich' ORDER BY s.external_id"
    )
    return [external_id for (external_id,) in rows]


@contextmanager
def held(deployment: Deployment) -> Iterator[Callable[[], bool]]:
    """Links cannot be written while the block lasts; yields whether somebody waits for that."""

    def waits() -> bool:
        return bool(
            deployment.rows(
                "SELECT pid FROM pg_stat_activity "
                "WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
        )

    with deployment.engine.begin() as connection:
        connection.execute(text("LOCK TABLE link IN EXCLUSIVE MODE"))
        yield waits
