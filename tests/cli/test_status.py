"""``resolver status``, ``monitor`` and ``healthy``, as they are run."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, text
from support.command_line import Run, in_a_terminal, run_in, without_colours

from resolver.database import jobs
from resolver.database.connection import transaction
from resolver.observing import heartbeat


@pytest.mark.slow
def test_status_of_an_installation(answered_home: Path) -> None:
    done = run_in(answered_home, "status")
    assert done.returncode == 0, done.stdout
    for line in ("database", "registry", "resolver", "index", "answers due", "queue", "workers"):
        assert f"\n{line}" in f"\n{done.stdout}"
    assert "without a link in the week of" in done.stdout
    told = json.loads(run_in(answered_home, "status", "--json").stdout)
    assert told["database"]["schema"] == told["database"]["needed"]
    assert told["registry"]["organisations"] > 100
    assert told["index"]
    assert sum(one["records"] for one in told["drift"]) > 100
    assert not [one for one in told["problems"] if one["serious"]]


@pytest.mark.slow
def test_status_where_nothing_was_set_up(resolver_anew: Run) -> None:
    done = resolver_anew("status")
    assert done.returncode == 1
    assert "✗ there is no database yet" in done.stdout
    assert "resolver migrate" in done.stdout
    assert "Traceback" not in done.stderr


FAILED_RUN = """
    INSERT INTO update_run (scheduled, began_at, ended_at, step, problem, remedy)
    VALUES (true, '2026-11-30 03:00+00', '2026-11-30 03:01+00', 'fetch', 'no answer from Zenodo',
            'set RESOLVER_REGISTRY_URL to a mirror')
"""


@pytest.mark.parametrize("columns", [80, 120])
def test_a_failed_scheduled_update_is_red(
    engine: Engine, database_url: str, tmp_path: Path, columns: int
) -> None:
    with transaction(engine) as connection:
        connection.execute(text(FAILED_RUN))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    environment |= {
        "RESOLVER_HOME": str(tmp_path),
        "RESOLVER_DATABASE_URL": database_url,
    }
    command = [sys.executable, "-m", "resolver.cli", "status"]
    code, shown = in_a_terminal(command, columns=columns, env=environment, colours=True)
    assert code == 1
    assert re.search(r"2026-11-30 03:00 UTC, by schedule, .\[1;31mfailed", shown)
    plain = " ".join(without_colours(shown).split())
    assert (
        "✗ the scheduled update of 2026-11-30 03:00 UTC failed at step fetch: no answer from Zenodo "
        "set RESOLVER_REGISTRY_URL to a mirror; then run: resolver update"
    ) in plain
    assert "\x1b[31m the scheduled update" in shown
    told = json.loads(run_in(tmp_path, "status", "--json", env=environment).stdout)
    assert told["last_update"] == {
        "began_at": "2026-11-30T03:00:00+00:00", "ended_at": "2026-11-30T03:01:00+00:00",
        "scheduled": True, "step": "fetch", "problem": "no answer from Zenodo",
        "remedy": "set RESOLVER_REGISTRY_URL to a mirror",
    }  # fmt: skip
    assert told["problems"][0]["serious"] is True
    assert "scheduled update" in told["problems"][0]["problem"]


def test_jobs_set_aside_are_red(engine: Engine, database_url: str, tmp_path: Path) -> None:
    jobs.create(
        engine, [(None, "CERN", None)], policy={}, organizations="none", days=1, request_hash=b""
    )
    with jobs.sending(engine) as job:
        assert job is not None
    jobs.set_aside(engine, job, "max_links: no number")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    environment |= {"RESOLVER_HOME": str(tmp_path), "RESOLVER_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "resolver.cli", "status"]
    code, shown = in_a_terminal(command, columns=100, env=environment, colours=True)
    assert code == 1
    assert re.search(r"jobs set aside.*\x1b\[1;31m1\b", shown)
    assert "\x1b[31m 1 job is set aside" in shown
    plain = " ".join(without_colours(shown).split())
    assert (
        "✗ 1 job is set aside and not sent to the queue any more "
        "see docs/operations.md, ResolverJobsFailed"
    ) in plain
    printed = json.loads(run_in(tmp_path, "status", "--json", env=environment).stdout)
    assert printed["jobs_set_aside"] == 1
    assert printed["problems"][0]["serious"] is True
    jobs.retry(engine, job)
    printed = json.loads(run_in(tmp_path, "status", "--json", env=environment).stdout)
    assert printed["jobs_set_aside"] == 0


def test_healthy_looks_at_the_heartbeat(resolver_anew: Run, tmp_path: Path) -> None:
    file = tmp_path / "beat"
    environment = {"RESOLVER_HEARTBEAT_FILE": str(file)}
    unset = resolver_anew("healthy")
    assert unset.returncode == 1
    assert "RESOLVER_HEARTBEAT_FILE" in unset.stderr
    assert resolver_anew("healthy", env=environment).returncode == 1
    heartbeat.beat(file)
    alive = resolver_anew("healthy", env=environment)
    assert alive.returncode == 0, alive.stderr
    then = time.time() - 10 * heartbeat.STALE
    os.utime(file, (then, then))
    hangs = resolver_anew("healthy", env=environment)
    assert hangs.returncode == 1
    assert "the last heartbeat was" in hangs.stderr


@pytest.mark.slow
def test_the_monitor_runs_until_it_is_stopped(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    environment |= {
        "RESOLVER_HOME": str(tmp_path / "home"),
        "RESOLVER_LOG_FORMAT": "json",
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment["RESOLVER_METRICS_PORT"] = str(port)
    process = subprocess.Popen(
        [sys.executable, "-m", "resolver.cli", "monitor"],
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        first = json.loads(process.stderr.readline())
        assert first["message"] == f"metrics at http://127.0.0.1:{port}/metrics"
        second = json.loads(process.stderr.readline())
        assert (second["level"], second["message"]) == ("warning", "there is no database yet")
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert 'resolver_part_up{part="database"} 1.0' in metrics
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.communicate()
