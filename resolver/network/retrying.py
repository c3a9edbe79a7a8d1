"""Repeating a request whose failure may be temporary, after pauses that grow."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

JITTER = 0.25
"""Largest share by which a pause is lengthened at random, so that many clients do not repeat their
requests at the same moment."""

_T = TypeVar("_T")


class PassingError(Exception):
    """An attempt failed for a reason that may be temporary.

    `wait` is the pause in seconds that the server asks for. `attempts` is how many attempts were
    made; `retrying` sets it.
    """

    def __init__(self, reason: str, *, wait: float | None = None) -> None:
        self.reason = reason
        self.wait = wait
        self.attempts = 1
        super().__init__(reason)


def retrying(
    attempt: Callable[[], _T],
    *,
    attempts: int,
    backoff: float,
    longest: float,
    pause: Callable[[float], object] = time.sleep,
) -> _T:
    """The result of `attempt`, called again while it raises `PassingError`.

    The pause between two attempts is `backoff` seconds, doubled each time, or what the server asks
    for if that is longer; at most `longest` seconds. `pause` waits for that time.

    Raises:
        PassingError: that of the last attempt, or the first that asks for a pause longer than
            `longest`.
    """
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}, it must be at least 1")
    for number in itertools.count(1):
        try:
            return attempt()
        except PassingError as error:
            error.attempts = number
            asked = error.wait or 0.0
            if number == attempts or asked > longest:
                raise
            wait = backoff * 2 ** (number - 1) * random.uniform(1.0, 1.0 + JITTER)  # noqa: S311
            pause(min(max(asked, wait), longest))
    raise AssertionError("the loop above returns or raises")


def asked_wait(retry_after: str) -> float | None:
    """The seconds that a ``Retry-After`` header asks for, as a number or a date; None where it can
    not be read."""
    value = retry_after.strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
