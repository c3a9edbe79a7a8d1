"""`benchmarks.memory` measures what it says; its long form says whether a worker's memory is flat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from support.paths import ROOT

from benchmarks import memory
from resolver import sample


@pytest.mark.slowest
def test_memory_of_a_worker(tmp_path: Path) -> None:
    figures = tmp_path / "memory.json"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.memory", "--strings", "200", "--chunk-size", "20",
            "--json", str(figures),
        ],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1", "RESOLVER_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(figures.read_text())
    steps = found["steps"]
    assert len(steps) == 1 + memory.STEPS
    assert steps[-1]["strings"] == found["strings"] == 200
    for step in steps:
        # A process with models and an index, and files that it maps beside what it owns.
        assert 50 < step["own"] < step["resident"] < 4000
        assert step["parent"] < step["own"]
    assert found["growth"] == steps[-1]["own"] - steps[memory.FILLED]["own"]
    assert f"{found['growth']:+.1f} MB" in done.stdout


@pytest.mark.parametrize(("wanted", "expected"), [(None, 313), (7, 7), (1000, 313)])
def test_registry_is_cut(wanted: int | None, expected: int, tmp_path: Path) -> None:
    path = memory.cut(sample.REGISTRY, wanted, tmp_path)
    assert len(orjson.loads(path.read_bytes())) == expected
