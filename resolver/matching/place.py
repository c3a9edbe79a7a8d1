"""Which places an affiliation names, of those that its candidates are in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from resolver.matching.outcome import CountryAgreement
from resolver.registry.document import Document
from resolver.text.country import family, names_country
from resolver.text.words import holds, words


@dataclass(frozen=True, slots=True)
class NamedPlaces:
    """What a text says of where its organisations are.

    `flat` is the text's `words`, joined by spaces and with one at either end; `countries` are the
    codes of those countries of candidates that it names.
    """

    flat: str
    countries: frozenset[str]

    @classmethod
    def of(cls, text: str, documents: Iterable[Document]) -> Self:
        flat = f" {' '.join(words(text))} "
        countries = {(document.country_code, document.country) for document in documents}
        return cls(
            flat,
            frozenset(code for code, name in countries if code and names_country(flat, code, name)),
        )

    def country(self, document: Document) -> CountryAgreement:
        """An organisation without a country contradicts none."""
        if document.country_code in self.countries:
            return CountryAgreement.NAMED
        if document.country_code and self.countries:
            return CountryAgreement.OTHER_NAMED
        return CountryAgreement.NONE_NAMED

    def city(self, document: Document) -> bool:
        return holds(self.flat, document.city)

    def agreement(self, document: Document) -> tuple[bool, bool, bool]:
        """Whether city, region and country are named: the greater, the more of its place."""
        return (
            self.city(document),
            holds(self.flat, document.region),
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


def place_names(documents: Iterable[Document]) -> set[str]:
    """The cities and regions that organisations are in."""
    return {name for document in documents for name in (document.city, document.region) if name}
