from __future__ import annotations

from itertools import pairwise

import pytest

from resolver.errors import (
    DatabaseUnavailable,
    IndexMissing,
    IndexUnavailable,
    RerankerUnavailable,
)
from resolver.workers.app import TIME_LIMIT
from resolver.workers.tasks import ATTEMPTS, BACKOFF_MAXIMUM, retry_patiently


class Flaky:
    """Fails `times` times, then answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error = error
        self.times = times
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "done"


@pytest.mark.parametrize(
    "error",
    [DatabaseUnavailable("away"), IndexUnavailable("away"), RerankerUnavailable("away")],
)
@pytest.mark.parametrize("times", [0, 1, ATTEMPTS - 1])
def test_service_that_comes_back_is_waited_for(error: Exception, times: int) -> None:
    waits: list[float] = []
    assert retry_patiently(Flaky(error, times), wait=waits.append) == "done"
    assert len(waits) == times


def test_service_that_stays_away_is_given_up() -> None:
    waits: list[float] = []
    action = Flaky(DatabaseUnavailable("away"), 1000)
    with pytest.raises(DatabaseUnavailable):
        retry_patiently(action, wait=waits.append)
    assert action.calls == ATTEMPTS
    assert len(waits) == ATTEMPTS - 1
    assert all(0 <= wait <= BACKOFF_MAXIMUM for wait in waits)


def test_waits_grow_and_stay_within_the_time_limit() -> None:
    longest = [0.0] * (ATTEMPTS - 1)
    for _ in range(200):
        waits: list[float] = []
        with pytest.raises(DatabaseUnavailable):
            retry_patiently(Flaky(DatabaseUnavailable("away"), 1000), wait=waits.append)
        longest = [max(pair) for pair in zip(longest, waits, strict=True)]
    assert all(earlier <= later for earlier, later in pairwise(longest[:5]))
    assert sum(longest) < TIME_LIMIT / 2


@pytest.mark.parametrize("error", [IndexMissing("none"), ValueError("a mistake")])
def test_other_failures_are_not_repeated(error: Exception) -> None:
    waits: list[float] = []
    with pytest.raises(type(error)):
        retry_patiently(Flaky(error, 1), wait=waits.append)
    assert waits == []
