"""The schedule: what it promises, and a release that is taken in by nobody's hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery.schedules import crontab
from pydantic import SecretStr
from sqlalchemy import text
from support.next_release import ICELAND, write_next_release
from support.paths import ROOT
from support.zenodo_server import zenodo

from resolver import sample
from resolver.database import due_answers, resolver_versions
from resolver.database.locks import updating_alone
from resolver.database.records import refuse
from resolver.errors import SettingsError
from resolver.intake.record import RefusedRecord
from resolver.release.update import update
from resolver.service.installation import Installation
from resolver.settings import Settings
from resolver.workers import broker
from resolver.workers.app import create_app
from resolver.workers.client import UPDATE, enqueue
from resolver.workers.schedule import every, scheduled

PATIENCE = 150
"""Seconds: cron fires at whole minutes."""


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 3 * * 1", crontab(minute="0", hour="3", day_of_week="1")),
        ("*/15 * * * *", crontab(minute="*/15")),
        ("30 2 1,15 * *", crontab(minute="30", hour="2", day_of_month="1,15")),
    ],
)
def test_a_cron_expression_is_read(expression: str, expected: crontab) -> None:
    assert every(expression) == expected


@pytest.mark.parametrize("expression", ["", "daily", "0 3 * *", "0 25 * * *", "61 * * * *"])
def test_what_is_no_cron_expression_is_told(expression: str) -> None:
    with pytest.raises(SettingsError, match="no cron expression"):
        every(expression)


def test_the_schedule_is_off_by_default() -> None:
    with pytest.raises(SettingsError, match="no schedule is set"):
        scheduled(settings(), broker_url="redis://localhost/1")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"update_schedule": "0 3 * * 1"}, {"resolver.update": crontab("0", "3", "1")}),
        ({"forget_schedule": "30 4 * * *"}, {"resolver.forget": crontab("30", "4")}),
        ({"review_schedule": "0 2 * * *"}, {"resolver.rebuild_review": crontab("0", "2")}),
        (
            {"update_schedule": "0 3 * * 1", "forget_schedule": "30 4 * * *"},
            {"resolver.update": crontab("0", "3", "1"), "resolver.forget": crontab("30", "4")},
        ),
    ],
)
def test_what_is_scheduled_goes_to_the_queue_of_the_registry(
    chosen: dict[str, str], expected: dict[str, crontab]
) -> None:
    app = scheduled(settings(**chosen), broker_url="redis://localhost/1")
    entries = app.conf.beat_schedule.values()
    assert {entry["task"]: entry["schedule"] for entry in entries} == expected
    assert {entry["options"]["queue"] for entry in entries} == {"registry"}
    app.loader.import_default_modules()
    assert {entry["task"] for entry in entries} <= set(app.tasks)


def test_a_bad_expression_names_its_setting() -> None:
    with pytest.raises(SettingsError, match="RESOLVER_FORGET_SCHEDULE: 'daily'"):
        scheduled(settings(forget_schedule="daily"), broker_url="redis://localhost/1")


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.2)


@contextmanager
def running(log: Path, environment: dict[str, str], *arguments: str) -> Iterator[Path]:
    """``resolver …`` until the block ends; yields its log."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "resolver.cli", *arguments],
            env=environment, cwd=ROOT, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            yield log
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0, log.read_text()


@pytest.mark.slowest
def test_a_release_is_taken_in_on_schedule(database_url: str, services_home: Path) -> None:
    # Celery beat, a worker of all queues, the embedded Redis between them, and a Zenodo.
    home = services_home / "scheduled"
    home.mkdir()
    chosen = settings(home=home, database_url=SecretStr(database_url), chunk_size=8)
    with (
        zenodo(write_next_release(home)) as url,
        Installation(chosen) as installation,
        broker.address(chosen),
    ):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")} | {
            "RESOLVER_HOME": str(home),
            "RESOLVER_DATABASE_URL": database_url,
            "RESOLVER_REGISTRY_URL": url,
            "RESOLVER_UPDATE_SCHEDULE": "* * * * *",
            "RESOLVER_FORGET_SCHEDULE": "* * * * *",
            "RESOLVER_KEEP_REFUSED_DAYS": "0",
            "RESOLVER_CHUNK_SIZE": "8",
        }
        engine = installation.engine
        update(installation, sample.REGISTRY)
        records = [json.loads(line) for line in sample.AFFILIATIONS.read_text().splitlines()]

        def answered(ror_id: str) -> int:
            with engine.connect() as connection:
                return int(
                    connection.execute(
                        text("SELECT count(*) FROM link WHERE ror_id = :id"), {"id": ror_id}
                    ).scalar_one()
                )

        def rows(table: str) -> int:
            with engine.connect() as connection:
                count = connection.execute(text(f"SELECT count(*) FROM {table}"))
                return int(count.scalar_one())

        with running(home / "worker.log", environment, "worker") as worker:
            enqueue(records, settings=chosen)
            until(lambda: rows("outcome") == 153, "all are answered")
            refuse(engine, [RefusedRecord("affiliation: missing", "{}")])
            assert answered(ICELAND) == 0
            # What another process does meanwhile is not done twice.
            with updating_alone(engine):
                _send_update(chosen)
                until(lambda: "this one does nothing" in worker.read_text(), "it stands back")
            with running(home / "schedule.log", environment, "schedule"):
                until(lambda: answered(ICELAND), "the new release answers")
                until(lambda: not rows("refused_record"), "what was refused is forgotten")
            version = resolver_versions.current_resolver(engine)
            assert version is not None
            assert version.release == "v3.0"
            until(lambda: not due_answers.due_count(engine, version.id), "nothing is due")
            _send_update(chosen)
            until(lambda: "is taken in already" in worker.read_text(), "and once more")
        said = worker.read_text()
        assert "sent to the queue refresh: " in said
        assert "ChunkReport(received=" in said
        assert "Traceback" not in said


def _send_update(chosen: Settings) -> None:
    with broker.address(chosen) as url, create_app(chosen, broker_url=url) as app:
        app.send_task(UPDATE, queue="registry")
