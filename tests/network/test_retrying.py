"""resolver.network.retrying: when it tries again, and how long it waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from resolver.network.retrying import JITTER, PassingError, asked_wait, retrying


class Attempts:
    """Fails with what is left of `failures`, then returns how often it was called."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.calls


def passing(*waits: float | None) -> list[PassingError]:
    return [PassingError("not now", wait=wait) for wait in waits]


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        pytest.param([], [], id="at once"),
        pytest.param([None, None, None], [1.0, 2.0, 4.0], id="growing"),
        pytest.param([5.0, None], [5.0, 2.0], id="what the server asks for"),
        pytest.param([0.1], [1.0], id="the server asks for less"),
        pytest.param([None] * 5, [1.0, 2.0, 4.0, 8.0, 10.0], id="no longer than the longest"),
    ],
)
def test_waits(asked: list[float | None], least: list[float]) -> None:
    attempt, waits = Attempts(*passing(*asked)), list[float]()
    result = retrying(attempt, attempts=9, backoff=1.0, longest=10.0, pause=waits.append)
    assert result == len(asked) + 1
    assert len(waits) == len(least)
    for wait, expected in zip(waits, least, strict=True):
        assert expected <= wait <= min(10.0, expected * (1.0 + JITTER))


@pytest.mark.parametrize(
    ("failures", "calls"),
    [
        pytest.param(passing(*[None] * 9), 3, id="attempts are used up"),
        pytest.param(passing(None, 11.0), 2, id="the server asks for too long a wait"),
    ],
)
def test_gives_up(failures: list[Exception], calls: int) -> None:
    attempt = Attempts(*failures)
    with pytest.raises(PassingError, match="not now") as caught:
        retrying(attempt, attempts=3, backoff=1.0, longest=10.0, pause=lambda _: None)
    assert caught.value.attempts == attempt.calls == calls


def test_other_errors_are_not_tried_again() -> None:
    attempt = Attempts(KeyError("x"))
    with pytest.raises(KeyError):
        retrying(attempt, attempts=3, backoff=1.0, longest=10.0)
    assert attempt.calls == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("soon", None),
        ("0", 0.0),
        (" 120 ", 120.0),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert asked_wait(header) == (seconds if seconds is None else pytest.approx(seconds, abs=60))


@pytest.mark.parametrize(("hours", "seconds"), [(1, 3600.0), (-1, 0.0)])
def test_retry_after_a_date(hours: int, seconds: float) -> None:
    # Made here, not as a parameter: a long run collects its tests minutes before.
    date = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    assert asked_wait(date) == pytest.approx(seconds, abs=60)
