from __future__ import annotations

import pytest

from resolver.matching.meters import Meters, Stopwatch


def test_meters_of_calls_add_up() -> None:
    one = Meters(wall=2.0, recall=0.5, score=1.5, pairs=20, pairs_avoided=1)
    other = Meters(wall=2.0, score=0.5, store=0.25, pairs=5)
    assert one + other == Meters(
        wall=4.0, recall=0.5, score=2.0, store=0.25, pairs=25, pairs_avoided=1
    )
    assert one + Meters() == one


@pytest.mark.parametrize(
    ("meters", "busy"), [(Meters(), 0.0), (Meters(wall=4.0, score=3.0), 0.75)], ids=["none", "some"]
)
def test_busy_is_the_share_of_the_reranker(meters: Meters, busy: float) -> None:
    assert meters.busy == busy


def test_a_line_of_the_log_has_them_all() -> None:
    assert str(Meters(wall=1.0, score=0.8, pairs=20)) == (
        "wall=1.000 normalise=0.000 recall=0.000 sieve=0.000 score=0.800 decide=0.000 store=0.000 "
        "pairs=20 pairs_avoided=0 sieved=0 busy=0.80"
    )


def test_laps_add_up_to_the_whole() -> None:
    watch = Stopwatch()
    laps = [watch.lap() for _ in range(3)]
    assert all(lap >= 0 for lap in laps)
    assert sum(laps) <= watch.total()
