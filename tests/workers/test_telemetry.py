"""What a worker tells: its log, its metrics, its heartbeat."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from support.deployment import PATIENCE, Deployment, record, until

from resolver.answering import chunk as resolving
from resolver.answering import refresh
from resolver.database.connection import connect
from resolver.matching.meters import Meters
from resolver.observing import heartbeat
from resolver.settings import Settings
from resolver.workers import health, telemetry
from resolver.workers.client import enqueue, enqueue_refresh


class Watched(Deployment):
    """One whose worker tells all that it can."""

    PORT = 0

    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "RESOLVER_LOG_FORMAT": "json",
            "RESOLVER_METRICS_PORT": str(self.PORT),
            "RESOLVER_HEARTBEAT_FILE": str(self.folder / "beat"),
        }

    def metrics(self) -> dict[tuple[str, str], float]:
        text = httpx.get(f"http://127.0.0.1:{self.PORT}/metrics").text
        return {
            (sample.name, ",".join(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def objects(log: Path) -> list[dict[str, Any]]:
    """The lines of a log that are JSON: what Python itself writes is not."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_a_worker_tells_what_it_does(deployment: Deployment) -> None:
    watched = Watched(deployment.settings, deployment.engine, deployment.folder)
    Watched.PORT = free_port()
    records = [record(1, "University of Oxford, UK"), record(2, ""), record(3, None)]
    with watched.worker("--queues", "interactive,bulk") as worker:
        until(lambda: (watched.folder / "beat").exists(), "the first beat")
        beat = heartbeat.last(watched.folder / "beat")
        assert beat is not None
        assert beat.pid == worker.process.pid
        assert httpx.get(f"http://127.0.0.1:{watched.PORT}/healthz").status_code == 200

        enqueue(records, settings=deployment.settings)
        count = "resolver_records_received_total", ""
        until(lambda: watched.metrics()[count] == 3, "the chunk is counted")
        found = watched.metrics()
        assert found["resolver_records_refused_total", ""] == 1
        assert found["resolver_strings_resolved_total", ""] == 2
        assert found["resolver_links_found_total", ""] == 1
        assert found["resolver_link_probability_count", ""] == 1
        assert found["resolver_abstentions_total", "empty"] == 1
        assert found["resolver_message_wait_seconds_count", "bulk"] == 1
        assert found["resolver_chunk_seconds_count", "resolve_chunk"] == 1
        assert found["resolver_stage_seconds_total", "score"] > 0
        assert found["resolver_pairs_scored_total", ""] > 0
        assert found["resolver_version_in_use", ""] == 1
        assert found["resolver_processes", ""] == 1
        assert found["resolver_processes_resident_memory_bytes", ""] > 2**26

        enqueue(records[:1], settings=deployment.settings)
        until(lambda: watched.metrics()["resolver_strings_cached_total", ""] == 1, "it is known")

        seen = health.check(deployment.settings)
        assert seen.broker.state is not None
        [heard] = seen.broker.state.workers
        assert heard.pid == worker.process.pid
        assert heard.queues == ("bulk", "interactive")
        assert heard.done == 2
        assert health.problems(seen) == []
        enqueue_refresh([(1, [1])], settings=deployment.settings)
        seen = health.check(deployment.settings)
        assert [(one.problem, one.serious) for one in health.problems(seen)] == [
            ("1 message in queue refresh and no worker serves it", True)
        ]

        worker.child().kill()
        replaced = "resolver_processes_replaced_total", ""
        until(lambda: watched.metrics()[replaced] == 1, "a process is replaced")
    # Stopped on purpose, it is not taken for one that hangs.
    assert not (watched.folder / "beat").exists()

    done = [line for line in objects(worker.log) if line["message"] == "chunk done"]
    assert [(line["received"], line["cached"]) for line in done] == [(3, 0), (1, 1)]
    first = done[0]
    assert (first["queue"], first["resolver_version"], first["records"]) == ("bulk", 1, 3)
    assert (first["source"], first["first_record"]) == ("test", "10.1/1")
    others = [line for line in objects(worker.log) if line.get("task_id") == first["task_id"]]
    assert len(others) >= 3  # received, done, succeeded


