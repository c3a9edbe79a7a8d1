from collections.abc import Collection, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.encoder.lexical import (
    SHARE,
    SparseVector,
    Term,
    document_vectors,
    in_order,
    query_vector,
    terms,
)
from resolver.encoder.statistics import counted

NAMES = [
    "University of Bonn",
    "University of York",
    "York University",
    "Graz University of Technology",
    "University of Graz",
    "Medical University of Graz",
    "東京大学",
    "東京大学医学部附属病院",
    "MIT",
]
STATISTICS = counted([in_order(terms(name)) for name in NAMES])


def vector_of(
    found: Collection[int],
    guessed: Mapping[int, float] | None = None,
    identifiers: tuple[str, ...] = (),
) -> SparseVector:
    (vector,) = document_vectors([in_order(found)], [guessed or {}], [identifiers], STATISTICS.idf)
    return vector


def best(affiliation: str) -> str:
    """The name that the sparse search puts first."""
    query = set(query_vector(affiliation).indices.tolist())

    def score(name: str) -> float:
        vector = vector_of(terms(name))
        pairs = zip(vector.indices.tolist(), vector.values.tolist(), strict=True)
        return sum(value for term, value in pairs if term in query)

    return max(NAMES, key=score)


@pytest.mark.parametrize(
    ("affiliation", "expected"),
    [
        ("Dept. of Geophysics, University of Bonn, 53115 Bonn", "University of Bonn"),
        ("Department of Physics, University of York, York YO10 5DD, UK", "University of York"),
        ("Osgoode Hall, York University, Toronto", "York University"),
        ("Medical University of Graz, Graz, Austria", "Medical University of Graz"),
        ("Graz University of Technology", "Graz University of Technology"),
        ("UNIVERSITÄT BONN", "University of Bonn"),
        ("日本、東京大学医学部附属病院、外科", "東京大学医学部附属病院"),
        ("MIT, Cambridge, MA", "MIT"),
    ],
)
def test_the_longest_contained_name_comes_first(affiliation: str, expected: str) -> None:
    assert best(affiliation) == expected


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", []),
        ("MIT", [Term.WORD]),
        ("京", [Term.CJK_PAIR]),
        ("東京大学", [Term.CJK_PAIR] * 3),
        ("of Bonn", [Term.WORD, Term.WORD, Term.WORD_PAIR]),
        ("Tokyo", [Term.WORD, Term.GRAM, Term.GRAM]),
    ],
)
def test_terms_say_what_they_are(text: str, kinds: list[Term]) -> None:
    assert sorted(Term(term & 3) for term in terms(text)) == kinds


def test_weights_follow_the_formula() -> None:
    document = terms("of Bonn")
    vector = vector_of(document)
    weights = dict(
        zip(vector.indices.tolist(), STATISTICS.idf(vector.indices).tolist(), strict=True)
    )
    squares = {term: SHARE[Term(term & 3)] * weights[term] ** 2 for term in document}
    norm = sum(squares.values()) ** 0.75
    for term, value in zip(vector.indices.tolist(), vector.values.tolist(), strict=True):
        assert value == pytest.approx(squares[term] / norm, rel=1e-6)


@given(st.text())
def test_vectors_are_what_qdrant_takes(text: str) -> None:
    query = query_vector(text)
    assert query.indices.dtype == np.uint32
    assert query.values.dtype == np.float32
    assert (np.diff(query.indices.astype(np.int64)) > 0).all()
    assert len(query) == len(query.values) == len(terms(text))


def test_a_vector_does_not_depend_on_the_names_beside_it() -> None:
    found = [in_order(terms(name)) for name in ("", *NAMES)]
    guesses = [
        {},
        {8: 0.5, 96: 0.25, **dict.fromkeys(terms(NAMES[0]), 0.5)},
        *({} for _ in NAMES[1:]),
    ]
    identifiers = [("domain:a.org",), (), *(("ror:05a28rw58", "domain:b.org") for _ in NAMES[1:])]
    together = document_vectors(found, guesses, identifiers, STATISTICS.idf)
    assert len(together) == len(found)
    for vector, *its_own in zip(together, found, guesses, identifiers, strict=True):
        alone = vector_of(*its_own)
        assert vector.indices.tolist() == alone.indices.tolist()
        assert vector.values.tobytes() == alone.values.tobytes()
        assert (np.diff(vector.indices.astype(np.int64)) > 0).all()
    assert together[1].indices.tolist() == sorted(terms(NAMES[0]) | {8, 96})


@given(st.permutations(sorted(terms(NAMES[5]))))
def test_the_order_of_terms_does_not_matter(order: list[int]) -> None:
    guessed = dict.fromkeys(order[:7], 0.5)
    one = vector_of(order[7:], guessed)
    other = vector_of(set(order[7:]), dict(reversed(guessed.items())))
    assert one.indices.tolist() == other.indices.tolist()
    assert one.values.tobytes() == other.values.tobytes()


def test_there_may_be_no_name() -> None:
    assert document_vectors([], [], [], STATISTICS.idf) == []
