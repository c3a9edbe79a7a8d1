"""The short form of `make chaos`: every fault once, under load, on real servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

from benchmarks import chaos

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(900)]


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
