"""Which places an affiliation names, and how they agree with where an organisation is.

What stands in an organisation's own name is no place for it: "Georgia State University" is not in
Georgia for that, and "University of Benin" may be in Nigeria. So most answers here take the
positions that match its name, `matched`, and go by what is named *beside* it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import log1p
from typing import NamedTuple, Self

from resolver.matching.outcome import CountryAgreement
from resolver.registry.document import Document
from resolver.text.cached_property import cached_property
from resolver.text.country import family
from resolver.text.gazetteer import (
    Mention,
    Place,
    PlaceKind,
    city_named,
    kilometres,
    mentions,
    only_places,
    region_named,
)
from resolver.text.text import Text, registry_text

Positions = frozenset[int]
"""Positions of the text's units."""

UNKNOWN_DISTANCE = -1.0
"""The distance where no town beside the name, or not the organisation's, is in the gazetteer."""


class Agreement(NamedTuple):
    """Whether city, region and country are named: the greater, the more of its place."""

    city: bool
    region: bool
    country: bool


_Address = tuple[str | None, str | None, str | None, str | None]
"""Where an organisation is, by the registry: city, region, country's code and name."""


class _Stands(NamedTuple):
    """Where the text names an address's city, region and country: the positions of each mention."""

    city: tuple[Positions, ...]
    region: tuple[Positions, ...]
    country: tuple[Positions, ...]


class _Phrase(NamedTuple):
    """Words of the text that are a name of the registry; `families` are those of the countries
    that each place may be in which is read in them."""

    positions: Positions
    families: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is named beside a name: `countries` by a country's or region's name that stands apart,
    `towns` by cities that do. `families` are the countries' (`resolver.text.country.family`)."""

    countries: frozenset[str]
    families: frozenset[str]
    towns: tuple[Mention, ...]


