from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.backfilling import write_mentions

from resolver.backfill import outcome_file, ray_workers
from resolver.backfill import plan as plans
from resolver.backfill.folder import Folder
from resolver.backfill.part import outcome_name
from resolver.backfill.ray_workers import Workers
from resolver.backfill.run import answer_missing
from resolver.backfill.state import state
from resolver.errors import BackfillError, ResolverError
from resolver.text.affiliation import text_hash


@pytest.fixture
def done(pin_folder: Folder, tmp_path: Path) -> Folder:
    """A run of one text, which is answered."""
    run = Folder(str(tmp_path / "run"))
    plan = plans.make([str(write_mentions(tmp_path / "in", ["MIT"]))], run, pin_folder)
    content = outcome_file.to_buffer([text_hash("MIT")], ["MIT"], [None], pin=plan.pin)
    run.write(outcome_name("0"), content)
    return run


def test_a_run_that_is_done_starts_nothing(
    done: Folder, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_workers, "answer", None)
    told: list[tuple[int, int]] = []
    reached = answer_missing(
        done, Workers(1), scratch=scratch, progress=lambda *counts: told.append(counts)
    )
    assert (reached.missing, told) == ([], [(1, 1)])


def test_a_pin_that_has_gone_is_named(done: Folder, scratch: Path, tmp_path: Path) -> None:
    with pytest.raises(BackfillError, match=r"elsewhere has no pin\.json"):
        answer_missing(
            done, Workers(1), scratch=scratch, pin_folder=Folder(str(tmp_path / "elsewhere"))
        )
    assert state(done).missing == []


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("127.0.0.1:1", "the Ray cluster at 127.0.0.1:1 does not answer: Connection refused"),
        ("ray://127.0.0.1:1", "does not answer: Connection refused"),
        ("ray://somewhere", "names no host and port"),
    ],
)
def test_a_cluster_that_is_not_there_is_named(address: str, problem: str) -> None:
    work = ray_workers.Work("run", "pin", Path("scratch"))
    with pytest.raises(ResolverError, match=problem):
        ray_workers.answer(["0"], work, Workers(1, address=address), report=print)


def test_nothing_but_a_run_loads_ray() -> None:
    """It takes seconds, and many machines that look at a run have none."""
    program = (
        "import sys, resolver.cli.backfill, resolver.backfill.run, resolver.backfill.join,"
        " resolver.backfill.load, resolver.backfill.pinning;"
        "print([name for name in ('ray', 'duckdb', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
