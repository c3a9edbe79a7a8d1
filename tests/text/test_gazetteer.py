"""Which places texts name, and where; the cities are GeoNames'."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.text.affiliation import Affiliation
from resolver.text.gazetteer import (
    STATE_CODES,
    Mention,
    Place,
    PlaceKind,
    city_named,
    kilometres,
    mentions,
    only_places,
)
from resolver.text.text import Text


def shown(text: Text, mention: Mention) -> str:
    """ "boston US-MA", in brackets where it does not stand apart."""
    where = "|".join(
        sorted({f"{p.country}-{p.region}" if p.region in STATE_CODES else p.country
                for p in mention.places})
    )  # fmt: skip
    name = " ".join(text.units[mention.start : mention.end])
    return f"{name} {where}" if mention.apart else f"({name} {where})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Madison, Wisconsin, USA", ["madison US-WI", "wisconsin US-WI", "usa US"]),
        ("Pittsburgh, PA", ["pittsburgh US-PA", "pa US-PA"]),
        ("PITTSBURGH, PA 15213", ["pittsburgh US-PA", "pa US-PA"]),
        ("Washington, D. C.", ["washington US-DC", "d c US-DC"]),
        ("Cambridge, MA", ["cambridge US-MA", "ma US-MA"]),
        ("Cambridge, UK", ["cambridge GB", "uk GB"]),
        ("Lancaster, UK", ["lancaster GB", "uk GB"]),
        ("London, Ontario", ["london CA-ON", "ontario CA-ON"]),
        ("Sydney NSW 2000, Australia", ["sydney AU-NSW", "nsw AU-NSW", "australia AU"]),
        ("San Juan, PR, USA", ["san juan PR", "pr PR", "usa US"]),
        # The places around a name decide between its readings.
        ("Athens, Georgia", ["athens US-GA", "georgia US-GA"]),
        ("Athens, Greece", ["athens GR", "greece GR"]),
        ("Tbilisi, Georgia", ["tbilisi GE", "georgia GE"]),
        ("Emory University, Atlanta, Georgia", ["atlanta US-GA", "georgia US-GA"]),
        ("University of Georgia, Athens", ["(georgia US-GA)", "athens US-GA"]),
        ("Georgia Institute of Technology", ["(georgia GE|US-GA)"]),
        # A town that is not known, by the state after it.
        ("Berlin, Connecticut", ["berlin US-CT", "connecticut US-CT"]),
        ("Lebanon, NH", ["lebanon US-NH", "nh US-NH"]),
        # The longest name is meant.
        ("Panama City, Panama", ["panama city PA", "panama PA"]),
        ("Univ. of New South Wales, Sydney", ["(new south wales AU-NSW)", "sydney AU-NSW"]),
        ("Queen's University Belfast, Northern Ireland",
         ["belfast GB", "northern ireland GB"]),
        ("Inner Mongolia University", ["(inner mongolia CN)"]),
        # Names in other languages.
        ("80333 München", ["munchen DE"]),
        ("Université de Genève, Genève", ["(geneve CH)", "geneve CH"]),
        ("Москва, Россия", ["москва RU", "россия RU"]),
        ("北京, 中国", ["北 京 CN", "中 国 CN"]),
        ("Limoges Cedex", ["limoges FR"]),
        ("Kelmar, U.S.A.", ["usa US"]),
        ("中国浙江省杭州市浙江大学", ["(中 国 CN)", "(杭 州 市 CN)"]),
        ("서울대학교, 대한민국", ["(서 울 KR)", "대 한 민 국 KR"]),
        ("المركز، المملكة العربية السعودية", ["مملكه عربيه سعوديه SA"]),
        # Where it stands.
        ("Boston University", ["(boston US-MA)"]),
        ("Children's Hospital Boston", ["boston US-MA"]),
        ("Centre X, France and Centre Y, Kenya", ["france FR", "kenya KE"]),
        ("X, Noordwijk, The netherlands", ["noordwijk NL", "the netherlands NL"]),
        # Words, degrees and acronyms are no places.
        ("Police University", []),
        ("In reading rooms", []),
        ("Kelmar, MD", []),
        ("ICA and INTA", []),
        ("give us the data", []),
        ("", []),
    ],
    ids=ascii,
)  # fmt: skip
def test_mentions(text: str, expected: list[str]) -> None:
    affiliation = Affiliation.of(text)
    named = [shown(affiliation, mention) for mention in mentions(affiliation)]
    # Of a name without anything around it the largest city is shown.
    assert [n.replace("GB|US-MA", "US-MA") for n in named] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cambridge", {"CA", "GB", "US", "NZ"}),
        ("Paris", {"FR"}),
        ("Paris, Texas", {"US"}),
        ("Genève", {"CH"}),
    ],
)
def test_the_countries_that_a_city_is_likely_in(text: str, expected: set[str]) -> None:
    assert mentions(Text(text))[0].likely_countries == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Lancaster, UK", True),
        ("Madison, Wisconsin, USA", True),
        ("Limoges Cedex", True),
        ("F-75005 Paris, France", True),
        ("Durham, NC, Provo, UT", True),
        ("D-80333 München", True),
        ("City of London", True),
        ("12345", False),
        ("U. of Rochester", False),
        ("B.I.B.S., Brno", False),
        ("Arts2, Mons, Belgium", False),
        ("University of York, York", False),
        ("Kelmar, Germany", False),
        ("", False),
    ],
)
def test_only_places(text: str, expected: bool) -> None:
    assert only_places(Text(text)) is expected


def test_places_that_the_gazetteer_does_not_know_can_be_given() -> None:
    assert only_places(Text("Kelmar, Germany"), known={0})


@given(st.text(max_size=60))
def test_mentions_are_in_order_and_apart_from_each_other(text: str) -> None:
    affiliation = Affiliation.of(text)
    position = 0
    for mention in mentions(affiliation):
        assert position <= mention.start < mention.end <= len(affiliation.units)
        assert mention.places
        position = mention.end


@pytest.mark.parametrize(
    ("city", "region", "country", "population"),
    [
        ("Cambridge", "Massachusetts", "US", 118_000),
        ("Cambridge", "England", "GB", 145_000),
        ("München", None, "DE", 1_500_000),
    ],
)
def test_city_named(city: str, region: str | None, country: str, population: int) -> None:
    place = city_named(city, region, country)
    assert place is not None
    assert place.country == country
    assert place.population == pytest.approx(population, rel=0.2)


def test_no_city_of_that_name_in_the_country() -> None:
    assert city_named("Cambridge", None, "FR") is None
    assert city_named("Kelmar", None, None) is None


def test_kilometres() -> None:
    london, paris = city_named("London", None, "GB"), city_named("Paris", None, "FR")
    assert london is not None
    assert paris is not None
    assert kilometres(london, paris) == pytest.approx(344, abs=5)
    assert kilometres(london, london) == pytest.approx(0, abs=0.1)
    assert kilometres(london, Place(PlaceKind.COUNTRY, "FR")) is None
