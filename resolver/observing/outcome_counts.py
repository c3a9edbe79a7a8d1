"""Counts of the outcomes of some affiliations, without any text."""

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
class OutcomeCounts:
    """`reasons` counts the outcomes without a link, by reason. `probabilities` counts the links by
    probability, one number for each of `BUCKETS`, which are not cumulative; `probability_sum` is
    the sum of all probabilities."""

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
