"""What is wrong with an installation, and what helps."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from resolver.database import monitoring
from resolver.database.connection import connect
from resolver.database.monitoring import Drift, Overview
from resolver.database.releases import StoredRelease
from resolver.database.resolver_versions import ResolverVersion
from resolver.database.revision import head
from resolver.database.update_runs import UpdateRun
from resolver.errors import BrokerUnavailable, DatabaseUnavailable, IndexUnavailable
from resolver.index import Manifest
from resolver.observing.metrics import SystemMetrics
from resolver.settings import Settings
from resolver.workers import health
from resolver.workers.broker_state import BrokerState, QueueState, WorkerState
from resolver.workers.client import enqueue
from resolver.workers.health import Component, Health, Probes
from resolver.workers.monitor import Monitor

TODAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
RELEASE = StoredRelease(
    7, "v2.9", date(2026, 10, 20), "0" * 64, "2.1", "v2.9.zip", NOW, 129_046, 0, None, True
)
VERSION = ResolverVersion(
    3,
    7,
    "v2.9",
    "v2.9-1234",
    {},
    {},
    ("builtin", "e"),
    ("builtin", "r"),
    None,
    1,
    NOW,
    None,
    NOW,
    True,
)
RUN = UpdateRun(
    scheduled=True,
    began_at=datetime(2026, 11, 22, 3, tzinfo=UTC),
    ended_at=datetime(2026, 11, 22, 3, 1, tzinfo=UTC),
    step="fetch",
    problem=None,
    remedy=None,
)
OVERVIEW = Overview("0005", "0005", RELEASE, VERSION, due=0)
MANIFEST = Manifest(**{  # type: ignore[arg-type]
    name: {"version": "v2.9-1234"}.get(name) for name in Manifest.__dataclass_fields__
})  # fmt: skip
QUIET = tuple(QueueState(name, 0, None) for name in ("interactive", "bulk", "registry", "refresh"))
BUSY = WorkerState("celery@a", 1, 0, 12)
TRAFFIC = BrokerState(QUIET, QueueState("dead", 0, None), (BUSY,))
WELL = Health(Component(OVERVIEW), Component(MANIFEST), Component(TRAFFIC), ())


def of_database(**changes: object) -> Health:
    return replace(WELL, database=Component(replace(OVERVIEW, **changes)))  # type: ignore[arg-type]


def weeks(*shares: float, records: int = 1000, source: str = "crossref") -> list[Drift]:
    return [
        Drift(source, date(2026, 11, 2 + 7 * n), records, share, 0.9)
        for n, share in enumerate(shares)
    ]


CASES: dict[str, tuple[Health, list[tuple[str, str | None, bool]]]] = {
    "well": (WELL, []),
    "nothing is set up": (
        Health(Component(), Component(), Component(), ()),
        [("there is no database yet", "run: resolver migrate", True)],
    ),
    "all away": (
        Health(
            Component(error=DatabaseUnavailable("no Postgres", remedy="start it")),
            Component(error=IndexUnavailable("no Qdrant", remedy="start that")),
            Component(error=BrokerUnavailable("no broker")),
            (),
        ),
        [("no Postgres", "start it", True), ("no Qdrant", "start that", True), ("no broker", None, True)],
    ),
    "not migrated": (
        of_database(schema="0002"),
        [("the database has schema 0002, this version needs 0005", "run: resolver migrate", True)],
    ),
    "no release": (
        replace(WELL, database=Component(Overview("0005", "0005")), index=Component()),
        [("no release of the registry is loaded", "run: resolver update", True)],
    ),
    "no version": (
        of_database(version=None),
        [("no resolver version is in use", "run: resolver update, or start a worker", True)],
    ),
    "an update that broke off": (
        of_database(release=replace(RELEASE, id=8, version="v3.0")),
        [("release v3.0 is loaded, the answers are by v2.9", "run: resolver update", True)],
    ),
    "somebody went back": (
        of_database(release=replace(RELEASE, id=8, version="v3.0"), before=4),
        [
            (
                "release v3.0 is loaded, and version 3, by v2.9, was put in use after it",
                "leave it, if that is meant; forward again: resolver version use 4",
                False,
            )
        ],
    ),
    "an update that runs": (
        replace(
            of_database(release=replace(RELEASE, id=8, version="v3.0"), updating=True),
            index=Component(replace(MANIFEST, version="v3.0-1")),
        ),
        [
            (
                "an update is running: release v3.0 is loaded, the answers are by v2.9",
                "wait for it to end",
                False,
            )
        ],
    ),
    "the first update": (
        replace(WELL, database=Component(Overview("0005", "0005", updating=True)), index=Component()),
        [
            (
                "an update is running: no release is loaded, the answers are by nobody yet",
                "wait for it to end",
                False,
            )
        ],
    ),
    "an update that has nothing to do": (of_database(updating=True), []),
    "the last update is done": (of_database(last_update=RUN), []),
    "a scheduled update that failed": (
        of_database(last_update=replace(RUN, problem="no answer from Zenodo", remedy="wait")),
        [
            (
                "the scheduled update of 2026-11-22 03:00 UTC failed at step fetch: no answer from Zenodo",
                "wait; then run: resolver update",
                True,
            )
        ],
    ),
    "an update by hand that failed": (
        of_database(last_update=replace(RUN, scheduled=False, step=None, problem="no room")),
        [("the update of 2026-11-22 03:00 UTC failed: no room", "run: resolver update", True)],
    ),
    "a scheduled update that was killed": (
        of_database(last_update=replace(RUN, ended_at=None, step="index")),
        [
            (
                "the scheduled update of 2026-11-22 03:00 UTC broke off at step index: its process "
                "was killed",
                "run: resolver update",
                True,
            )
        ],
    ),
    "a failed one, and one that runs after it": (
        of_database(updating=True, last_update=replace(RUN, ended_at=None)), [],
    ),
    "a failed first one": (
        replace(
            WELL,
            database=Component(Overview("0005", "0005", last_update=replace(RUN, problem="no room"))),
            index=Component(),
        ),
        [
            (
                "the scheduled update of 2026-11-22 03:00 UTC failed at step fetch: no room",
                "run: resolver update",
                True,
            ),
            ("no release of the registry is loaded", "run: resolver update", True),
        ],
    ),
    "an old release": (
        of_database(release=replace(RELEASE, released_on=date(2026, 8, 1))),
        [("release v2.9 is 113 days old", "run: resolver update, or set RESOLVER_UPDATE_SCHEDULE", False)],
    ),
    "answers due": (
        of_database(due=1234),
        [("1,234 answers are due", "run: resolver refresh, or resolver refresh --enqueue for the workers", False)],
    ),
    "jobs set aside": (
        of_database(jobs_set_aside=2),
        [
            (
                "2 jobs are set aside and not sent to the queue any more",
                "see docs/operations.md, ResolverJobsFailed",
                True,
            )
        ],
    ),
    "a job set aside, and an update that runs": (
        replace(
            WELL,
            database=Component(Overview("0005", "0005", updating=True, jobs_set_aside=1)),
            index=Component(),
        ),
        [
            (
                "1 job is set aside and not sent to the queue any more",
                "see docs/operations.md, ResolverJobsFailed",
                True,
            ),
            (
                "an update is running: no release is loaded, the answers are by nobody yet",
                "wait for it to end",
                False,
            ),
        ],
    ),
    "no index": (
        replace(WELL, index=Component()),
        [("no index is active", "run: resolver index build", True)],
    ),
    "another index": (
        of_database(version=replace(VERSION, index_version="v2.8-1")),
        [("index v2.9-1234 is active, resolver version 3 searches v2.8-1", "run: resolver version use 3", False)],
    ),
    "nobody works": (
        replace(WELL, broker=Component(replace(TRAFFIC, queues=(QueueState("bulk", 40, 3.0),), workers=()))),
        [("40 messages waiting and no worker is heard", "run: resolver worker", True)],
    ),
    "nobody serves one of the queues": (
        replace(WELL, broker=Component(replace(
            TRAFFIC,
            queues=(QueueState("interactive", 1, 2.0), QueueState("bulk", 40, 3.0), QueueState("refresh", 0, None)),
            workers=(replace(BUSY, queues=("interactive",)), replace(BUSY, pid=2, queues=("registry",))),
        ))),
        [("40 messages in queue bulk and no worker serves it", "run: resolver worker --queues bulk", True)],
    ),
    "people wait and nobody serves them": (
        replace(WELL, broker=Component(replace(
            TRAFFIC, queues=(QueueState("interactive", 1, 75.2),), workers=(replace(BUSY, queues=("bulk",)),)
        ))),
        [("1 message in queue interactive and no worker serves it", "run: resolver worker --queues interactive", True)],
    ),
    "nobody works and nothing waits": (replace(WELL, broker=Component(replace(TRAFFIC, workers=()))), []),
    "people wait": (
        replace(WELL, broker=Component(replace(TRAFFIC, queues=(QueueState("interactive", 1, 75.2), QueueState("bulk", 1, 900.0))))),
        [("the oldest message of queue interactive has waited 75 s", "run: resolver worker --queues interactive", True)],
    ),
    "dead letters": (
        replace(WELL, broker=Component(replace(TRAFFIC, dead=QueueState("dead", 2, None)))),
        [("2 messages failed for good", "run: resolver deadletters list", True)],
    ),
    "drift": (
        replace(WELL, drift=weeks(0.2, 0.2, 0.5)),
        [
            (
                "drift: crossref has 50% without a link since 2026-11-16, 20% in the weeks before",
                "see docs/operations.md, ResolverDrift",
                False,
            )
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("found", "expected"), CASES.values(), ids=CASES.keys())
def test_each_problem_has_its_remedy(
    found: Health, expected: list[tuple[str, str | None, bool]]
) -> None:
    told = health.problems(found, today=TODAY)
    assert [(one.problem, one.remedy, one.serious) for one in told] == expected


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], 0),
        (weeks(0.5), 0),
        (weeks(0.2, 0.5), 1),
        (weeks(0.5, 0.2), 1),
        (weeks(0.2, 0.25), 0),
        (weeks(0.2, 0.5, records=400), 0),
        ([*weeks(0.2, 0.5), *weeks(0.9, 0.1, source="datacite")], 2),
    ],
    ids=["nothing", "one week", "up", "down", "a little", "too few", "two sources"],
)
def test_drift_is_told_of_sources_with_enough_records(found: list[Drift], told: int) -> None:
    assert len(health.drifting(found)) == told


def test_what_was_never_set_up_is_not_made(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path / "home")  # type: ignore[call-arg]
    found = health.check(settings)
    assert (found.database, found.broker) == (Component(), Component())
    assert not (tmp_path / "home" / "postgres").exists()
    assert not (tmp_path / "home" / "redis").exists()


def test_parts_that_are_away_hold_nobody_up(tmp_path: Path) -> None:
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=tmp_path,
        database_url=SecretStr("postgresql://u:hush-hush@127.0.0.1:9/none"),
        broker_url=SecretStr("redis://:hush-hush@127.0.0.1:9/0"),
        qdrant_url="http://127.0.0.1:9",
    )
    began = time.monotonic()
    told = health.problems(health.check(settings))
    assert time.monotonic() - began < 60
    assert len(told) == 3
    assert all(one.serious and one.remedy for one in told)
    assert "hush-hush" not in repr(told)


def test_a_part_that_hangs_is_told_as_that(tmp_path: Path) -> None:
    # Nobody answers, as behind a firewall that drops packets.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        settings = Settings(  # type: ignore[call-arg]
            _env_file=None,
            home=tmp_path,
            database_url=SecretStr(f"postgresql://u@127.0.0.1:{port}/none?connect_timeout=60"),
        )
        began = time.monotonic()
        found = health.check(settings, limit_seconds=1)
        assert time.monotonic() - began < 30
    assert found.database.error is not None
    assert found.index == Component()


def test_a_part_that_hangs_is_not_asked_again_while_it_does() -> None:
    going, asked = threading.Event(), []

    def hangs() -> str:
        asked.append(threading.current_thread())
        going.wait(60)
        return "found"

    probes = Probes()
    for _ in range(5):
        found = probes.run({"database": hangs, "index": lambda: "there"}, 0.2)
        assert found["index"] == Component("there")
        assert "no answer from the database" in str(found["database"].error)
    assert len(asked) == 1
    going.set()
    asked[0].join()
    assert probes.run({"database": hangs}, 5) == {"database": Component("found")}
    # Its answer is taken, so the next question need not wait for its thread to end.
    assert probes.run({"database": hangs}, 5) == {"database": Component("found")}
    assert len(asked) == 3


def test_a_monitor_leaves_no_thread_for_each_look_at_what_hangs(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = Settings(  # type: ignore[call-arg]
            _env_file=None,
            home=tmp_path,
            # It takes the connection and the startup packet, and says nothing for ever.
            database_url=SecretStr(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/none"),
        )
        probes = Probes()
        before = threading.active_count()
        for _ in range(5):
            health.check(settings, limit_seconds=0.2, probes=probes)
        assert threading.active_count() <= before + 1


def test_the_monitor_serves_what_it_finds(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=tmp_path,
        broker_url=SecretStr(redis_url),
        database_url=SecretStr(database_url),
    )
    enqueue([{"source": "test", "id": "1", "affiliation": "Oxford"}], settings=settings)
    monitor = Monitor(settings)
    assert monitor.problem() == "starting"
    monitor.check()
    assert monitor.problem() is None
    found = exposed(monitor.metrics)
    assert found["resolver_part_up", "database"] == 1
    assert found["resolver_schema_current", ""] == 1
    assert found["resolver_queue_messages", "bulk"] == 1
    assert found["resolver_queue_messages", "interactive"] == 0
    assert 0 <= found["resolver_queue_oldest_age_seconds", "bulk"] < 600
    assert found["resolver_workers", ""] == found["resolver_dead_letters", ""] == 0
    assert found["resolver_queue_workers", "bulk"] == 0
    assert found["resolver_monitor_seconds", ""] > 0
    # It is gone: no old figure is served.
    away = settings.model_copy(
        update={"broker_url": SecretStr("redis://127.0.0.1:9/0"), "qdrant_url": None}
    )
    monitor._settings = away
    monitor.check()
    found = exposed(monitor.metrics)
    assert found["resolver_part_up", "broker"] == 0
    assert found["resolver_part_up", "database"] == 1
    assert ("resolver_queue_messages", "bulk") not in found
    assert found["resolver_workers", ""] != found["resolver_workers", ""]  # NaN


def exposed(metrics: SystemMetrics) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        for sample in family.samples
    }


def test_the_overview_needs_the_head_of_the_migrations(database_url: str) -> None:
    engine = connect(database_url)
    found = monitoring.overview(engine, seconds=5)
    engine.dispose()
    assert found == Overview(head(), head(), jobs_set_aside=0)
    assert found.migrated
