"""The short forms of `make chaos` and `make chaos-serve`: every fault once, under load, on real
servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.paths import ROOT

from benchmarks import chaos, chaos_serve
from benchmarks.chaos_serve import Down, Try
from resolver.doors.problems import PROBLEM_JSON


def run(name: str, figures: Path, *arguments: str) -> dict[str, Any]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", str(figures)],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1", "RESOLVER_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, Any] = json.loads(figures.read_text())
    return found


def _broker() -> str:
    """RabbitMQ, which is for production, where it is installed. One is enough here: `make chaos`
    has both, and what is Redis' own is in tests/workers."""
    return "redis" if shutil.which("rabbitmq-server", path=chaos.RABBITMQ) is None else "rabbitmq"


@pytest.mark.slowest
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    figures = run("chaos", tmp_path / "chaos.json", "--quick", "--brokers", _broker())
    rows = figures["rows"]
    assert len(rows) >= len(chaos.FAULTS) - 1  # a disk can be filled by root alone
    for row in rows:
        assert row["times"] == 1, row
        assert (row["lost"], row["doubled"], row["different"]) == (0, 0, 0), row
    [total] = figures["totals"]
    assert total["reconciled"], total
    assert total["dead letters"] == chaos.POISONED


# Requests


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_request_is_answered_wrongly_and_no_job_is_damaged(tmp_path: Path) -> None:
    rows = run("chaos_serve", tmp_path / "chaos.json", "--quick")["rows"]
    assert len(rows) == len(chaos_serve.FAULTS)
    for row in rows:
        assert (row["wrong"], row["failed"]) == (0, 0), row
        assert (row["lost"], row["doubled"], row["different"]) == (0, 0, 0), row
        assert row["jobs"] > 0 < row["answered"], row
    killed, stopped, postgres, qdrant = rows
    # Each fault was noticed.
    assert killed["no_server"] > 0 < stopped["no_server"]
    assert postgres["told"] > 0 < qdrant["told"]
    assert postgres["no_server"] == qdrant["no_server"] == 0


RIGHT = {"items": [1]}
WAIT = {"retry-after": "5"}
PROBLEM = {"content-type": PROBLEM_JSON}


@pytest.mark.parametrize(
    ("door", "status", "headers", "result"),
    [
        ("match", 200, {}, "answered"),
        ("match", 503, WAIT | PROBLEM, "told"),
        ("match", 503, PROBLEM, "failed"),
        ("match", 503, WAIT | {"retry-after": "0"} | PROBLEM, "failed"),
        ("match", 503, WAIT, "failed"),
        ("match", 500, WAIT | PROBLEM, "failed"),
        ("ror", 503, WAIT, "told"),
        ("ror", 429, WAIT, "failed"),
        ("reconcile", 429, WAIT | PROBLEM, "told"),
        ("reconcile", 503, WAIT | PROBLEM, "failed"),
    ],
)
def test_what_a_response_counts_as(
    door: str, status: int, headers: dict[str, str], result: str
) -> None:
    response = httpx.Response(status, headers=headers, json=RIGHT)
    assert chaos_serve.judged(door, response, RIGHT)[0] == result


def test_another_answer_than_before_is_wrong() -> None:
    response = httpx.Response(200, json={"items": []})
    assert chaos_serve.judged("match", response, RIGHT)[0] == "wrong"


@pytest.mark.parametrize(
    ("result", "start", "end", "killed", "counts"),
    [
        ("refused", 11, 12, True, "no server"),
        ("refused", 8, 9, True, "failed"),
        ("broke", 9, 11, True, "no server"),
        ("broke", 9, 11, False, "failed"),
        ("broke", 11, 12, False, "no server"),
        ("broke", 21, 22, True, "failed"),
        ("answered", 9, 11, True, "answered"),
    ],
)
def test_what_a_broken_connection_counts_as(
    result: str, start: float, end: float, killed: bool, counts: str
) -> None:
    """The process is down from 10 to 20."""
    assert chaos_serve.result_of(Try("match", start, end, result), [Down(killed, 10, 20)]) == counts


LINK = {"ror_id": "a", "probability": 0.9917, "score": 4.0002}


@pytest.mark.parametrize(
    ("links", "same"),
    [
        ([LINK], True),
        ([LINK | {"probability": 0.9918}], True),
        ([LINK | {"probability": 0.9919}], False),
        ([LINK | {"score": 4.0003}], True),
        ([LINK | {"score": 4.0004}], False),
        ([LINK | {"ror_id": "b"}], False),
        ([LINK, LINK], False),
        ([], False),
    ],
)
def test_when_the_results_of_a_job_are_those_of_match(
    links: list[dict[str, Any]], same: bool
) -> None:
    result = {"index": 1, "status": "linked", "links": [LINK]}
    sent = {"affiliation": "University of York"}
    assert chaos_serve.is_same(result | sent | {"links": links}, result) == same
