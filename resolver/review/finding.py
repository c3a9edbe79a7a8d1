"""Type-ahead: organisations by id, acronym, or the beginning of any word of a name."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from resolver.database.link_counts import link_counts
from resolver.doors.backend import Backend
from resolver.registry.organisation import NameKind, Organisation, OrganisationStatus
from resolver.registry.ror_id import read_ror_id
from resolver.search.search import OrganisationSearch
from resolver.text.words import CJK, fold

if TYPE_CHECKING:
    from resolver.search.columns import Numbers

log = logging.getLogger(__name__)

MOST_FOUND = 8

CONSIDERED = 16
"""Organisations whose records are read to order them: as many of those that are linked most, and of
those whose names fit best."""

COUNTED_SECONDS = 900.0
"""How long the counts of links are kept: to count a million of them takes a second."""

COMMON = ("university", "institute", "national", "hospital", "center", "college", "research",
          "technology", "department", "school", "medical", "science")  # fmt: skip
"""Words of thousands of names: what begins like them is found once, before anybody types it."""

LONGEST = 200
"""Characters of what is typed that are read."""

SHORTEST = 2
"""Characters from which on anything is searched. A single one of a script without spaces is a
word."""


@dataclass(frozen=True, slots=True)
class Found:
    """An organisation that fits, with the name that does, None where it is the displayed one."""

    organisation: Organisation
    matched_name: str | None

    @property
    def status(self) -> str:
        status = self.organisation.status
        return "" if status is OrganisationStatus.ACTIVE else status.value

    @property
    def facts(self) -> str:
        """Where it is and of which type."""
        place = self.organisation.place
        named = (place.city, place.country) if place else ()
        return " · ".join(filter(None, [", ".join(filter(None, named)), *self.organisation.types]))


@dataclass(slots=True)
class Finder:
    """Finds organisations of the release in use; may be used by several threads."""

    backend: Backend
    _lock: Lock = field(default_factory=Lock)
    _counted: float = float("-inf")
    _counts: dict[str, int] = field(default_factory=dict)
    _links: tuple[OrganisationSearch, dict[str, int], npt.NDArray[np.int64]] | None = None
    _ranked: LRUCache[tuple[int, int, str], list[str]] = field(
        default_factory=lambda: LRUCache(10_000)
    )

    def count(self) -> None:
        """Count the links of each organisation, if that is long ago. Takes a second at a million
        links."""
        with self._lock:
            if time.monotonic() < self._counted + COUNTED_SECONDS:
                return
            self._counted = time.monotonic()
        counts = link_counts(self.backend.matching.engine)
        with self._lock:
            self._counts = counts

    def prepare(self, release_id: int, search: OrganisationSearch) -> None:
        """Count links, and find what begins like the most common words."""
        self.count()
        for word in COMMON:
            for length in range(SHORTEST, len(word) + 1):
                self.find(release_id, search, word[:length])

    def find(self, release_id: int, search: OrganisationSearch, typed: str) -> list[Found]:
        """At most `MOST_FOUND`, best first: names that are just what was typed, then active
        organisations, then those that are linked most often."""
        typed = typed.strip()[:LONGEST]
        try:
            wanted = [read_ror_id(typed)]
        except ValueError:
            if len(typed) < SHORTEST and not CJK.search(typed):
                return []
            wanted = self._candidates(release_id, search, typed)
        records = self.backend.matching.organisations(release_id, wanted)
        words = fold(typed).split()
        found = [
            (Found(records[ror_id], _matched(records[ror_id], words)), place)
            for place, ror_id in enumerate(wanted)
            if ror_id in records
        ]
        found.sort(key=lambda entry: self._order(entry[0], fold(typed), entry[1]))
        return [entry for entry, _ in found[:MOST_FOUND]]

    def _candidates(self, release_id: int, search: OrganisationSearch, typed: str) -> list[str]:
        """The best by links, then the best by name."""
        counts, links = self._links_of(search)
        key = release_id, id(counts), typed.casefold()
        with self._lock:
            if (known := self._ranked.get(key)) is not None:
                return known
        numbers = search.beginning(typed).numbers
        active = search.mask("status", {OrganisationStatus.ACTIVE.value})[numbers]
        by_links = np.lexsort((np.arange(len(numbers)), -links[numbers], ~active))
        chosen: Numbers = np.concatenate(
            [numbers[by_links[:CONSIDERED]], numbers[:CONSIDERED], numbers[active][:CONSIDERED]]
        )
        ranked = list(dict.fromkeys(str(ror_id) for ror_id in search.ids[chosen]))
        with self._lock:
            self._ranked[key] = ranked
        return ranked

    def _links_of(self, search: OrganisationSearch) -> tuple[dict[str, int], npt.NDArray[np.int64]]:
        """The counts, by ROR id and by the organisation's number in this search."""
        with self._lock:
            if (
                self._links is None
                or self._links[0] is not search
                or (self._links[1] is not self._counts)
            ):
                links = np.fromiter(
                    (self._counts.get(str(ror_id), 0) for ror_id in search.ids),
                    np.int64,
                    len(search),
                )
                self._links = search, self._counts, links
            return self._links[1], self._links[2]

    def _order(self, found: Found, typed: str, place: int) -> tuple[object, ...]:
        organisation = found.organisation
        exact = any(fold(name.value) == typed for name in organisation.names)
        return (
            found.status != "",
            not exact,
            -self._counts.get(organisation.ror_id, 0),
            place,
        )


def _matched(organisation: Organisation, words: Sequence[str]) -> str | None:
    """The name that fits what was typed, where it is not the displayed one."""

    def fits(name: str) -> bool:
        of_name = fold(name).split()
        return all(any(w.startswith(word) for w in of_name) for word in words)

    if fits(organisation.display_name):
        return None
    names = sorted(
        organisation.names, key=lambda name: (NameKind.ACRONYM not in name.kinds, len(name.value))
    )
    return next((name.value for name in names if fits(name.value)), None)
