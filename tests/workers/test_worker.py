"""A worker as it is deployed: its own processes, a real broker, Postgres, the index, the models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
from kombu import Connection
from pydantic import SecretStr
from sqlalchemy import text
from support.deployment import (
    CHUNK,
    PATIENCE,
    ROOT,
    Deployment,
    held,
    linked,
    prepare,
    record,
    until,
    without_settings,
)
from support.next_release import ICELAND, write_next_release
from support.standby import primary_and_standby
from support.task_document import run_example

from resolver.database import querying, resolver_versions
from resolver.database.connection import connect, transaction
from resolver.database.locks import updating_alone
from resolver.database.schema import upgrade
from resolver.hardware import cores
from resolver.network import addresses
from resolver.release import load, switch
from resolver.release.update import update
from resolver.sample import REGISTRY
from resolver.service.installation import Installation, index_directory, open_database
from resolver.settings import Settings
from resolver.workers import deadletters, health
from resolver.workers.app import create_app
from resolver.workers.client import UPDATE, enqueue, enqueue_refresh, withdraw

pytestmark = pytest.mark.slow


@pytest.mark.each_broker
def test_chunk_ends_as_links(deployment: Deployment) -> None:
    with deployment.worker():
        enqueue(CHUNK, settings=deployment.settings)
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    assert linked(deployment) == ["10.1/1", "10.1/3"]
    assert deployment.dead() == []


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.slowest
def test_worker_logs_in_as_who_may_only_write_rows(deployment: Deployment) -> None:
    """With a password of its own, from the message to what a reader sees."""
    users = {}
    with transaction(deployment.engine) as connection:
        for role in ("writer", "reader"):
            name = f"test_{role}_{uuid.uuid4().hex[:8]}"
            connection.exec_driver_sql(
                f"CREATE ROLE {name} LOGIN PASSWORD 'p@/:{role}' IN ROLE resolver_{role}"
            )
            url = deployment.environment()["RESOLVER_DATABASE_URL"]
            users[name] = replace(addresses.read(url), user=name, password=f"p@/:{role}").written()
    writer, reader = users.values()
    changed = {"database_url": SecretStr(writer)}
    written = replace(deployment, settings=deployment.settings.model_copy(update=changed))
    try:
        with written.worker():
            enqueue(CHUNK, settings=written.settings)
            until(lambda: deployment.count("outcome") == 2, "two outcomes")
        engine = connect(reader)
        with querying.asking(engine, "SELECT external_id FROM resolved_links ORDER BY 1") as answer:
            assert list(answer.rows) == [("10.1/1",), ("10.1/3",)]
        engine.dispose()
    finally:
        with transaction(deployment.engine) as connection:
            for name in users:
                connection.exec_driver_sql(f"DROP ROLE {name}")


@pytest.mark.slowest
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
    assert linked(deployment) == ["10.1/1", "10.1/3"]


@pytest.mark.slowest
def test_bad_record_is_kept_and_its_neighbours_are_done(deployment: Deployment) -> None:
    enqueue([*CHUNK, record(4, None)], settings=deployment.settings)
    with deployment.worker():
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    kept = deployment.rows("SELECT external_id, reason FROM refused_record")
    assert kept == [("10.1/4", "affiliation: is null")]


def test_record_is_replaced_whole_and_withdrawn(deployment: Deployment) -> None:
    records = [
        record(1, f"ETH Zurich, Switzerland, {place}") | {"position": place} for place in range(3)
    ]
    stored = "SELECT external_id, position FROM source_record ORDER BY 1, 2"
    with deployment.worker() as worker:
        enqueue([*records, record(2, "CERN")], settings=deployment.settings)
        until(lambda: deployment.count("source_record") == 4, "all records")
        enqueue(records[:1], settings=deployment.settings, replace=True)
        until(lambda: deployment.count("source_record") == 2, "one affiliation of the first")
        assert deployment.rows(stored) == [("10.1/1", 0), ("10.1/2", 0)]
        keys = [record(1, "…"), {"source": "test", "id": "10.1/9"}]
        withdraw(keys, settings=deployment.settings)
        until(lambda: deployment.rows(stored) == [("10.1/2", 0)], "the other record alone")
        until(lambda: "unknown=1" in worker.output(), "it says what it did not find")
    assert deployment.count("past_record") == 3
    assert deployment.dead() == []


@pytest.mark.each_broker
def test_message_of_the_document_is_worked(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = deployment.environment()["RESOLVER_BROKER_URL"]
    with deployment.worker():
        run_example("rabbitmq" if url.startswith("amqp") else "redis", url, monkeypatch)
        until(lambda: deployment.count("outcome") == 1, "its outcome")
    assert linked(deployment) == ["10.5555/1"]


def test_chunk_of_a_killed_process_is_done_by_the_next_one(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        with held(deployment) as waits:
            enqueue(CHUNK, settings=deployment.settings)
            until(waits, "the chunk is in the middle")
            worker.child().kill()
            until(lambda: "SIGKILL" in worker.output(), "the loss is noticed")
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    assert linked(deployment) == ["10.1/1", "10.1/3"]
    assert deployment.dead() == []


@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
def test_chunk_of_a_killed_worker_is_done_by_another_one(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        with held(deployment) as waits:
            enqueue(CHUNK, settings=deployment.settings)
            until(waits, "the chunk is in the middle")
            child = worker.child()
            worker.kill()
            until(lambda: not child.is_running(), "its process ends with it")
        assert deployment.count("outcome") == 0
    with deployment.worker():
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    assert linked(deployment) == ["10.1/1", "10.1/3"]


def test_stopped_worker_finishes_its_chunk(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        with held(deployment) as waits:
            enqueue(CHUNK, settings=deployment.settings)
            until(waits, "the chunk is in the middle")
            worker.process.terminate()
            until(lambda: "Warm shutdown" in worker.output(), "it is told to stop")
        assert worker.process.wait(timeout=PATIENCE) == 0
    assert linked(deployment) == ["10.1/1", "10.1/3"]


@pytest.mark.each_broker
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


@pytest.mark.slowest
def test_chunks_are_answered_as_their_policies_ask(deployment: Deployment) -> None:
    davis = [record(1, "University of California, Davis, CA, USA")]
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
        "SELECT external_id, organisation, stands_for FROM resolved_links ORDER BY external_id"
    ) == [
        ("10.1/1", "University of California, Davis", []),
        ("10.1/2", "University of California System", ["05rrcem69"]),
    ]


@pytest.mark.slowest
def test_processes_divide_the_machine(deployment: Deployment) -> None:
    with deployment.worker("--concurrency", "2") as worker:
        assert worker.output().count(f"device -, threads {max(1, cores() // 2)}") == 2


@pytest.mark.slowest
def test_parent_computes_nothing(deployment: Deployment) -> None:
    # What is mapped tells what was loaded, in the deployed process itself.
    with deployment.worker() as worker:
        parent = Path(f"/proc/{worker.process.pid}/maps").read_text()
        child = Path(f"/proc/{worker.child().pid}/maps").read_text()
    heavy = re.compile(r"onnxruntime|qdrant_edge|libtorch")
    assert heavy.search(child)
    assert not heavy.search(parent)


# A worker that cannot work


def _ended(deployment: Deployment, messages: int = 1) -> tuple[int, str]:
    enqueue(CHUNK, settings=deployment.settings)
    worker = deployment.start()
    try:
        code = worker.process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        worker.kill()
        raise
    # The message is still there for the worker that can.
    with Connection(deployment.environment()["RESOLVER_BROKER_URL"]) as connection:
        assert (
            connection.default_channel.queue_declare("bulk", passive=True).message_count == messages
        )
    return code, worker.log.read_text()


def test_worker_without_a_registry_stops(bare: Deployment) -> None:
    code, output = _ended(bare)
    assert code == 78
    assert "run: resolver registry load" in output
    assert output.count("the worker stops") == 1


def test_worker_without_an_index_stops(bare: Deployment) -> None:
    load.load(bare.engine, REGISTRY, rejects=bare.folder / "rejects.jsonl")
    code, output = _ended(bare)
    assert code == 78
    assert "resolver index build" in output


def test_worker_of_a_database_without_a_schema_stops(bare: Deployment) -> None:
    with bare.engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    code, output = _ended(bare)
    assert code == 78
    assert "the database has schema none" in output
    assert "run: resolver migrate" in output


@pytest.mark.slowest
def test_worker_that_is_migrated_away_under_its_hands_stops(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        with deployment.engine.begin() as connection:
            connection.execute(text("ALTER TABLE source_record RENAME TO record"))
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        enqueue(CHUNK, settings=deployment.settings)
        assert worker.process.wait(timeout=PATIENCE) == 78
        output = worker.log.read_text()
        assert "the database has schema 9999" in output
    # Its message waits for a worker of the later version.
    with Connection(deployment.environment()["RESOLVER_BROKER_URL"]) as connection:
        assert connection.default_channel.queue_declare("bulk", passive=True).message_count == 1


def test_worker_without_a_database_stops(bare: Deployment) -> None:
    changes = {"database_url": SecretStr("postgresql://nobody@127.0.0.1:9/none")}
    away = Deployment(bare.settings.model_copy(update=changes), bare.engine, bare.folder)
    code, output = _ended(away)
    assert code == 69
    assert "RESOLVER_DATABASE_URL" in output


# A database that is there, and may not be written to


def waiting(deployment: Deployment) -> list[int]:
    """How often each message of ``bulk`` was delivered before; they stay."""
    app = create_app(deployment.settings)
    with app.connection_for_read() as connection:
        queue = app.amqp.queues["bulk"](connection.default_channel)
        queue.declare()
        found = []
        while message := queue.get():
            found.append(int(message.headers.get("x-delivery-count") or 0))
        return found


def read_only(deployment: Deployment, value: str) -> None:
    name = deployment.engine.url.database
    with deployment.engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.commit()
        connection.execute(
            text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}')
        )
        # Whoever is connected has the old value; as at a failover.
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        connection.commit()


@pytest.mark.slowest
def test_worker_waits_for_a_database_that_takes_no_writes(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        read_only(deployment, "on")
        enqueue(CHUNK, settings=deployment.settings)
        until(lambda: "takes no writes" in worker.output(), "it says what it waits for")
        assert deployment.count("outcome") == 0
        read_only(deployment, "off")
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    assert linked(deployment) == ["10.1/1", "10.1/3"]
    assert deployment.dead() == []


def test_worker_on_a_database_that_takes_no_writes_stops(deployment: Deployment) -> None:
    read_only(deployment, "on")
    code, output = _ended(deployment)
    assert code == 69
    assert "takes no writes" in output
    read_only(deployment, "off")


@pytest.fixture
def restricted(deployment: Deployment) -> Iterator[Deployment]:
    """The database user is in `resolver_writer`, and is not the owner."""
    name = f"writer_{uuid.uuid4().hex[:8]}"
    with deployment.engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE resolver_writer"))
    url = deployment.engine.url.set(username=name, password="x", drivername="postgresql")
    changed = {"database_url": SecretStr(url.render_as_string(hide_password=False))}
    settings = deployment.settings.model_copy(update=changed)
    yield Deployment(settings, deployment.engine, deployment.folder)
    with deployment.engine.begin() as connection:
        connection.execute(text(f"DROP ROLE {name}"))


@pytest.mark.slowest
def test_worker_whose_grant_is_taken_stops_and_its_message_waits(restricted: Deployment) -> None:
    with restricted.worker() as worker:
        with restricted.engine.begin() as connection:
            connection.execute(text("REVOKE INSERT ON outcome FROM resolver_writer"))
        enqueue(CHUNK, settings=restricted.settings)
        assert worker.process.wait(timeout=PATIENCE) == 78
        assert "permission denied for table outcome" in worker.log.read_text()
    # The next one does not even begin.
    code, output = _ended(restricted, messages=2)
    assert code == 78
    assert "the database user may not INSERT on outcome" in output
    # As if nobody had taken it.
    assert waiting(restricted) == [0, 0]
    assert restricted.dead() == []
    with restricted.engine.begin() as connection:
        connection.execute(text("SELECT resolver_grants()"))
    with restricted.worker():
        until(lambda: restricted.count("outcome") == 2, "two outcomes")
    assert linked(restricted) == ["10.1/1", "10.1/3"]


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.slowest
def test_worker_goes_on_with_the_standby_that_is_promoted(
    deployment: Deployment, services_home: Path
) -> None:
    folder = services_home / "failover-worker"
    folder.mkdir()
    with primary_and_standby(folder) as (primary, standby):
        hosts = [parse_qs(urlsplit(url).query)["host"][0] for url in (primary, standby)]
        url = f"postgresql://postgres@/postgres?host={','.join(hosts)}&port=5432,5432"
        engine = connect(primary)
        upgrade(engine)
        changed = {"database_url": SecretStr(f"{url}&target_session_attrs=read-write")}
        settings = deployment.settings.model_copy(update=changed)
        first = Deployment(settings, engine, deployment.folder)
        prepare(first)
        with first.worker() as worker:
            enqueue(CHUNK[:2], settings=settings)
            until(lambda: first.count("outcome") == 2, "two outcomes")
            second = Deployment(settings, connect(standby), deployment.folder)
            until(lambda: second.count("outcome") == 2, "the standby has them")
            engine.dispose()
            os.kill(int((folder / "primary/postgres/postmaster.pid").read_text().split()[0]), 9)
            enqueue([record(5, "University of Oxford")], settings=settings)
            until(
                lambda: (
                    "DatabaseUnavailable" in worker.output() or "trying again" in worker.output()
                ),
                "it waits",
            )
            second.rows("SELECT pg_promote()")
            until(lambda: second.count("outcome") == 3, "a third outcome")
        second.engine.dispose()
    assert deployment.dead() == []


@pytest.mark.slowest
def test_worker_whose_index_vanishes_stops_at_the_next_process(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        index = index_directory(deployment.settings)
        index.rename(index.with_name("gone"))
        worker.child().kill()
        assert worker.process.wait(timeout=PATIENCE) == 78
        assert "resolver index restore" in worker.log.read_text()


def test_worker_on_embedded_services(tmp_path: Path) -> None:
    # No URL at all: Redis, Postgres and Qdrant's engine from wheels, under one folder.
    settings = Settings(_env_file=None, home=tmp_path / "home")  # type: ignore[call-arg]
    with open_database(settings) as engine:
        upgrade(engine)
        prepare(Deployment(settings, engine, tmp_path))
        enqueue(CHUNK, settings=settings)
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN_WORKER],
            env=without_settings() | {"RESOLVER_HOME": str(settings.home)},
            cwd=ROOT,
        )
        try:
            stored = Deployment(settings, engine, tmp_path)
            until(lambda: stored.count("outcome") == 2, "two outcomes")
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)
    assert process.returncode == 0


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.slowest
def test_processes_share_a_scorer_which_is_replaced_when_it_dies(deployment: Deployment) -> None:
    program = ("-m", "resolver.cli", "worker", "--scorer")
    with deployment.worker("--concurrency", "2", program=program) as worker:
        [scorer] = _scorers(worker.process.pid)
        enqueue(CHUNK, settings=deployment.settings)
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
        scorer.kill()
        enqueue([record(4, "University of Oxford")], settings=deployment.settings)
        until(lambda: deployment.count("outcome") == 3, "another one")
        [another] = _scorers(worker.process.pid)
    assert (worker.process.returncode, another.is_running()) == (0, False)
    assert linked(deployment) == ["10.1/1", "10.1/3"]
    assert deployment.dead() == []


def _scorers(worker: int) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(worker).children()
        if "resolver.scorer.serving" in child.cmdline()
    ]


_RUN_WORKER = """
import sys
from resolver.settings import load_settings
from resolver.workers.app import run_worker
sys.exit(run_worker(load_settings(), queues=["bulk"], log_level="WARNING"))
"""


# An update, which is acknowledged when it begins


class Unfed(Deployment):
    """Nobody answers where releases come from."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"RESOLVER_REGISTRY_URL": "http://127.0.0.1:9"}


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.slowest
def test_update_that_fails_or_is_killed_leaves_a_letter(deployment: Deployment) -> None:
    unfed = Unfed(deployment.settings, deployment.engine, deployment.folder)
    app = create_app(unfed.settings)
    with unfed.worker() as worker:
        app.send_task(UPDATE, queue="registry")
        until(lambda: deadletters.letters(unfed.settings)[1] == 1, "the letter of the failed one")
        with updating_alone(unfed.engine):
            app.send_task(UPDATE, queue="registry", task_id="killed")
            until(lambda: "resolver.update[killed] received" in worker.output(), "it begins")
            worker.child().kill()
            until(lambda: deadletters.letters(unfed.settings)[1] == 2, "that of the killed one")
        [failed, killed], _ = deadletters.letters(unfed.settings)
        assert (failed.task, failed.queue, killed.id) == (UPDATE, "registry", "killed")
        assert failed.error.startswith("FetchError: ")
        assert killed.error.startswith("WorkerLostError: ")
        found = health.problems(health.check(unfed.settings))
        assert ("2 messages failed for good", True) in [(one.problem, one.serious) for one in found]
        # Sent back, it is tried again.
        assert deadletters.retry(unfed.settings, ["killed"]) == 1
        until(lambda: worker.output().count("resolver.update[killed] received") == 2, "again")
    app.close()


