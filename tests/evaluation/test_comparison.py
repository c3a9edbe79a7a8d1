"""Answers of two versions beside each other."""

from __future__ import annotations

import pytest

from resolver.evaluation.comparison import Difference, compare, difference
from resolver.matching.outcome import Link, Outcome, Reason


def linked(text: str, **probabilities: float) -> Outcome:
    return Outcome(
        text,
        tuple(
            Link(ror_id, ror_id, ror_id, 0.0, probability, rank)
            for rank, (ror_id, probability) in enumerate(probabilities.items(), start=1)
        ),
    )


def none(text: str, reason: Reason = Reason.NOT_IN_REGISTRY) -> Outcome:
    return Outcome(text, reason=reason)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (linked("t", a=0.9), linked("t", a=0.6), Difference.SAME),
        (linked("t", a=0.9, b=0.8), linked("t", b=0.9, a=0.8), Difference.SAME),
        (none("t"), none("t"), Difference.SAME),
        (none("t"), linked("t", a=0.9), Difference.GAINED),
        (linked("t", a=0.9), linked("t", a=0.9, b=0.8), Difference.GAINED),
        (linked("t", a=0.9), none("t"), Difference.LOST),
        (linked("t", a=0.9, b=0.8), linked("t", b=0.9), Difference.LOST),
        (linked("t", a=0.9), linked("t", b=0.9), Difference.OTHER_ORGANISATION),
        (linked("t", a=0.9, b=0.8), linked("t", a=0.9, c=0.8), Difference.OTHER_ORGANISATION),
        (none("t"), none("t", Reason.AMBIGUOUS), Difference.OTHER_REASON),
    ],
)
def test_an_answer_differs_in_one_way(
    first: Outcome, second: Outcome, expected: Difference
) -> None:
    assert difference(first, second) is expected
    opposite = {
        Difference.GAINED: Difference.LOST,
        Difference.LOST: Difference.GAINED,
    }
    assert difference(second, first) is opposite.get(expected, expected)


FIRST = [linked("1", a=0.9), linked("2", a=0.5), none("3"), linked("4", a=0.9, b=0.7), none("5")]
SECOND = [linked("1", a=0.8), linked("2", b=0.5), none("3"), linked("4", b=0.9, a=0.6), linked("5", a=0.6)]  # fmt: skip


def test_answers_are_counted_by_how_they_differ() -> None:
    found = compare(FIRST, SECOND)
    assert found.affiliations == 5
    assert found.counts == {
        Difference.SAME: 3,
        Difference.GAINED: 1,
        Difference.LOST: 0,
        Difference.OTHER_ORGANISATION: 1,
        Difference.OTHER_REASON: 0,
    }
    assert found.share(Difference.SAME) == 0.6
    assert [pair.first.affiliation for pair in found.pairs] == ["2", "5"]
    assert found.examples(Difference.GAINED, 3) == found.pairs[1:]
    assert found.examples(Difference.GAINED, 0) == []


def test_probabilities_are_compared_where_both_have_the_organisation() -> None:
    found = compare(FIRST, SECOND)
    # -0.1 of the first affiliation, +0.2 and -0.3 of the fourth.
    assert found.links == 3
    assert found.mean_change == pytest.approx(-0.2 / 3)
    assert found.mean_shift == pytest.approx(0.2)


def test_nothing_is_compared_with_nothing() -> None:
    found = compare([], [])
    assert (found.affiliations, found.links, found.mean_change, found.mean_shift) == (0, 0, 0, 0)
    assert all(found.share(kind) == 0 for kind in Difference)


def test_answers_to_other_affiliations_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare(FIRST, SECOND[:2])
