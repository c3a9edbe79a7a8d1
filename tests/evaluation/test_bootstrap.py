from __future__ import annotations

import pytest

from resolver.evaluation.bootstrap import intervals
from resolver.evaluation.metrics import agreement

MIXED = [(["a"], ["a"])] * 60 + [(["x"], ["a"])] * 20 + [([], ["a"])] * 10 + [([], [])] * 10


def test_intervals_hold_the_figure_and_have_the_width_of_theory() -> None:
    found = intervals(MIXED, 2000)
    measured = agreement(MIXED)
    for name, figure in (
        ("precision", measured.precision),
        ("recall", measured.recall),
        ("f1", measured.f1),
        ("exact", measured.exact),
    ):
        interval = found[name]
        assert interval is not None
        assert figure is not None
        assert interval[0] < figure < interval[1], name
    # A share of 0.7 over 100 strings: 1.96 standard errors are 0.09 either way.
    exact = found["exact"]
    assert exact is not None
    assert exact[1] - exact[0] == pytest.approx(2 * 0.09, abs=0.02)


def test_more_strings_narrow_them_and_they_are_the_same_every_time() -> None:
    few, many = (intervals(MIXED * times, 300)["f1"] for times in (1, 16))
    assert few is not None
    assert many is not None
    assert (many[1] - many[0]) * 3 < few[1] - few[0]
    assert intervals(MIXED, 300)["f1"] == few


@pytest.mark.parametrize(
    ("pairs", "resamples", "unknown"),
    [
        ([], 100, {"precision", "recall", "f1", "exact"}),
        (MIXED, 0, {"precision", "recall", "f1", "exact"}),
        ([([], [])] * 5, 100, {"precision", "recall", "f1"}),
        ([([], ["a"])] * 5, 100, {"precision", "f1"}),
        ([(["x"], [])] * 5, 100, {"recall", "f1"}),
        ([(["x"], ["a"])] * 5, 100, set()),
    ],
    ids=["no strings", "no resamples", "all silent", "nothing linked", "no label", "all wrong"],
)
def test_an_interval_of_nothing_is_none(
    pairs: list[tuple[list[str], list[str]]], resamples: int, unknown: set[str]
) -> None:
    found = intervals(pairs, resamples)
    assert {name for name, interval in found.items() if interval is None} == unknown