# Another resolver version


def test_worker_follows_a_release_without_a_restart(deployment: Deployment) -> None:
    iceland = record(4, "University of Iceland, Reykjavík")
    enqueue([*CHUNK, iceland], settings=deployment.settings)
    with deployment.worker() as worker:
        until(lambda: deployment.count("outcome") == 3, "three outcomes")
        child = worker.child()
        report = update(
            Installation(deployment.settings, engine=deployment.engine),
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
        until(
            lambda: "RefreshChunkReport(received=1, resolved=0)" in worker.output(),
            "nothing is due",
        )
        enqueue([iceland | {"id": "10.1/5"}], settings=deployment.settings)
        until(lambda: deployment.count("source_record") == 5, "it is known")
        assert worker.child() == child
        assert "resolver version 2 is in use now (release v3.0)" in worker.output()
    assert deployment.dead() == []
    ended = deployment.rows("SELECT affiliation_id, end_reason FROM past_outcome")
    assert (affiliation, "registry release") in ended
    assert {reason for _, reason in ended} == {"registry release"}


def test_chunk_that_meets_a_switch_is_done_again_by_the_new_version(
    deployment: Deployment,
) -> None:
    with deployment.worker() as worker:
        installation = Installation(deployment.settings, engine=deployment.engine)
        update(installation, write_next_release(deployment.folder), refresh=False)
        version = resolver_versions.current_resolver(deployment.engine)
        before = resolver_versions.previous_resolver(deployment.engine)
        assert version is not None
        assert before is not None
        switch.switch_to(installation, before)
        with deployment.engine.begin() as connection:
            # The chunk has met its version, and waits to store what that answers.
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:key)"), {"key": resolver_versions.SWITCH_LOCK}
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


