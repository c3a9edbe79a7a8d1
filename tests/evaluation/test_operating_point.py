from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.evaluation.metrics import agreement
from resolver.evaluation.operating_point import (
    FLOOR,
    LinksAtThreshold,
    OperatingPoint,
    at_precision,
    best_f1,
    by_threshold,
    curve,
    thinned,
    thresholds,
)

ROWS = [
    (
        (LinksAtThreshold(0.9, ("a",)), LinksAtThreshold(0.4, ("a", "x"))),
        ["a"],
    ),  # right, then one too many
    (
        (LinksAtThreshold(0.8, ("x",)), LinksAtThreshold(0.3, ("b",))),
        ["b"],
    ),  # wrong, then another answer altogether
    ((LinksAtThreshold(0.3, ("x",)),), []),  # rightly silent, until the threshold is too low
    ((), ["c"]),  # nothing ever
]


def point(t: float, p: float, r: float, exact: float) -> OperatingPoint:
    return OperatingPoint(t, p, r, 2 * p * r / (p + r), exact)


def test_the_curve_by_hand() -> None:
    assert [astuple(one) for one in curve(ROWS)] == [
        pytest.approx(astuple(expected))
        for expected in (
            point(0.9, 1 / 1, 1 / 3, 2 / 4),
            point(0.8, 1 / 2, 1 / 3, 2 / 4),
            point(0.4, 1 / 3, 1 / 3, 1 / 4),
            point(0.3, 2 / 4, 2 / 3, 1 / 4),  # both changes at 0.3 in one point
        )
    ]


@pytest.mark.parametrize(
    ("rows", "points"),
    [
        ([], 0),
        ([((), ["a"])], 0),
        ([((LinksAtThreshold(0.5, ("x",)),), [])], 0),
        ([((LinksAtThreshold(0.5, ("x",)),), ["a"])], 1),
    ],
    ids=["no strings", "nothing linked", "no label", "all wrong"],
)
def test_a_curve_of_little(
    rows: list[tuple[tuple[LinksAtThreshold, ...], list[str]]], points: int
) -> None:
    assert len(curve(rows)) == points


IDS = st.sampled_from("abcd")
STRINGS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.sets(IDS)), max_size=4),
        st.sets(IDS),
    ),
    max_size=8,
)


@given(STRINGS, st.floats(0.05, 1.0))
def test_the_curve_says_what_measuring_at_that_threshold_says(
    strings: list[tuple[list[tuple[float, set[str]]], set[str]]], threshold: float
) -> None:
    """Whatever the threshold, the curve's last point above it is the agreement there."""
    rows = []
    pairs = []
    for answers, gold in strings:
        linked_at = dict(sorted(answers, key=lambda answer: -answer[0]))
        rows.append((by_threshold((t, sorted(ids)) for t, ids in linked_at.items()), gold))
        linked = [ids for t, ids in linked_at.items() if t >= threshold]
        pairs.append((linked[-1] if linked else set(), gold))
    measured = agreement(pairs)
    reached = [one for one in curve(rows) if one.accept_probability >= threshold]
    if reached and measured.precision is not None:
        last = reached[-1]
        assert (last.precision, last.recall, last.f1, last.exact) == pytest.approx(
            (measured.precision, measured.recall, measured.f1, measured.exact)
        )


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], ()),
        ([(0.9, [])], ()),
        ([(0.9, ["a"]), (0.5, ["a"])], (LinksAtThreshold(0.9, ("a",)),)),
        ([(0.9, ["a"]), (0.5, [])], (LinksAtThreshold(0.9, ("a",)), LinksAtThreshold(0.5, ()))),
        (
            [(0.9, ["a"]), (0.5, ["a", "b"])],
            (LinksAtThreshold(0.9, ("a",)), LinksAtThreshold(0.5, ("a", "b"))),
        ),
    ],
    ids=["none", "nothing linked", "no change", "an equal silences", "one more"],
)
def test_links_by_threshold(
    answers: list[tuple[float, list[str]]], expected: tuple[LinksAtThreshold, ...]
) -> None:
    assert by_threshold(answers) == expected


def test_thresholds_are_the_distinct_probabilities_strictest_first() -> None:
    assert thresholds([0.2, 0.9, 0.2, FLOOR / 2, FLOOR]) == [0.9, 0.2, FLOOR]


POINTS = [
    point(0.9, 1.0, 0.2, 0.3),
    point(0.8, 0.94, 0.6, 0.5),
    point(0.7, 0.96, 0.7, 0.6),
    point(0.5, 0.9, 0.9, 0.7),
    point(0.1, 0.5, 0.95, 0.4),
]


@pytest.mark.parametrize(
    ("target", "threshold"), [(0.5, 0.1), (0.9, 0.5), (0.95, 0.7), (0.97, 0.9), (1.01, None)]
)
def test_at_precision_takes_the_highest_recall(target: float, threshold: float | None) -> None:
    """Precision may rise again further down: 0.94 at 0.8 does not hide 0.96 at 0.7."""
    found = at_precision(POINTS, target)
    assert (found and found.accept_probability) == threshold


def test_best_f1() -> None:
    found = best_f1(POINTS)
    assert found is not None
    assert found.accept_probability == 0.5
    assert best_f1([]) is None


@pytest.mark.parametrize(
    ("most", "kept"), [(2, [0, 4]), (3, [0, 2, 4]), (5, range(5)), (9, range(5))]
)
def test_thinned_keeps_both_ends(most: int, kept: list[int]) -> None:
    assert thinned(POINTS, most) == [POINTS[place] for place in kept]
