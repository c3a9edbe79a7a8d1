import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.encoder.lexical import (
    SHARE,
    Term,
    document_vector,
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
WEIGHTS = counted(terms(name) for name in NAMES).idf(set().union(*map(terms, NAMES)))


def best(affiliation: str) -> str:
    """The name that the sparse search puts first."""
    query = set(query_vector(affiliation).indices.tolist())

    def score(name: str) -> float:
        vector = document_vector(terms(name), WEIGHTS)
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
    vector = document_vector(document, WEIGHTS)
    squares = {term: SHARE[Term(term & 3)] * WEIGHTS[term] ** 2 for term in document}
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


@given(st.permutations(sorted(terms(NAMES[5]))))
def test_the_order_of_terms_does_not_matter(order: list[int]) -> None:
    guessed = dict.fromkeys(order[:7], 0.5)
    whole, backwards = set(order[7:]), {term: WEIGHTS[term] for term in reversed(order)}
    one = document_vector(whole, WEIGHTS, guessed)
    other = document_vector(whole, backwards, dict(reversed(guessed.items())))
    assert one.indices.tolist() == other.indices.tolist()
    assert one.values.tobytes() == other.values.tobytes()


def test_a_term_without_idf_is_an_error_not_a_zero() -> None:
    with pytest.raises(KeyError):
        document_vector(terms("unheard of"), {})
