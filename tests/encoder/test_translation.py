"""Terms in the script of a country, learnt from the names of other organisations there."""

from __future__ import annotations

import pytest

from resolver.encoder.lexical import document_vectors, in_order, query_vector, terms
from resolver.encoder.statistics import counted
from resolver.encoder.translation import LEAST_ORGANISATIONS, Translation, learn
from resolver.registry.document import Document

CITIES = (("Seoul", "서울"), ("Busan", "부산"), ("Daejeon", "대전"), ("Jeju", "제주"))
KINDS = (
    ("University", "대학교"),
    ("Hospital", "병원"),
    ("Museum", "박물관"),
    ("Library", "도서관"),
)


def document(ror_id: str, name: str, country: str = "KR") -> Document:
    return Document(ror_id, name, name, False, None, None, country, None)


def organisations(country: str = "KR") -> list[list[Document]]:
    made = []
    for i in range(2):
        for city, its_city in CITIES:
            for kind, its_kind in KINDS:
                ror_id = f"{city}{kind}{i}"
                latin = document(ror_id, f"{city} {kind}", country)
                made.append([latin, document(ror_id, f"{its_city}{its_kind}", country)])
    return made


@pytest.fixture(scope="module")
def learnt() -> Translation:
    known = organisations()
    assert len(known) >= LEAST_ORGANISATIONS
    return learn(known)


def test_a_name_without_its_script_gets_the_terms_of_its_words(learnt: Translation) -> None:
    found = learnt.terms([document("new", "Busan Library")])
    assert set(found) >= terms("부산") | terms("도서관")
    assert not set(found) & terms("서울병원")
    assert all(0 < likely <= 1 for likely in found.values())


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["Busan Library", "부산도서관"], id="it has the script already"),
        pytest.param(["Unseen Words"], id="no word was learnt"),
    ],
)
def test_nothing_is_guessed(learnt: Translation, names: list[str]) -> None:
    assert learnt.terms([document("x", name) for name in names]) == {}


def test_each_country_has_its_own_words(learnt: Translation) -> None:
    assert learnt.terms([document("x", "Busan Library", "JP")]) == {}


def test_too_few_organisations_teach_nothing() -> None:
    assert learn(organisations()[: LEAST_ORGANISATIONS - 1]).lexicons == {}


def test_a_translated_name_is_found_and_its_own_script_scores_as_before(
    learnt: Translation,
) -> None:
    shown = document("new", "Busan Library")
    texts = ["Busan Library", "서울대학교", "부산도서관"]
    known = learnt.terms([shown])
    statistics = counted([in_order(terms(text)) for text in texts])
    name = in_order(terms(shown.name))
    plain, both = document_vectors([name] * 2, [{}, known], [()] * 2, statistics.idf)

    def score(text: str, vector: object) -> float:
        query = dict.fromkeys(query_vector(text).indices.tolist(), 1.0)
        return sum(
            value
            for term, value in zip(vector.indices.tolist(), vector.values.tolist(), strict=True)  # type: ignore[attr-defined]
            if term in query
        )

    assert score("부산도서관 연구실", plain) == 0.0
    assert score("부산도서관 연구실", both) > 0.2
    assert score("Busan Library", both) == pytest.approx(score("Busan Library", plain))