@pytest.mark.slowest
def test_worker_that_cannot_open_the_version_in_use_stops(deployment: Deployment) -> None:
    with deployment.worker() as worker:
        version = resolver_versions.current_resolver(deployment.engine)
        assert version is not None
        other = resolver_versions.register(
            deployment.engine,
            release_id=version.release_id,
            encoder=version.encoder,
            reranker=version.reranker,
            settings=version.settings,
            index_version="gone",
            configuration=version.configuration,
        )
        resolver_versions.put_in_use(deployment.engine, other.id)
        enqueue(CHUNK, settings=deployment.settings)
        assert worker.process.wait(timeout=PATIENCE) == 78
        assert "gone" in worker.log.read_text()
    # The next one that can has the message.
    resolver_versions.put_in_use(deployment.engine, version.id)
    with deployment.worker():
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
    assert deployment.dead() == []


@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
@pytest.mark.slowest
def test_two_workers_of_one_machine(deployment: Deployment) -> None:
    # They have one name; on RabbitMQ a queue that only one may read would keep the second out.
    with deployment.worker() as first, deployment.worker() as second:
        enqueue(CHUNK, settings=deployment.settings)
        until(lambda: deployment.count("outcome") == 2, "two outcomes")
        assert " ready." in first.output()
        assert " ready." in second.output()
    assert deployment.dead() == []
