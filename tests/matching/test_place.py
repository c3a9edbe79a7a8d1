import pytest

from resolver.matching.outcome import CountryAgreement
from resolver.matching.place import NamedPlaces
from resolver.registry.document import Document
from resolver.text.text import Text


def placed(city: str | None, code: str | None, country: str | None) -> Document:
    return Document("0", "X", "X", False, city, None, code, country)


JENA = placed("Jena", "DE", "Germany")
ROME = placed("Rome", "IT", "Italy")
SAN_JUAN = placed("San Juan", "PR", "Puerto Rico")
BOSTON = placed("Boston", "US", "United States")
NOWHERE = placed(None, None, None)
ALL = [JENA, ROME, SAN_JUAN, BOSTON, NOWHERE]


@pytest.mark.parametrize(
    ("text", "document", "country", "contradicted"),
    [
        ("X, Jena, Germany", JENA, CountryAgreement.NAMED, False),
        ("X, Deutschland", JENA, CountryAgreement.NAMED, False),
        ("X, Germany", ROME, CountryAgreement.OTHER_NAMED, True),
        ("X, Germany and X, Rome", ROME, CountryAgreement.OTHER_NAMED, False),
        ("X, San Juan, USA", SAN_JUAN, CountryAgreement.OTHER_NAMED, False),
        ("X, Ponce, USA", SAN_JUAN, CountryAgreement.OTHER_NAMED, False),
        ("X, Puerto Rico", BOSTON, CountryAgreement.OTHER_NAMED, False),
        ("X", JENA, CountryAgreement.NONE_NAMED, False),
        ("X, Germany", NOWHERE, CountryAgreement.NONE_NAMED, False),
    ],
)
def test_named_places(
    text: str, document: Document, country: CountryAgreement, contradicted: bool
) -> None:
    places = NamedPlaces.of(Text(text), ALL)
    assert places.country(document) is country
    assert places.contradict(document) is contradicted


def test_the_more_of_its_place_is_named_the_better() -> None:
    places = NamedPlaces.of(Text("X, Jena, Germany"), ALL)
    other = placed("Bonn", "DE", "Germany")
    assert places.agreement(JENA) > places.agreement(other) > places.agreement(ROME)
