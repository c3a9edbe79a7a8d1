import pytest

from resolver.matching.outcome import CountryAgreement
from resolver.matching.place import UNKNOWN_DISTANCE, NamedPlaces
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation
from resolver.text.text import registry_text

COUNTRIES = {
    "AU": "Australia", "BJ": "Benin", "CN": "China", "DE": "Germany", "FR": "France",
    "GB": "United Kingdom", "GE": "Georgia", "IT": "Italy", "NG": "Nigeria", "PR": "Puerto Rico",
    "TH": "Thailand", "US": "United States",
}  # fmt: skip


def placed(
    city: str | None, code: str | None, name: str = "Kelmar Institute", region: str | None = None
) -> Document:
    return Document("0", name, name, False, city, region, code, COUNTRIES.get(code or ""))


JENA = placed("Jena", "DE")
ROME = placed("Rome", "IT")
SAN_JUAN = placed("San Juan", "PR")
BOSTON = placed("Boston", "US")
BANGKOK = placed("Bangkok", "TH")
TBILISI = placed("Tbilisi", "GE")
LONDON = placed("London", "GB")
NOWHERE = placed(None, None)
ALL = [JENA, ROME, SAN_JUAN, BOSTON, NOWHERE]
NAMED, OTHER, NONE = (
    CountryAgreement.NAMED,
    CountryAgreement.OTHER_NAMED,
    CountryAgreement.NONE_NAMED,
)


@pytest.mark.parametrize(
    ("text", "document", "country", "contradicted"),
    [
        ("X, Jena, Germany", JENA, NAMED, False),
        ("X, Deutschland", JENA, NAMED, False),
        ("X, Germany", ROME, OTHER, True),
        ("X, Germany and X, Rome", ROME, OTHER, False),
        ("X, San Juan, USA", SAN_JUAN, OTHER, False),
        ("X, Ponce, USA", SAN_JUAN, OTHER, False),
        ("X, Puerto Rico", BOSTON, OTHER, False),
        ("X", JENA, NONE, False),
        ("X, Germany", NOWHERE, NONE, False),
        # A state is in its country.
        ("X, Springfield, Massachusetts", BOSTON, NAMED, False),
        ("X, Washington, D. C.", BANGKOK, OTHER, True),
        ("X, Atlanta, Georgia", TBILISI, OTHER, True),
        ("X, Atlanta, Georgia", BOSTON, NAMED, False),
        ("X, Georgia", TBILISI, NAMED, False),
        ("X, Georgia", BOSTON, NAMED, False),
        # A city alone is another kind of evidence.
        ("X, Paris", ROME, NONE, False),
        # The name of a city that is in another country, as what is around it says.
        ("X, London, Ontario", LONDON, OTHER, True),
    ],
)
def test_named_places(
    text: str, document: Document, country: CountryAgreement, contradicted: bool
) -> None:
    places = NamedPlaces.of(Affiliation.of(text), ALL)
    assert places.country(document) is country
    assert places.contradict(document) is contradicted


@pytest.mark.parametrize(
    ("text", "document", "contradicted"),
    [
        ("University of Benin", placed("Benin City", "NG", "University of Benin"), False),
        ("Georgia State University", placed("Atlanta", "US", "Georgia State University"), False),
        ("Hospital Wales", placed("Sydney", "AU", "Hospital Wales"), False),
        ("Hospital Wales, Jena, Germany", placed("Sydney", "AU", "Hospital Wales"), True),
        # Of another organisation's name it contradicts nothing either, inside of one.
        ("Beth Israel Medical Center, Harvard School", placed("Boston", "US", "Harvard School"),
         False),
        ("London School, Fajara, The Gambia", placed("London", "GB", "London School"), False),
    ],
)  # fmt: skip
def test_what_stands_in_its_name_contradicts_nothing(
    text: str, document: Document, contradicted: bool
) -> None:
    affiliation = Affiliation.of(text)
    matched = affiliation.matched(registry_text(document.name))
    assert NamedPlaces.of(affiliation, [document]).contradict(document, matched) is contradicted


YORK = placed("York", "GB", "University of York", "England")


@pytest.mark.parametrize(
    ("text", "beside", "elsewhere", "towns", "distance"),
    [
        ("University of York", (False, False, False), False, 0, None),
        ("University of York, York, UK", (True, False, True), False, 1, 0),
        ("University of York, Leeds", (False, False, False), False, 1, 35),
        ("University of York, England", (False, True, True), False, 0, None),
        ("University of York, Toronto, Canada", (False, False, False), True, -1, 5_500),
        ("University of York, Munich", (False, False, False), False, -1, 1_100),
    ],
)
def test_what_is_named_beside_its_name(
    text: str,
    beside: tuple[bool, bool, bool],
    elsewhere: bool,
    towns: int,
    distance: float | None,
) -> None:
    affiliation = Affiliation.of(text)
    matched = affiliation.matched(registry_text(YORK.name))
    places = NamedPlaces.of(affiliation, [YORK])
    assert places.beside(YORK, matched) == beside
    assert places.elsewhere(YORK, matched) is elsewhere
    assert places.towns(YORK, matched) == towns
    if distance is None:
        assert places.distance(YORK, matched) == UNKNOWN_DISTANCE
    else:
        kilometres = 2.718281828 ** places.distance(YORK, matched) - 1
        assert kilometres == pytest.approx(distance, rel=0.1, abs=1)


@pytest.mark.parametrize("text", ["X, München", "X, Munich", "X, Muenchen", "X, Мюнхен"])
def test_a_city_is_named_in_any_language(text: str) -> None:
    munich = placed("Munich", "DE")
    assert NamedPlaces.of(Affiliation.of(text), [munich]).city(munich)


@pytest.mark.parametrize(
    ("text", "only"),
    [("Jena, Germany", True), ("Kelmarfield, Germany", True), ("University, Jena", False)],
)
def test_only_places(text: str, only: bool) -> None:
    documents = [JENA, placed("Kelmarfield", "DE")]
    assert NamedPlaces.of(Affiliation.of(text), documents).only is only


def test_the_more_of_its_place_is_named_the_better() -> None:
    places = NamedPlaces.of(Affiliation.of("X, Jena, Germany"), ALL)
    other = placed("Bonn", "DE")
    assert places.agreement(JENA) > places.agreement(other) > places.agreement(ROME)
