"""A worker as it is deployed: its own processes, a real broker, Postgres, the index, the models."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from kombu import Connection
from next_release import ICELAND, write_next_release
from pydantic import SecretStr
from sqlalchemy import Engine, text
from task_document import run_example

from resolver import loading, service, switching
from resolver.database import releases, resolvers
from resolver.database.migrating import upgrade
from resolver.hardware import cores
from resolver.indexing import build
from resolver.sample import REGISTRY
from resolver.settings import Settings
from resolver.updating import update
from workers.app import create_app, dead_queue
from workers.client import enqueue, enqueue_refresh

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATIENCE = 90
"""Seconds: two shared cores may need them."""


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.1)


def _without_settings() -> dict[str, str]:
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
        return _without_settings() | {
            "RESOLVER_HOME": str(self.settings.home),
            "RESOLVER_BROKER_URL": self.settings.broker_url.get_secret_value(),
            "RESOLVER_DATABASE_URL": self.settings.database_url.get_secret_value(),
        }

    def start(self, *options: str) -> Worker:
        log = self.folder / f"worker-{time.monotonic_ns()}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "celery",
                    "-A",
                    "workers.app",
                    "worker",
                    "-l",
                    "INFO",
                    *options,
                ],
                env=self.environment(),
                cwd=ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Worker(process, log)

    @contextmanager
    def worker(self, *options: str) -> Iterator[Worker]:
        worker = self.start(*options)
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


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def bare(broker_url: str, database_url: str, engine: Engine, tmp_path: Path) -> Deployment:
    """Migrated, and nothing else."""
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=tmp_path / "home",
        broker_url=SecretStr(broker_url),
        database_url=SecretStr(database_url),
    )
    return Deployment(settings, engine, tmp_path)


@pytest.fixture
def deployment(bare: Deployment) -> Deployment:
    """With the sample registry, loaded and indexed."""
    prepare(bare)
    return bare


def prepare(bare: Deployment) -> None:
    loading.load(bare.engine, REGISTRY, rejects=bare.folder / "rejects.jsonl")
    release = releases.current_release(bare.engine)
    assert release is not None
    store = service.index_store(bare.settings)
    manifest = build(
        releases.organisations(bare.engine, release.id),
        release=release.version,
        release_sha256=release.sha256,
        encoder=service.encoder(bare.settings),
        store=store,
    )
    store.activate(manifest.version)


def _record(number: int, affiliation: object) -> dict[str, object]:
    return {"source": "test", "id": f"10.1/{number}", "affiliation": affiliation}


CHUNK = [
    _record(1, "ETH Zurich, Zurich, Switzerland"),
    _record(2, "Qwxyz Vvvv"),
    _record(3, "ETH  Zurich, Zurich, Switzerland "),
]


def _linked(deployment: Deployment) -> list[object]:
    rows = deployment.rows(
        "SELECT s.external_id FROM source_record s JOIN link l USING (affiliation_id) "
        "WHERE l.name = 'ETH Zurich' ORDER BY s.external_id"
    )
    return [external_id for (external_id,) in rows]


def test_chunk_ends_as_links(deployment: Deployment) -> None:
    with deployment.worker():
        enqueue(CHUNK, settings=deployment.settings)
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    assert _linked(deployment) == ["10.1/1", "10.1/3"]
    assert deployment.dead() == []


def test_chunk_sent_twice_is_stored_once(deployment: Deployment) -> None:
    enqueue(CHUNK, settings=deployment.settings)
    enqueue(CHUNK, settings=deployment.settings)
    with deployment.worker() as worker:
        until(lambda: worker.output().count("ChunkReport(") == 2, "two chunks")
        assert "new=0, already_resolved=2" in worker.output()
        # The second one met no model.
        assert [int(pairs) > 0 for pairs in re.findall(r" pairs=(\d+)", worker.output())] == [
            True,
            False,
        ]
    assert (deployment.count("source_record"), deployment.count("outcome")) == (3, 2)
    assert _linked(deployment) == ["10.1/1", "10.1/3"]


def test_bad_record_is_kept_and_its_neighbours_are_done(deployment: Deployment) -> None:
    enqueue([*CHUNK, _record(4, None)], settings=deployment.settings)
    with deployment.worker():
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    kept = deployment.rows("SELECT external_id, reason FROM refused_record")
    assert kept == [("10.1/4", "affiliation: is null")]


def test_message_of_the_document_is_worked(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = deployment.environment()["RESOLVER_BROKER_URL"]
    with deployment.worker():
        run_example("rabbitmq" if url.startswith("amqp") else "redis", url, monkeypatch)
        until(lambda: deployment.count("outcome") == 1, "its outcome")
    assert _linked(deployment) == ["10.5555/1"]


@contextmanager
def _held(deployment: Deployment) -> Iterator[Callable[[], bool]]:
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


def test_chunk_of_a_killed_process_is_done_by_the_next_one(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        with _held(deployment) as waits:
            enqueue(CHUNK, settings=deployment.settings)
            until(waits, "the chunk is in the middle")
            worker.child().kill()
            until(lambda: "SIGKILL" in worker.output(), "the loss is noticed")
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    assert _linked(deployment) == ["10.1/1", "10.1/3"]
    assert deployment.dead() == []


@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
def test_chunk_of_a_killed_worker_is_done_by_another_one(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        with _held(deployment) as waits:
            enqueue(CHUNK, settings=deployment.settings)
            until(waits, "the chunk is in the middle")
            child = worker.child()
            worker.kill()
            until(lambda: not child.is_running(), "its process ends with it")
        assert deployment.count("outcome") == 0
    with deployment.worker():
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    assert _linked(deployment) == ["10.1/1", "10.1/3"]


def test_stopped_worker_finishes_its_chunk(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        with _held(deployment) as waits:
            enqueue(CHUNK, settings=deployment.settings)
            until(waits, "the chunk is in the middle")
            worker.process.terminate()
            until(lambda: "Warm shutdown" in worker.output(), "it is told to stop")
        assert worker.process.wait(timeout=PATIENCE) == 0
    assert _linked(deployment) == ["10.1/1", "10.1/3"]


def test_chunk_that_cannot_be_read_ends_among_the_dead_letters(deployment: Deployment) -> None:
    app = create_app(deployment.settings)
    with app.connection_for_write() as connection:
        producer = app.amqp.Producer(connection)
        app.send_task("resolver.resolve_chunk", args=({"no": "list"},), queue="bulk",
                      producer=producer)  # fmt: skip
    enqueue(CHUNK, settings=deployment.settings)
    with deployment.worker():
        until(lambda: deployment.count("outcome") == 2, "the next chunk is done")
        letters: list[tuple[object, object]] = []
        until(lambda: letters.extend(deployment.dead()) or letters, "the letter arrives")
    assert letters == [("resolver.resolve_chunk", {"no": "list"})]


def test_chunks_are_answered_as_their_policies_ask(deployment: Deployment) -> None:
    davis = [_record(1, "University of California, Davis, CA, USA")]
    other = [davis[0] | {"id": "10.1/2"}]
    enqueue(davis, settings=deployment.settings)
    enqueue(other, settings=deployment.settings, policy={"level": "top-parent"})
    app = create_app(deployment.settings)
    with app.connection_for_write() as connection:
        producer = app.amqp.Producer(connection)
        app.send_task("resolver.resolve_chunk", args=(davis,), kwargs={"policy": {"level": "top"}},
                      queue="bulk", producer=producer)  # fmt: skip
    with deployment.worker() as worker:
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
        letters: list[tuple[object, object]] = []
        until(lambda: letters.extend(deployment.dead()) or letters, "the bad policy is refused")
        assert 'level: "top" is not one of named' in worker.output()
    assert letters == [("resolver.resolve_chunk", davis)]
    assert deployment.rows(
        "SELECT source_id, organisation, stands_for FROM resolved_links ORDER BY source_id"
    ) == [
        ("10.1/1", "University of California, Davis", []),
        ("10.1/2", "University of California System", ["05rrcem69"]),
    ]


def test_processes_divide_the_machine(deployment: Deployment) -> None:
    with deployment.worker("--concurrency", "2") as worker:
        assert worker.output().count(f"device -, threads {max(1, cores() // 2)}") == 2


def test_parent_computes_nothing(deployment: Deployment) -> None:
    # What is mapped tells what was loaded, in the deployed process itself.
    with deployment.worker() as worker:
        parent = Path(f"/proc/{worker.process.pid}/maps").read_text()
        child = Path(f"/proc/{worker.child().pid}/maps").read_text()
    heavy = re.compile(r"onnxruntime|qdrant_edge|libtorch")
    assert heavy.search(child)
    assert not heavy.search(parent)


# A worker that cannot work


def _ended(deployment: Deployment) -> tuple[int, str]:
    enqueue(CHUNK, settings=deployment.settings)
    worker = deployment.start()
    try:
        code = worker.process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        worker.kill()
        raise
    # The message is still there for the worker that can.
    with Connection(deployment.environment()["RESOLVER_BROKER_URL"]) as connection:
        assert connection.default_channel.queue_declare("bulk", passive=True).message_count == 1
    return code, worker.log.read_text()


def test_worker_without_a_registry_stops(bare: Deployment) -> None:
    code, output = _ended(bare)
    assert code == 78
    assert "run: resolver registry load" in output
    assert output.count("the worker stops") == 1


def test_worker_without_an_index_stops(bare: Deployment) -> None:
    loading.load(bare.engine, REGISTRY, rejects=bare.folder / "rejects.jsonl")
    code, output = _ended(bare)
    assert code == 78
    assert "resolver index build" in output


def test_worker_of_an_old_schema_stops(bare: Deployment, empty_database_url: str) -> None:
    changes = {"database_url": SecretStr(empty_database_url)}
    old = Deployment(bare.settings.model_copy(update=changes), bare.engine, bare.folder)
    code, output = _ended(old)
    assert code == 78
    assert "resolver migrate" in output


def test_worker_without_a_database_stops(bare: Deployment) -> None:
    changes = {"database_url": SecretStr("postgresql://nobody@127.0.0.1:9/none")}
    away = Deployment(bare.settings.model_copy(update=changes), bare.engine, bare.folder)
    code, output = _ended(away)
    assert code == 69
    assert "RESOLVER_DATABASE_URL" in output


def test_worker_whose_index_vanishes_stops_at_the_next_process(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        index = service.index_directory(deployment.settings)
        index.rename(index.with_name("gone"))
        worker.child().kill()
        assert worker.process.wait(timeout=PATIENCE) == 78
        assert "resolver index build" in worker.log.read_text()


def test_worker_on_embedded_services(tmp_path: Path) -> None:
    # No URL at all: Redis, Postgres and Qdrant's engine from wheels, under one folder.
    settings = Settings(_env_file=None, home=tmp_path / "home")  # type: ignore[call-arg]
    with service.database(settings) as engine:
        upgrade(engine)
        prepare(Deployment(settings, engine, tmp_path))
        enqueue(CHUNK, settings=settings)
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN_WORKER],
            env=_without_settings() | {"RESOLVER_HOME": str(settings.home)},
            cwd=ROOT,
        )
        try:
            stored = Deployment(settings, engine, tmp_path)
            until(lambda: stored.count("outcome") == 2, "two outcomes")
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)
    assert process.returncode == 0


_RUN_WORKER = """
import sys
from resolver.settings import load_settings
from workers.app import run_worker
sys.exit(run_worker(load_settings(), queues=["bulk"], log_level="WARNING"))
"""


# Another resolver version


def test_worker_follows_a_release_without_a_restart(deployment: Deployment) -> None:
    iceland = _record(4, "University of Iceland, Reykjavík")
    enqueue([*CHUNK, iceland], settings=deployment.settings)
    with deployment.worker() as worker:
        until(lambda: deployment.count("outcome") == 3, "three outcomes")
        child = worker.child()
        report = update(
            deployment.settings,
            deployment.engine,
            write_next_release(deployment.folder),
            enqueue=lambda due: enqueue_refresh(due, settings=deployment.settings).records,
        )
        assert report.enqueued
        until(
            lambda: deployment.rows(f"SELECT 1 FROM link WHERE ror_id = '{ICELAND}'"),
            "the university that is new is linked",
        )
        # Late and twice: a look-up.
        [(affiliation, policy)] = deployment.rows(
            f"SELECT affiliation_id, policy_id FROM link WHERE ror_id = '{ICELAND}'"
        )
        enqueue_refresh([(policy, [affiliation])], settings=deployment.settings)
        until(lambda: "ChunkReport(received=1, resolved=0)" in worker.output(), "nothing is due")
        enqueue([iceland | {"id": "10.1/5"}], settings=deployment.settings)
        until(lambda: deployment.count("source_record") == 5, "it is known")
        assert worker.child() == child
        assert "resolver version 2 is in use now (release v3.0)" in worker.output()
    assert deployment.dead() == []
    assert deployment.rows("SELECT end_reason FROM past_outcome") == [("registry release",)]


def test_chunk_that_meets_a_switch_is_done_again_by_the_new_version(
    deployment: Deployment,
) -> None:
    with deployment.worker() as worker:
        update(deployment.settings, deployment.engine, refresh=False,
               path=write_next_release(deployment.folder))  # fmt: skip
        version = resolvers.current_resolver(deployment.engine)
        before = resolvers.previous_resolver(deployment.engine)
        assert version is not None
        assert before is not None
        store = service.index_store(deployment.settings)
        switching.put_in_use(deployment.engine, store, before)
        with deployment.engine.begin() as connection:
            # The chunk has met its version, and waits to store what that answers.
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:key)"), {"key": resolvers.SWITCH_LOCK}
            )
            enqueue(CHUNK, settings=deployment.settings)
            until(
                lambda: deployment.rows(
                    "SELECT pid FROM pg_stat_activity"
                    " WHERE wait_event = 'advisory' AND datname = current_database()"
                ),
                "the chunk is about to be stored",
            )
            connection.execute(
                text("UPDATE resolver_version SET is_current = false WHERE is_current")
            )
            connection.execute(
                text("UPDATE resolver_version SET is_current = true WHERE id = :id"),
                {"id": version.id},
            )
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
        assert "once more" in worker.output()
    assert deployment.rows("SELECT DISTINCT resolver_version_id FROM outcome") == [(version.id,)]
    assert deployment.dead() == []


def test_worker_that_cannot_open_the_version_in_use_stops(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        version = resolvers.current_resolver(deployment.engine)
        assert version is not None
        other = resolvers.register(
            deployment.engine,
            release_id=version.release_id,
            encoder=version.encoder,
            reranker=version.reranker,
            settings=version.settings,
            index_version="gone",
            configuration=version.configuration,
        )
        resolvers.put_in_use(deployment.engine, other.id)
        enqueue(CHUNK, settings=deployment.settings)
        assert worker.process.wait(timeout=PATIENCE) == 78
        assert "gone" in worker.log.read_text()
    # The next one that can has the message.
    resolvers.put_in_use(deployment.engine, version.id)
    with deployment.worker():
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    assert deployment.dead() == []
