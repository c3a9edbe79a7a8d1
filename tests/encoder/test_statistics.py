"""Statistics: what they weigh, that they come back as they were, and what tells them apart."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.encoder.lexical import Term, TermIds, in_order, kind, terms
from resolver.encoder.statistics import Statistics, counted, learnt
from resolver.encoder.translation import LEAST_ORGANISATIONS, Translation
from resolver.registry.document import Document

TERMS = st.integers(0, 2**32 - 1)
LEXICONS = st.dictionaries(
    st.tuples(st.text(max_size=3), st.sampled_from(["HANGUL", "HEBREW"])),
    st.dictionaries(
        st.text(max_size=5), st.dictionaries(TERMS, st.floats(0.0, 1.0, exclude_min=True))
    ),
    max_size=3,
)
NAMES = st.lists(st.sets(TERMS, max_size=6).map(in_order), max_size=6)
STATISTICS = st.builds(counted, NAMES, LEXICONS.map(Translation))


def of(*names: set[int], translation: Translation | None = None) -> Statistics:
    return counted([in_order(name) for name in names], translation)


@pytest.mark.parametrize(
    ("term", "odds"),
    [(1, 4.0), (2, 2.0), (2**32 - 1, 4.0), (4, 4.0), (0, 4.0)],
    ids=["in one of three", "in all", "the highest", "unknown: as if in one", "lower than all"],
)
def test_idf_is_ln_of_one_plus_n_by_df(term: int, odds: float) -> None:
    weights = of({1, 2}, {2}, {2, 3, 2**32 - 1}).idf(np.array([term, 2], np.uint32))
    assert weights.tolist() == pytest.approx([math.log(odds), math.log(2)])


def test_nothing_known_and_nothing_asked() -> None:
    assert of().idf(in_order({5})).tolist() == [0.0]
    assert of({5}).idf(in_order(())).tolist() == []


@given(STATISTICS)
def test_they_come_back_as_they_were(statistics: Statistics) -> None:
    found = Statistics.from_bytes(statistics.to_bytes())
    assert found.fingerprint == statistics.fingerprint
    assert found.documents == statistics.documents
    assert found.translation == statistics.translation
    asked = np.append(statistics.terms, np.uint32(77))
    assert found.idf(asked).tolist() == statistics.idf(asked).tolist()


@given(NAMES, LEXICONS, st.randoms())
def test_the_order_of_learning_does_not_matter(
    names: list[TermIds], lexicons: dict[tuple[str, str], dict[str, dict[int, float]]], random
) -> None:  # type: ignore[no-untyped-def]
    backwards = {
        key: {word: dict(reversed(found.items())) for word, found in reversed(lexicon.items())}
        for key, lexicon in reversed(lexicons.items())
    }
    one = counted(names, Translation(lexicons))
    random.shuffle(names)
    other = counted(names, Translation(backwards))
    assert one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 16
    assert (np.diff(one.terms.astype(np.int64)) > 0).all()


KOREAN = Translation({("KR", "HANGUL"): {"busan": {8: 0.5}}})


@pytest.mark.parametrize(
    "other",
    [
        of({1}, {2}, {3}, translation=KOREAN),
        of({1}, {4}, translation=KOREAN),
        of({1}, {1, 2}, translation=KOREAN),
        of({1}, {2}),
        of({1}, {2}, translation=Translation({("KR", "HANGUL"): {"busan": {8: 0.25}}})),
        of({1}, {2}, translation=Translation({("JP", "HANGUL"): {"busan": {8: 0.5}}})),
    ],
    ids=["documents", "terms", "counts", "no translation", "share", "country"],
)
def test_the_fingerprint_tells_them_apart(other: Statistics) -> None:
    assert other.fingerprint != of({1}, {2}, translation=KOREAN).fingerprint


WHOLE = of({1}, {2}, translation=KOREAN).to_bytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", WHOLE[:-50], WHOLE[100:], b"\x93NUMPY", b"\x80\x04N."],
    ids=["empty", "a word", "cut short", "without a beginning", "another array", "a pickle"],
)
def test_what_is_damaged_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Statistics.from_bytes(content)


def document(ror_id: str, name: str) -> Document:
    return Document(ror_id, name, name, False, None, None, "KR", None)


def test_they_are_learnt_of_names_and_translate() -> None:
    """A city in two scripts, in enough organisations to learn it."""
    names = [
        document(f"{i:09d}", name)
        for i in range(LEAST_ORGANISATIONS)
        for name in (f"Busan Museum {i}", f"부산박물관{i}")
    ]
    statistics = learnt(names)
    assert statistics.documents == len(names)
    found = in_order(terms("Busan Museum"))
    museum, busan = (found[np.isin(found, in_order(terms(word)))] for word in ("Museum", "Busan"))
    assert statistics.idf(museum).tolist() == statistics.idf(in_order(terms("Museum"))).tolist()
    assert statistics.idf(busan)[0] == statistics.idf(museum)[0] < statistics.idf(in_order({3}))[0]
    shown = document("099999999", "Busan Library")
    guessed = statistics.translation.terms([shown])
    assert {kind(term) for term in guessed} == {Term.CJK_PAIR}
    plain, translated = (statistics.vectors([shown], [given])[0] for given in ({}, guessed))
    assert set(plain.indices.tolist()) == terms("Busan Library")
    assert set(translated.indices.tolist()) == terms("Busan Library") | guessed.keys()
    assert statistics.vectors([shown])[0].values.tolist() == plain.values.tolist()
    again = Statistics.from_bytes(statistics.to_bytes())
    assert again.vectors([shown], [guessed])[0].values.tobytes() == translated.values.tobytes()


def test_identifiers_are_weighed_whatever_the_statistics() -> None:
    shown = dataclasses.replace(document("099999999", "Busan"), identifiers=("domain:busan.kr",))
    (vector,) = of({1}).vectors([shown])
    assert [kind(term) for term in vector.indices[vector.values > 1].tolist()] == [Term.IDENTIFIER]
