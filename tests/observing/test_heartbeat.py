from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from resolver.observing import heartbeat


def test_a_beat_is_fresh_and_of_this_process(tmp_path: Path) -> None:
    file = tmp_path / "beat"
    assert heartbeat.last(file) is None
    heartbeat.beat(file)
    heartbeat.beat(file)
    found = heartbeat.last(file)
    assert found is not None
    assert found.pid == os.getpid()
    assert found.fresh
    assert [path.name for path in tmp_path.iterdir()] == ["beat"]


@pytest.mark.parametrize(
    ("seconds", "fresh"),
    [(heartbeat.STALE / 2, True), (2 * heartbeat.STALE, False), (-2 * heartbeat.STALE, False)],
    ids=["late", "too late", "of the future"],
)
def test_its_age_decides(tmp_path: Path, seconds: float, fresh: bool) -> None:
    file = tmp_path / "beat"
    heartbeat.beat(file)
    then = time.time() - seconds
    os.utime(file, (then, then))
    found = heartbeat.last(file)
    assert found is not None
    assert found.fresh is fresh


def test_a_file_of_somebody_else_is_of_nobody(tmp_path: Path) -> None:
    file = tmp_path / "beat"
    file.write_text("\0")
    found = heartbeat.last(file)
    assert found is not None
    assert found.pid is None
