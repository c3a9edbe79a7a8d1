"""Columns are tested with the judge's in test_evidence.py; here what the relations rest on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.matching.candidate import Candidate, Ranked
from resolver.matching.reading import STANDING, Reading, competes
from resolver.registry.document import Document

WORDS = ("university", "of", "york", "graz", "hospital", "東京", "大学", "inst.", "ÅBO")
TEXTS = st.lists(st.sampled_from([*WORDS, ",", ";"]), max_size=12).map(" ".join)
NAMES = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)


def candidate(name: str, score: float = 1.0) -> Candidate:
    document = Document(name, name, name, False, "York", None, "GB", "United Kingdom")
    return Candidate(document, Ranked(1, score), None, 1.0)


@given(TEXTS, st.lists(NAMES, max_size=6))
def test_any_text_and_names_give_finite_columns(text: str, names: list[str]) -> None:
    reading = Reading(text, [candidate(name) for name in names])
    assert reading.standing.shape == (len(names), len(STANDING))
    assert np.isfinite(reading.standing).all()
    shares = reading.standing[:, [STANDING.index(c) for c in ("coverage", "text_share")]]
    assert ((shares >= 0) & (shares <= 1)).all()


@given(TEXTS, st.lists(NAMES, max_size=6))
def test_relations_are_of_each_two_others(text: str, names: list[str]) -> None:
    reading = Reading(text, [candidate(name) for name in names])
    for i, one in enumerate(reading.grounds):
        assert reading.shared[i, i] == len(one)
        for j, other in enumerate(reading.grounds):
            assert reading.shared[i, j] == len(one & other)
            assert reading.competing[i, j] == (i != j and competes(one, other))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({0, 1, 2}, {2, 3}, True),
        ({0, 1, 2}, {2, 3, 4}, False),
        ({0}, {1}, False),
        ({0, 1}, set(), True),
        (set(), set(), True),
    ],
    ids=["half of the smaller", "a third", "apart", "one stands on nothing", "both"],
)
def test_competing(one: set[int], other: set[int], expected: bool) -> None:
    assert competes(frozenset(one), frozenset(other)) is expected
    assert competes(frozenset(other), frozenset(one)) is expected
