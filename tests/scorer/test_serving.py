"""Where the scorer listens, and what its log says."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from resolver.errors import SettingsError
from resolver.observing.metrics import ScorerMetrics
from resolver.scorer import serving
from resolver.scorer.serving import Report, alone, listening, socket_path
from resolver.settings import Settings


def test_where_it_listens(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path)  # type: ignore[call-arg]
    assert socket_path(settings) == tmp_path / "scorer.sock"
    assert socket_path(settings.model_copy(update={"scorer": Path("s")})) == Path("s")


def test_the_socket_is_its_users_alone_and_takes_the_place_of_a_dead_ones(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(path), socket.socket(socket.AF_UNIX) as client:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        client.connect(str(path))
    assert not path.exists()


def test_a_second_scorer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LOCK_SECONDS", 0.0)
    refused = pytest.raises(SettingsError, match="another scorer listens at")
    with alone(tmp_path / "s"), refused, alone(tmp_path / "s"):
        pass
    with alone(tmp_path / "s"):
        pass


@pytest.mark.parametrize(
    ("path", "said"),
    [("x" * 100, "its path has more than 100 bytes"), ("file/s", "File exists")],
)
def test_a_path_that_cannot_be_a_socket(tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "file").touch()
    refused = pytest.raises(SettingsError, match=f"cannot listen at .*: {said}")
    with refused, alone(tmp_path / path), listening(tmp_path / path):
        pass


def test_the_log_says_what_was_done_since_the_line_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(serving.time, "monotonic", lambda: now)
    metrics = ScorerMetrics()
    report = Report(metrics, largest=1000)
    assert not report.due
    assert report.line() is None
    for waited in (0.002, 0.004):
        metrics.wait.observe(waited)
        metrics.batch(requests=1, pairs=600, tokens=30_000)
    metrics.busy.inc(45)
    now = 60.0
    assert report.due
    metrics.batch(requests=1, pairs=0, tokens=0)
    assert report.line() == (
        "20 pairs/s, 1,000 tokens/s, 1.0 requests and 20,000 tokens a batch (1,000 at a time), "
        "waited 3.0 ms, busy 75%"
    )
    assert report.line() is None
