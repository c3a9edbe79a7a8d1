"""Organisations that affiliations name and nothing was linked to: read out, grouped, counted.

Variants of one name come together: departments, places and what joins words is left out, and words
that say what something is ("Univ.", "University") count by their beginnings.
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
from resolver.text.country import named_country
from resolver.text.parts import Part, PartKind, is_generic, parts
from resolver.text.words import units

MAX_WRITINGS = 50
"""Ways to write a name that are counted; further ones are no longer told apart."""

STEM = 3
"""Letters by which generic words are compared: "Univ.", "University", "Universität"."""

_ACRONYM = re.compile(r"\(([^\W\d_a-z][\w&-]{1,9})\)")


@dataclass(frozen=True, slots=True)
class Mention:
    """The organisation that an affiliation most likely names.

    `key` is the same for all writings of the name; `country` is ISO 3166-1 alpha-2.
    """

    key: str
    name: str
    city: str | None
    country: str | None
    acronym: str | None


@dataclass(slots=True)
class Group:
    """One organisation with all that was seen of it."""

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
        """The most frequent writing; of equally frequent ones the longest."""
        return max(self.names, key=lambda name: (self.names[name], len(name), name))

    def add(self, row: Unmatched, mention: Mention) -> None:
        self.count += row.count
        self.affiliations += 1
        if mention.name in self.names or len(self.names) < MAX_WRITINGS:
            self.names[mention.name] += row.count
        if mention.city:
            self.cities[mention.city] += row.count
        if mention.acronym:
            self.acronyms[mention.acronym] += row.count
        self.reasons[str(row.reason)] += row.count
        self.sources.update(row.sources)
        self.identifiers.update(identifiers_in(row.affiliation))
        self._keep([row.affiliation], row.records)

    def merge(self, other: Group) -> None:
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


def mention(affiliation: str) -> Mention:
    """The organisation that an affiliation names, as far as generic words tell."""
    read = parts(affiliation)
    part = _named(read)
    name = part.text if part else affiliation
    sequence = units(name)
    own = [unit for unit in sequence if unit not in vocabulary.LINK]
    key = " ".join(unit[:STEM] if is_generic(unit) else unit for unit in own or sequence)
    acronym = _ACRONYM.search(affiliation, part.end if part else 0)
    return Mention(
        key=key,
        name=name,
        city=_city(read, part),
        country=named_country(affiliation),
        acronym=acronym.group(1) if acronym else None,
    )


def grouped(rows: Iterable[Unmatched]) -> list[Group]:
    """One group an organisation, the most frequent first.

    A name with and without a country is one, when only one country is named with it.
    """
    groups: dict[tuple[str, str | None], Group] = {}
    for row in rows:
        found = mention(row.affiliation)
        place = (found.key, found.country)
        groups.setdefault(place, Group(*place)).add(row, found)
    countries: dict[str, list[str]] = {}
    for key, country in groups:
        if country:
            countries.setdefault(key, []).append(country)
    for key, known in countries.items():
        if len(known) == 1 and (key, None) in groups:
            groups[key, known[0]].merge(groups.pop((key, None)))
    return sorted(groups.values(), key=lambda group: (-group.count, group.name))


def _named(read: list[Part]) -> Part | None:
    """The part that names an organisation best: "X University" before "X Laboratory"."""
    possible = organisations(read)
    certain = (part for part in possible if any(u in vocabulary.ORGANISATION for u in _words(part)))
    bare = (part for part in read if part.kind in {PartKind.NAME, PartKind.UNIT})
    return next(certain, None) or next(iter(possible), None) or next(bare, None)


def _words(part: Part) -> Iterator[str]:
    return iter(units(part.text))


def _city(read: list[Part], named: Part | None) -> str | None:
    """The last bare name after the organisation: a city, where affiliations are in order."""
    if named is None:
        return None
    behind = [p.text for p in read if p.kind is PartKind.NAME and p.start >= named.end]
    return behind[-1] if behind else None
