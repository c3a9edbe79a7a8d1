"""Counts of outcomes."""

from __future__ import annotations

import pytest

from resolver.matching.outcome import Link, Outcome, Reason
from resolver.observing.outcome_counts import BUCKETS, OutcomeCounts


def link(probability: float) -> Link:
    return Link("052gg0110", "University of Oxford", "Oxford", 1.0, probability, 1)


def test_nothing_is_counted_of_nothing() -> None:
    assert OutcomeCounts.of([]) == OutcomeCounts()
    assert OutcomeCounts().links == 0


def test_outcomes_are_counted_by_reason_and_probability() -> None:
    outcome_counts = OutcomeCounts.of(
        [
            Outcome("a", (link(0.97), link(0.5))),
            Outcome("b", (link(1.0), link(1.0 + 1e-9))),
            Outcome("c", reason=Reason.AMBIGUOUS),
            Outcome("d", reason=Reason.AMBIGUOUS),
            Outcome("", reason=Reason.EMPTY),
        ]
    )
    assert outcome_counts.reasons == {"ambiguous": 2, "empty": 1}
    links = dict(zip(BUCKETS, outcome_counts.probabilities, strict=True))
    assert links == dict.fromkeys(BUCKETS, 0) | {0.5: 1, 0.98: 1, 1.0: 2}
    assert outcome_counts.links == 4
    assert outcome_counts.probability_sum == pytest.approx(3.47)