@pytest.mark.slow
def test_a_worker_whose_port_is_taken_stops(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=tmp_path / "home",
        broker_url=SecretStr(redis_url),
        database_url=SecretStr(database_url),
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        Watched.PORT = int(taken.getsockname()[1])
        worker = Watched(settings, connect(database_url), tmp_path).start()
        try:
            assert worker.process.wait(timeout=PATIENCE) == os.EX_CONFIG
        finally:
            worker.kill()
    assert "RESOLVER_METRICS_PORT" in worker.log.read_text()


# In the process of a chunk


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Reads what was told to the parent so far."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    monkeypatch.setattr(telemetry, "_pipe", writing)
    monkeypatch.setattr(telemetry, "_lost", 0)

    def read() -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in os.read(reading, 2**20).splitlines()]
        except BlockingIOError:
            return []

    yield read
    os.close(reading)
    os.close(writing)


METERS = Meters(wall=2.0, score=1.5, pairs=40, pairs_avoided=4, sieved=9)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (
            resolving.ChunkReport(7, 1, 5, 1, 3, 2, 4, METERS),
            {"task": "resolve_chunk", "received": 7, "refused": 1, "resolved": 5, "cached": 1, "links": 4},
        ),
        (
            refresh.RefreshChunkReport(7, 5, METERS),
            {"task": "refresh_chunk", "received": 7, "refused": 0, "resolved": 5, "cached": 2},
        ),
    ],
    ids=["resolve", "refresh"],
)  # fmt: skip
def test_a_chunk_is_told(told: Any, report: Any, expected: dict[str, object]) -> None:
    telemetry.done(report)
    [line] = told()
    chunk = line["chunk"]
    assert {name: chunk[name] for name in expected} == expected
    assert (chunk["wall"], chunk["stages"]["score"], chunk["pairs"]) == (2.0, 1.5, 40)
    assert len(json.dumps(line)) < telemetry.PIPE_BYTES / 2


def test_a_failure_is_told_by_its_kind(told: Any) -> None:
    telemetry.failed(ValueError("postgresql://user:hush@host"))
    assert told() == [{"error": "ValueError", "lost": 0}]


def test_a_parent_that_does_not_listen_is_not_waited_for(told: Any) -> None:
    for _ in range(5_000):
        telemetry.failed(ValueError())
    heard = len(told())
    assert 0 < heard < 5_000
    telemetry.failed(ValueError())
    [late] = told()
    assert late["lost"] == 5_000 - heard


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (([{"source": "a", "id": 7}],), {"records": 1, "source": "a", "first_record": "7"}),
        (([{"source": ["a"], "id": None}, 1],), {"records": 2}),
        (([{"id": "x" * 10**6}],), {"records": 1, "first_record": "x" * telemetry.MAX_NAME}),
        (([3, 4, 5], 1), {"records": 3}),
        (([],), {"records": 0}),
        ((), {}),
        ("text", {}),
        (({"a": 1},), {}),
        (None, {}),
    ],
)
def test_records_are_named_whatever_was_sent(
    arguments: object, expected: dict[str, object]
) -> None:
    assert telemetry._records(arguments) == expected


@pytest.mark.parametrize(
    ("started", "limits", "hangs"),
    [(0, (None, None), True), (None, (None, None), False), (0, (10**12, None), False)],
    ids=["since 1970", "not begun", "within its own limit"],
)
def test_a_task_far_beyond_its_limit_hangs(
    monkeypatch: pytest.MonkeyPatch, started: float | None, limits: Any, hangs: bool
) -> None:
    request = SimpleNamespace(
        time_start=started, time_limits=limits, task=SimpleNamespace(time_limit=1200)
    )
    monkeypatch.setattr(telemetry.state, "active_requests", {id(request): request}.values())
    assert telemetry._hanging() is hangs
