"""Which places an affiliation names, of those that its candidates are in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from resolver.matching.outcome import CountryAgreement
from resolver.registry.document import Document
from resolver.text.country import family, names_country
from resolver.text.text import Text, registry_text


@dataclass(frozen=True, slots=True)
class NamedPlaces:
    """The places that a `text` names; `countries` are the codes of those candidates' countries that
    it names."""

    text: Text
    countries: frozenset[str]

    @classmethod
    def of(cls, text: Text, documents: Iterable[Document]) -> Self:
        countries = {(document.country_code, document.country) for document in documents}
        return cls(
            text,
            frozenset(code for code, name in countries if code and names_country(text, code, name)),
        )

    def country(self, document: Document) -> CountryAgreement:
        """An organisation without a country contradicts none."""
        if document.country_code in self.countries:
            return CountryAgreement.NAMED
        if document.country_code and self.countries:
            return CountryAgreement.OTHER_NAMED
        return CountryAgreement.NONE_NAMED

    def city(self, document: Document) -> bool:
        """Whether the organisation's city is named."""
        return self._names(document.city)

    def agreement(self, document: Document) -> tuple[bool, bool, bool]:
        """Whether city, region and country are named: the greater, the more of its place."""
        return (
            self._names(document.city),
            self._names(document.region),
            document.country_code in self.countries,
        )

    def contradict(self, document: Document) -> bool:
        """Whether the text places the organisation in another country than the registry does.

        Territories count as their country ("San Juan, PR, USA"), and a city or region that is
        named speaks for the organisation: of two countries a text often names only one.
        """
        if document.country_code is None or not self.countries:
            return False
        named = {family(code) for code in self.countries}
        return family(document.country_code) not in named and not any(self.agreement(document))

    def _names(self, place: str | None) -> bool:
        return bool(place) and self.text.holds(registry_text(place))


def place_names(documents: Iterable[Document]) -> set[str]:
    """The cities and regions that organisations are in."""
    return {name for document in documents for name in (document.city, document.region) if name}
