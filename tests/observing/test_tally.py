"""Counts of outcomes."""

from __future__ import annotations

import pytest

from resolver.matching.outcome import Link, Outcome, Reason
from resolver.observing.tally import BUCKETS, Tally


def link(probability: float) -> Link:
    return Link("052gg0110", "University of Oxford", "Oxford", 1.0, probability, 1)


def test_nothing_is_counted_of_nothing() -> None:
    assert Tally.of([]) == Tally()
    assert Tally().links == 0


def test_outcomes_are_counted_by_reason_and_probability() -> None:
    tally = Tally.of(
        [
            Outcome("a", (link(0.97), link(0.5))),
            Outcome("b", (link(1.0), link(1.0 + 1e-9))),
            Outcome("c", reason=Reason.AMBIGUOUS),
            Outcome("d", reason=Reason.AMBIGUOUS),
            Outcome("", reason=Reason.EMPTY),
        ]
    )
    assert tally.reasons == {"ambiguous": 2, "empty": 1}
    counts = dict(zip(BUCKETS, tally.probabilities, strict=True))
    assert counts == dict.fromkeys(BUCKETS, 0) | {0.5: 1, 0.98: 1, 1.0: 2}
    assert tally.links == 4
    assert tally.probability_sum == pytest.approx(3.47)
