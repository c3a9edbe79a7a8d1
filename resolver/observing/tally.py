"""What became of some affiliations, in counts: never texts."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from resolver.matching.outcome import Outcome

BUCKETS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
"""Upper bounds of the probability of a link. Most links are above 0.9, so they are finer there."""


@dataclass(frozen=True, slots=True)
class Tally:
    """`reasons` counts the outcomes without a link by why. `probabilities` counts the links, one
    number for each of `BUCKETS` and only what is above the one before; `probability_sum` is the sum
    of their probabilities."""

    reasons: Mapping[str, int] = field(default_factory=dict)
    probabilities: tuple[int, ...] = (0,) * len(BUCKETS)
    probability_sum: float = 0.0

    @property
    def links(self) -> int:
        return sum(self.probabilities)

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Self:
        reasons: Counter[str] = Counter()
        probabilities = [0] * len(BUCKETS)
        total = 0.0
        for outcome in outcomes:
            if outcome.reason is not None:
                reasons[outcome.reason.value] += 1
            for link in outcome.links:
                # Rounding may leave it a hair above 1.
                probabilities[bisect_left(BUCKETS, min(link.probability, 1.0))] += 1
                total += link.probability
        return cls(dict(reasons), tuple(probabilities), total)
