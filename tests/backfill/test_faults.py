"""A run on Ray with faults: nothing is lost, nothing is doubled.

It has a text that kills its process, and a part that cannot be read. Its driver is killed in the
middle, and one of its actors when it is run again. The counts are printed: `pytest -s`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.backfilling import counts, deadly_environment, rows, varied, write_mentions

from resolver.backfill import part as parts
from resolver.backfill import plan as plans
from resolver.backfill.folder import Folder
from resolver.backfill.state import state

# A minute where nothing else uses the machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

Start = Callable[[Folder, int], subprocess.Popen[str]]

TEXTS = 160
PARTS = 12
POISON = "KILLER Institute"
RAWS = [*varied(TEXTS), POISON, *(f"  {text}" for text in varied(TEXTS)[::5])]


@pytest.fixture(scope="module")
def run(pin_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Planned, with nothing done."""
    folder = tmp_path_factory.mktemp("faults")
    run = Folder(str(folder / "run"))
    plans.make([str(write_mentions(folder / "in", RAWS, files=3))], run, pin_folder, parts=PARTS)
    return run


@pytest.fixture(scope="module")
def started(scratch: Path) -> Iterator[Start]:
    """Starts `resolver backfill run`; what is left of it in the end is ended."""
    before = {process.pid for process in psutil.process_iter()}

    def start(run: Folder, workers: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "resolver.cli", "backfill", "run", run.address,
             "--workers", str(workers), "--cpus", "1", "--scratch", str(scratch)],
            env=deadly_environment() | {"RESOLVER_THREADS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    yield start
    mine = psutil.Process()
    for process in mine.children(recursive=True):
        if process.pid not in before:
            process.kill()


def begun(run: Folder, start: Start, *, workers: int, files: int) -> subprocess.Popen[str]:
    """`resolver backfill run`, once there are so many files of outcomes. It is run again where the
    machine is too busy to start Ray, as it says itself."""
    deadline = time.monotonic() + 400
    process = start(run, workers)
    while len(run.files(plans.OUTCOMES)) < files:
        if process.poll() is not None:
            _, told = process.communicate()
            assert "Ray did not start" in told, told
            process = start(run, workers)
        assert time.monotonic() < deadline, "it does not get on"
        time.sleep(0.1)
    return process


def actors(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Those that are at work: each has a child that resolves."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [
        child.parent()
        for child in children
        if "resolver.backfill.process" in " ".join(child.cmdline())
    ]


def test_faults(
    run: Folder,
    started: Start,
    pin_folder: Folder,
    scratch: Path,
) -> None:
    plan = plans.read(run)
    unreadable = harmless_part(run, plan)
    due = f"{plans.DUE}/{unreadable}.parquet"
    whole = run.read(due)
    run.write(due, b"half a file")

    first = begun(run, started, workers=1, files=3)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    done = {file.name: file.modified for file in run.files(plans.OUTCOMES)}
    print("driver killed:", counts(run, RAWS), f"parts {len(done)} of {len(plan.parts)}")
    assert 3 <= len(done) < PARTS

    second = begun(run, started, workers=2, files=len(done) + 2)
    actors(second)[0].kill()
    _, told = second.communicate(timeout=300)
    print("actor killed:", counts(run, RAWS), f"exit code {second.returncode}")
    assert second.returncode == 1
    assert f"1 of {len(plan.parts)} parts missing: {unreadable}" in told
    assert "no whole Parquet file" in told
    assert "run again: resolver backfill run" in told
    after = {file.name: file.modified for file in run.files(plans.OUTCOMES)}
    assert done.items() <= after.items(), "what was done is not done again"

    run.write(due, whole)
    with parts.opened(run, plan, pin_folder, scratch) as mended:
        mended.answer(unreadable)
    third = started(run, 1)
    shown, told = third.communicate(timeout=60)
    assert third.returncode == 0, told
    assert f"{PARTS} of {PARTS} done" in shown
    in_the_end = counts(run, RAWS)
    print("mended:", in_the_end)
    assert in_the_end == {
        "due": TEXTS + 1, "rows": TEXTS + 1, "doubled": 0, "lost": 0, "alien": 0, "failed": 1,
    }  # fmt: skip
    failed = [row["text"] for row in rows(run) if row["status"] == "failed"]
    assert failed == [POISON]
    assert state(run).failed == 1
    assert [file.name for file in Path(run.address).rglob(".*") if file.is_file()] == []


def harmless_part(run: Folder, plan: plans.Plan) -> str:
    """The last part without the poison: the others begin before it."""
    for name in reversed(plan.parts):
        texts = run.dataset([f"{plans.DUE}/{name}.parquet"]).to_table()["text"].to_pylist()
        if POISON not in texts:
            return name
    raise AssertionError("there are parts without it")
