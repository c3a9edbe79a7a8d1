"""Timing in turn: what the machine does meanwhile happens to all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast, round by round."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f}× ({self.least:.2f}–{self.most:.2f})"


def in_turn(variants: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of each variant in each round.

    Each runs once before the clock counts; every other round goes backwards, so that none
    always follows the same one.
    """
    for run in variants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants)
        for name in names if number % 2 == 0 else reversed(names):
            started = time.perf_counter()
            variants[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(slower: list[float], faster: list[float], *, work: float = 1.0) -> Ratio:
    """How many times as fast `faster` is; `work` is how many times as much it did in a round."""
    found = [work * one / other for one, other in zip(slower, faster, strict=True)]
    return Ratio(statistics.median(found), min(found), max(found))
