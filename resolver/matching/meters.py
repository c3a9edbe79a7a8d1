"""How much a call did, and how long each of its stages took."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields

STAGES = ("normalise", "recall", "sieve", "score", "decide", "store")
"""In the order in which an affiliation goes through them; also fields of `Meters`."""


@dataclass(frozen=True, slots=True)
class Meters:
    """Counts, and seconds of wall time.

    Stages overlap and wait for each other's locks, so their seconds may add up to more than
    `wall`. `score` includes tokenising, and the judge's probabilities. Meters of calls that follow
    each other can be added.

    `pairs` is how many pairs of an affiliation and an organisation the reranker scored.
    `pairs_avoided` is how many more they would have been if each affiliation had been scored by
    itself: affiliations with the same text share their pairs, and so do organisations whose
    documents have the same text. `sieved` is how many candidates the sieve left out.
    """

    wall: float = 0.0
    normalise: float = 0.0
    recall: float = 0.0
    sieve: float = 0.0
    score: float = 0.0
    decide: float = 0.0
    store: float = 0.0
    pairs: int = 0
    pairs_avoided: int = 0
    sieved: int = 0

    def __add__(self, other: Meters) -> Meters:
        return Meters(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(self))
        )

    @property
    def busy(self) -> float:
        """Share of the time that the reranker was at work, 0 to 1."""
        return self.score / self.wall if self.wall else 0.0

    def __str__(self) -> str:
        """``wall=1.204 … store=0.031 pairs=706 pairs_avoided=54 sieved=5640 busy=0.87``"""
        seconds = " ".join(f"{name}={getattr(self, name):.3f}" for name in ("wall", *STAGES))
        return (
            f"{seconds} pairs={self.pairs} pairs_avoided={self.pairs_avoided} "
            f"sieved={self.sieved} busy={self.busy:.2f}"
        )


class Stopwatch:
    """Seconds of wall time, from when it was made."""

    def __init__(self) -> None:
        self._began = self._lap = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap, or since the beginning."""
        last, self._lap = self._lap, time.perf_counter()
        return self._lap - last

    def total(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began
