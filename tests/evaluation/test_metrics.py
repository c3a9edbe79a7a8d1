import math

import pytest

from resolver.evaluation.metrics import (
    LEAST_CLAIMS,
    Reliability,
    agreement,
    f_beta,
    ndcg,
    recall_at,
    reciprocal_rank,
    reliability,
)


def test_agreement_by_hand() -> None:
    measured = agreement(
        [
            (["a"], ["a"]),  # right
            (["a", "x"], ["a", "b"]),  # one right, one wrong, one missed
            ([], ["c"]),  # missed
            ([], []),  # rightly silent
            (["x"], []),  # wrongly linked
        ]
    )
    assert measured.strings == 5
    assert measured.precision == pytest.approx(2 / 4)
    assert measured.recall == pytest.approx(2 / 4)
    assert measured.f1 == pytest.approx(0.5)
    assert measured.exact == pytest.approx(2 / 5)
    assert measured.no_match_specificity == pytest.approx(1 / 2)


def test_a_share_of_nothing_is_none() -> None:
    assert agreement([]).exact is None
    silent = agreement([([], [])])
    assert (silent.precision, silent.recall, silent.f1) == (None, None, None)
    assert silent.no_match_specificity == 1.0


@pytest.mark.parametrize(
    ("precision", "recall", "beta", "expected"),
    [
        (0.985, 0.763, 1.0, 0.860),  # ROR single_search on springer-2023, as published
        (0.985, 0.763, 0.5, 0.931),
        (0.869, 0.957, 0.5, 0.885),  # OpenAlex v3 on the same
        (0.0, 0.0, 1.0, 0.0),
        (None, 0.5, 1.0, None),
    ],
)
def test_f_beta(
    precision: float | None, recall: float, beta: float, expected: float | None
) -> None:
    value = f_beta(precision, recall, beta)
    assert value == (None if expected is None else pytest.approx(expected, abs=0.0006))


def test_recall_at_counts_pairs() -> None:
    ranked = [(["a", "b", "c"], ["c"]), (["x", "a"], ["x", "q"]), ([], [])]
    assert recall_at([1, 3], ranked) == {1: pytest.approx(1 / 3), 3: pytest.approx(2 / 3)}
    assert recall_at([1], []) == {1: None}


@pytest.mark.parametrize(
    ("right", "relevant", "reciprocal", "gain"),
    [
        ([True, False], 1, 1.0, 1.0),
        ([False, True], 1, 0.5, 1 / math.log2(3)),
        ([True, False, True], 2, 1.0, (1 + 0.5) / (1 + 1 / math.log2(3))),
        ([False] * 10 + [True], 1, 0.0, 0.0),  # beyond the cut
        ([True], 3, 1.0, 1 / (1 + 1 / math.log2(3) + 0.5)),  # two were never found
        ([], 1, 0.0, 0.0),
    ],
)
def test_ranks(right: list[bool], relevant: int, reciprocal: float, gain: float) -> None:
    assert reciprocal_rank(right) == pytest.approx(reciprocal)
    assert ndcg(right, relevant) == pytest.approx(gain)


def test_reliability_compares_what_was_claimed_with_what_was_right() -> None:
    measured = reliability([(0.95, True), (0.91, True), (0.92, False), (0.0, False), (1.0, True)])
    assert [one.claims for one in measured.bins] == [1, 4]
    assert measured.bins[1].claimed == pytest.approx(0.945)
    assert measured.bins[1].right == pytest.approx(0.75)
    assert measured.expected_error == pytest.approx(4 / 5 * 0.195)
    assert reliability([]) == Reliability((), 0.0)


@pytest.mark.parametrize(
    ("groups", "expected", "largest"),
    [
        # (probability, predictions, those that are right)
        ([(0.95, LEAST_CLAIMS - 1, 0)], 0.95, None),
        ([(0.95, LEAST_CLAIMS, LEAST_CLAIMS)], 0.05, 0.05),
        ([(0.25, 100, 35), (0.85, 100, 80)], (0.1 + 0.05) / 2, 0.1),
        ([(0.25, 100, 35), (0.55, 10, 0)], (10 + 5.5) / 110, 0.1),
    ],
    ids=["too few", "just enough", "above and below", "the worst has too few"],
)
def test_the_largest_error_is_that_of_a_bin_with_enough_predictions(
    groups: list[tuple[float, int, int]], expected: float, largest: float | None
) -> None:
    measured = reliability(
        (probability, place < right)
        for probability, predictions, right in groups
        for place in range(predictions)
    )
    assert measured.expected_error == pytest.approx(expected)
    assert measured.largest_error == (None if largest is None else pytest.approx(largest))
