"""The relations of candidates; the kinds of evidence are tested in test_evidence.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.matching.candidate import Candidate, Ranked
from resolver.matching.evidence import FIRST_STAGE_FEATURES, table
from resolver.matching.reading import Reading, competes
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation

WORDS = ("university", "of", "york", "graz", "hospital", "東京", "大学", "inst.", "ÅBO")
TEXTS = st.lists(st.sampled_from([*WORDS, ",", ";"]), max_size=12).map(" ".join)
NAMES = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)


def candidate(name: str, score: float = 1.0) -> Candidate:
    document = Document(name, name, name, False, "York", None, "GB", "United Kingdom")
    return Candidate(document, Ranked(1, score), None, 1.0)


@given(TEXTS, st.lists(NAMES, max_size=6))
def test_any_text_and_names_give_finite_columns(text: str, names: list[str]) -> None:
    reading = Reading(Affiliation.of(text), [candidate(name) for name in names])
    columns = table(FIRST_STAGE_FEATURES, reading, len(reading))
    assert columns.shape == (len(names), len(FIRST_STAGE_FEATURES))
    assert np.isfinite(columns).all()
    by_name = {f.name: column for f, column in zip(FIRST_STAGE_FEATURES, columns.T, strict=True)}
    for share in ("coverage", "text_share", "segment_share", "position", "holds_rival"):
        assert ((by_name[share] >= 0) & (by_name[share] <= 1)).all()


@given(TEXTS, st.lists(NAMES, max_size=6))
def test_relations_are_of_each_two_others(text: str, names: list[str]) -> None:
    reading = Reading(Affiliation.of(text), [candidate(name) for name in names])
    for i, matched in enumerate(reading.matched):
        assert reading.shared[i, i] == len(matched)
        for j, other in enumerate(reading.matched):
            assert reading.shared[i, j] == len(matched & other)
            assert reading.rivals[i, j] == (i != j and competes(matched, other))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({0, 1, 2}, {2, 3}, True),
        ({0, 1, 2}, {2, 3, 4}, False),
        ({0}, {1}, False),
        ({0, 1}, set(), True),
        (set(), set(), True),
    ],
    ids=["half of the fewer", "a third", "apart", "nothing matches one", "nothing matches either"],
)
def test_competes(one: set[int], other: set[int], expected: bool) -> None:
    assert competes(frozenset(one), frozenset(other)) is expected
    assert competes(frozenset(other), frozenset(one)) is expected