@dataclass(frozen=True)
class NamedPlaces:
    """The places that a `text` names. `documents` are organisations that it may name: their cities
    and regions are known too, however small."""

    text: Text
    documents: Sequence[Document] = ()
    _addresses: dict[_Address, _Stands] = field(default_factory=dict, compare=False, repr=False)
    _phrases: dict[str, Sequence[_Phrase]] = field(default_factory=dict, compare=False, repr=False)
    _beside: dict[Positions, _Beside] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, text: Text, documents: Iterable[Document]) -> Self:
        return cls(text, tuple(documents))

    @cached_property
    def mentions(self) -> tuple[Mention, ...]:
        """What the gazetteer reads in the text."""
        return mentions(self.text)

    @cached_property
    def countries(self) -> frozenset[str]:
        """The codes of all countries that are named, by their own names or those of their regions,
        each of several that a name may mean."""
        return frozenset().union(*(m.countries for m in self.mentions if m.kind > PlaceKind.CITY))

    @cached_property
    def only(self) -> bool:
        """Whether the text names places and nothing else."""
        known: set[int] = set()
        for document in self.documents:
            stands = self._stands(document)
            known.update(*stands.city, *stands.region)
        return only_places(self.text, known)

    def is_town(self, positions: Positions) -> bool:
        """Whether the words at these positions are the whole name of a town."""
        return any(m.positions == positions and m.kind is PlaceKind.CITY for m in self.mentions)

    def country(self, document: Document, matched: Positions = frozenset()) -> CountryAgreement:
        """Whether the text names its country anywhere, or others beside its name.

        An organisation without a country contradicts none.
        """
        if document.country_code is None:
            return CountryAgreement.NONE_NAMED
        if self._stands(document).country:
            return CountryAgreement.NAMED
        if self._named_beside(matched).countries:
            return CountryAgreement.OTHER_NAMED
        return CountryAgreement.NONE_NAMED

    def city(self, document: Document) -> bool:
        """Whether the organisation's city is named."""
        return self.agreement(document).city

    def agreement(self, document: Document) -> Agreement:
        """What of its place is named anywhere in the text."""
        return Agreement(*map(bool, self._stands(document)))

    def beside(self, document: Document, matched: Positions) -> Agreement:
        """What of its place is named beside its name."""
        return Agreement(
            *(
                any(matched.isdisjoint(positions) for positions in stands)
                for stands in self._stands(document)
            )
        )

    def contradict(self, document: Document, matched: Positions = frozenset()) -> bool:
        """Whether the text places the organisation in another country than the registry does.

        Territories count as their country ("San Juan, PR, USA"), and a city or region that is
        named speaks for the organisation: of two countries a text often names only one.
        """
        return self.elsewhere(document, matched) and not any(self.agreement(document))

    def elsewhere(self, document: Document, matched: Positions) -> bool:
        """Whether other countries are named beside its name, and nothing of its own place."""
        beside = self._named_beside(matched)
        if document.country_code is None or not beside.families:
            return False
        return family(document.country_code) not in beside.families and not any(
            self.beside(document, matched)
        )

    def towns(self, document: Document, matched: Positions) -> int:
        """1 where a town that stands apart beside its name is in its country, -1 where all are in
        others, 0 without any."""
        towns = self._named_beside(matched).towns
        if not towns or document.country_code is None:
            return 0
        own = {document.country_code, family(document.country_code)}
        return 1 if any(not own.isdisjoint(town.likely_countries) for town in towns) else -1

    def distance(self, document: Document, matched: Positions) -> float:
        """ln(1 + kilometres) from the nearest town that stands apart beside its name;
        `UNKNOWN_DISTANCE` where that is not known."""
        towns = self._named_beside(matched).towns
        home = towns and _home(document)
        if not home:
            return UNKNOWN_DISTANCE
        distances = [
            distance
            for town in towns
            for place in town.places
            if (distance := kilometres(home, place)) is not None
        ]
        return log1p(min(distances)) if distances else UNKNOWN_DISTANCE

    @cached_property
    def apart(self) -> Positions:
        """Positions of the places that stand apart."""
        return frozenset().union(*(m.positions for m in self.mentions if m.apart))

    def _named_beside(self, matched: Positions) -> _Beside:
        # Most names match no word of a place, and all of them have the same beside them.
        of_places = matched & self.apart
        beside = self._beside.get(of_places)
        if beside is None:
            apart = [m for m in self.mentions if m.apart and of_places.isdisjoint(m.positions)]
            countries: frozenset[str] = frozenset().union(
                *(m.countries for m in apart if m.kind > PlaceKind.CITY)
            )
            beside = self._beside[of_places] = _Beside(
                countries,
                frozenset(map(family, countries)),
                tuple(m for m in apart if any(p.kind is PlaceKind.CITY for p in m.places)),
            )
        return beside

    @cached_property
    def _countries_of_mentions(self) -> frozenset[str]:
        return frozenset().union(*(m.countries for m in self.mentions))

    def _stands(self, document: Document) -> _Stands:
        address = (document.city, document.region, document.country_code, document.country)
        stands = self._addresses.get(address)
        if stands is None:
            stands = self._addresses[address] = self._where(address)
        return stands

    def _where(self, address: _Address) -> _Stands:
        city, region_name, code, country = address
        cities, regions, countries = [], [], []
        if code in self._countries_of_mentions:
            home = city_named(city, region_name, code) if city else None
            region = region_named(region_name, code) if region_name else None
            for mention in self.mentions:
                positions = mention.positions
                if home and home in mention.places:
                    cities.append(positions)
                if mention.kind > PlaceKind.CITY and code in mention.countries:
                    countries.append(positions)
                    if region and region in mention.places:
                        regions.append(positions)
        return _Stands(
            (*cities, *self._standing(city, code)),
            (*regions, *self._standing(region_name, code)),
            (*countries, *self._standing(country, code)),
        )

    def _standing(self, name: str | None, code: str | None) -> Sequence[Positions]:
        """Where a name of the registry stands, and is not read as a place in another country."""
        if not name:
            return ()
        phrases = self._phrases.get(name)
        if phrases is None:
            phrases = self._phrases[name] = self._read(registry_text(name))
        if not phrases:
            return ()
        return [
            phrase.positions
            for phrase in phrases
            if code is None or all(family(code) in families for families in phrase.families)
        ]

    def _read(self, phrase: Text) -> Sequence[_Phrase]:
        if not self.text.holds(phrase):
            return ()
        read = []
        for positions in self.text.where(phrase):
            over = (m for m in self.mentions if not positions.isdisjoint(m.positions))
            families = tuple(frozenset(map(family, m.countries)) for m in over)
            read.append(_Phrase(positions, families))
        return read


def _home(document: Document) -> Place | None:
    """The organisation's city in the gazetteer."""
    if document.city is None:
        return None
    return city_named(document.city, document.region, document.country_code)


def place_names(documents: Iterable[Document]) -> set[str]:
    """The cities and regions that organisations are in."""
    return {name for document in documents for name in (document.city, document.region) if name}
