import pytest

from resolver.domain.metrics import agreement, f_beta, recall_at


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
