"""Organisations that unmatched affiliations name, grouped and counted: names the registry may lack.

Spellings of the same name come into one group: departments, places and linking words ("of", "de")
are left out, and words for a kind of organisation ("Univ.", "University") are compared by their
first letters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from resolver.database.unmatched import EXAMPLES, Unmatched
from resolver.matching.reason import organisations
from resolver.registry.identifier import identifiers_in
from resolver.text import vocabulary
from resolver.text.gazetteer import PlaceKind, mentions
from resolver.text.parts import Part, PartKind, is_generic, parts
from resolver.text.text import Text
from resolver.text.words import units

MAX_SPELLINGS = 50
"""Spellings of a name that are counted; further spellings are not kept."""

STEM = 3
"""First letters by which generic words are compared: "Univ.", "University", "Universität"."""

_ACRONYM = re.compile(r"\(([^\W\d_a-z][\w&-]{1,9})\)")


@dataclass(frozen=True, slots=True)
class UnmatchedName:
    """The organisation that an unmatched affiliation most likely names.

    `key` is the same for all spellings of the name; `country` is ISO 3166-1 alpha-2.
    """

    key: str
    name: str
    city: str | None
    country: str | None
    acronym: str | None


@dataclass(slots=True)
class UnmatchedOrganisation:
    """An organisation that nothing was linked to: a group of names with the same key.

    `count` is the number of records that name it, `affiliations` that of different texts. `names`,
    `cities`, `acronyms` and `reasons` count records. `examples` are affiliations, `records` ids of
    records, a few of each.
    """

    key: str
    country: str | None
    count: int = 0
    affiliations: int = 0
    names: Counter[str] = field(default_factory=Counter)
    cities: Counter[str] = field(default_factory=Counter)
    acronyms: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    sources: set[str] = field(default_factory=set)
    identifiers: set[str] = field(default_factory=set)
    examples: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The most frequent spelling; of equally frequent ones the longest."""
        return max(self.names, key=lambda name: (self.names[name], len(name), name))

    def add(self, row: Unmatched, name: UnmatchedName) -> None:
        self.count += row.count
        self.affiliations += 1
        if name.name in self.names or len(self.names) < MAX_SPELLINGS:
            self.names[name.name] += row.count
        if name.city:
            self.cities[name.city] += row.count
        if name.acronym:
            self.acronyms[name.acronym] += row.count
        self.reasons[str(row.reason)] += row.count
        self.sources.update(row.sources)
        self.identifiers.update(identifiers_in(row.affiliation))
        self._keep([row.affiliation], row.records)

    def merge(self, other: UnmatchedOrganisation) -> None:
        self.count += other.count
        self.affiliations += other.affiliations
        self.names += other.names
        self.cities += other.cities
        self.acronyms += other.acronyms
        self.reasons += other.reasons
        self.sources |= other.sources
        self.identifiers |= other.identifiers
        self._keep(other.examples, other.records)

    def _keep(self, affiliations: Iterable[str], records: Iterable[str]) -> None:
        self.examples = [*self.examples, *affiliations][:EXAMPLES]
        self.records = list(dict.fromkeys([*self.records, *records]))[:EXAMPLES]


def unmatched_name(affiliation: str) -> UnmatchedName:
    """The organisation that an affiliation names, as far as generic words show it."""
    read = parts(affiliation)
    part = _named(read)
    name = part.text if part else affiliation
    sequence = units(name)
    own = [unit for unit in sequence if unit not in vocabulary.LINK]
    key = " ".join(unit[:STEM] if is_generic(unit) else unit for unit in own or sequence)
    acronym = _ACRONYM.search(affiliation, part.end if part else 0)
    return UnmatchedName(
        key=key,
        name=name,
        city=_city(affiliation, read, part),
        country=named_country(Text(affiliation)),
        acronym=acronym.group(1) if acronym else None,
    )


def grouped(rows: Iterable[Unmatched]) -> list[UnmatchedOrganisation]:
    """Unmatched affiliations by the organisation that they name, the most frequent first.

    A name without a country belongs to the group of the same name with a country, if there is only
    one such group.
    """
    groups: dict[tuple[str, str | None], UnmatchedOrganisation] = {}
    for row in rows:
        name = unmatched_name(row.affiliation)
        key = (name.key, name.country)
        groups.setdefault(key, UnmatchedOrganisation(*key)).add(row, name)
    countries: dict[str, list[str]] = {}
    for name_key, country in groups:
        if country:
            countries.setdefault(name_key, []).append(country)
    for name_key, known in countries.items():
        if len(known) == 1 and (name_key, None) in groups:
            groups[name_key, known[0]].merge(groups.pop((name_key, None)))
    return sorted(groups.values(), key=lambda group: (-group.count, group.name))


def _named(read: list[Part]) -> Part | None:
    """The part that names an organisation best: "X University" before "X Laboratory"."""
    possible = organisations(read)
    certain = (part for part in possible if any(u in vocabulary.ORGANISATION for u in _words(part)))
    bare = (part for part in read if part.kind in {PartKind.NAME, PartKind.UNIT})
    return next(certain, None) or next(iter(possible), None) or next(bare, None)


def _words(part: Part) -> Iterator[str]:
    return iter(units(part.text))


def named_country(text: Text) -> str | None:
    """The country of the last place that is in one country only, as affiliations end with it."""
    countries = [mention.countries for mention in mentions(text)]
    return next((code for of in reversed(countries) if len(of) == 1 for code in of), None)


def _city(affiliation: str, read: list[Part], named: Part | None) -> str | None:
    """The last city after the organisation; where none is known the last bare name there."""
    if named is None:
        return None
    text = Text(affiliation)
    cities = [
        affiliation[text.spans[mention.start][0] : text.spans[mention.end - 1][1]]
        for mention in mentions(text)
        if mention.kind is PlaceKind.CITY and text.spans[mention.start][0] >= named.end
    ]
    bare = [p.text for p in read if p.kind is PartKind.NAME and p.start >= named.end]
    return next(reversed(cities or bare), None)
