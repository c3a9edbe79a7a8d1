"""An affiliation beside its candidates: what is known before the reranker has read any of them.

Which words of the text match each name, which candidates are rivals for the same words or
namesakes, which places the text names. The kinds of evidence (`resolver.matching.evidence`) are
computed from this, first for the sieve and then, with the reranker's scores, for the judge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from resolver.matching.acronym import Acronyms
from resolver.matching.candidate import Candidate
from resolver.matching.place import Agreement, NamedPlaces
from resolver.matching.remainder import Remainder, Surroundings, remainder
from resolver.registry.document import Document
from resolver.registry.identifier import domains_in, numbers_in, written_identifiers
from resolver.registry.organisation import OrganisationStatus
from resolver.text.affiliation import Affiliation
from resolver.text.alignment import Alignment, align
from resolver.text.cached_property import cached_property
from resolver.text.text import Text, registry_text
from resolver.text.words import fold, matched_words

Numbers = npt.NDArray[np.float64]
"""Shape (candidates,), float64."""

Counts = npt.NDArray[np.int64]
"""Shape (candidates,), int64."""

Flags = npt.NDArray[np.bool_]
"""Shape (candidates,), bool."""

Relation = npt.NDArray[np.bool_]
"""Shape (candidates, candidates), bool: whether the row's candidate has the relation to the
column's; no candidate has it to itself."""

_CAPITALS = re.compile(r"\b[A-Z][A-Za-z&]*[A-Z]\w*\b")


class Reading:
    """An affiliation and the first stage's candidates for it, in that stage's order.

    `texts` are the candidates' names and `names` their units. `matched` are the positions of the
    text's units that match each of them, but for those in identifiers and addresses; `alike` has
    for each unit of a name the positions that could. `shared` (int64, (candidates, candidates))
    says how many positions two candidates have in common, on the diagonal how many one has.
    `rivals` match the same words (`competes`), `namesakes` have the same name. `columns` keeps the
    evidence that compares candidates, by name.
    """

    def __init__(self, affiliation: Affiliation, candidates: Sequence[Candidate]) -> None:
        self.affiliation = affiliation
        self.candidates = candidates
        self.documents: list[Document] = [candidate.document for candidate in candidates]
        self.texts = [registry_text(document.name) for document in self.documents]
        self.names = [text.units for text in self.texts]
        taken = identifier_positions(affiliation)
        self.alike = [affiliation.matching(name) for name in self.texts]
        self.matched = [matched_words(alike, taken) for alike in self.alike]
        units = len(affiliation.units)
        # Of floating point, for numpy multiplies integers six times as slowly. Counts are exact.
        self.matches: npt.NDArray[np.float32] = np.zeros((len(candidates), units), np.float32)
        ones = [row * units + at for row, matched in enumerate(self.matched) for at in matched]
        self.matches.ravel()[ones] = 1
        self.shared: npt.NDArray[np.int64] = (self.matches @ self.matches.T).astype(np.int64)
        self.columns: dict[str, npt.NDArray[np.generic]] = {}
        self.rivals = _competing(self.shared)
        self.namesakes = _equal(self.names)

    def __len__(self) -> int:
        """How many candidates there are."""
        return len(self.candidates)

    @cached_property
    def sparse(self) -> Numbers:
        """The first stage's scores by words, 0 where it did not find the candidate that way."""
        return np.array([c.sparse.score if c.sparse else 0.0 for c in self.candidates])

    @cached_property
    def dense(self) -> Numbers:
        """The same by meaning."""
        return np.array([c.dense.score if c.dense else 0.0 for c in self.candidates])

    @cached_property
    def name_lengths(self) -> Counts:
        """Units of each name."""
        return np.array([len(name) for name in self.names], np.int64)

    @cached_property
    def matched_counts(self) -> Counts:
        """How many units of the text match each name."""
        return np.asarray(self.shared.diagonal())

    @cached_property
    def part_of_unit(self) -> list[int]:
        """The number of the part between commas that each unit of the text stands in."""
        pieces = self.affiliation.pieces
        return [number for number, piece in enumerate(pieces) for _ in piece.units]

    def alignment(self, position: int) -> Alignment:
        """How the name of the candidate at a position lies in the text, without the country that
        tells a company's records apart ("Amgen (Germany)")."""
        document = self.documents[position]
        name = _without_country(document)
        return align(
            self.affiliation,
            self.part_of_unit,
            name,
            self.alike[position][: len(name.units)],
            self.matched[position],
            _place_words(document.city, document.region, document.country),
        )

    def remainder(self, position: int, named: Collection[int] = ()) -> Remainder:
        """What the name of the candidate at a position, without such a country, and the part of the
        text where it stands leave of each other. The whole names of other candidates stand at the
        positions `named`."""
        document, matched = self.documents[position], self.matched[position]
        numbers = {self.part_of_unit[at] for at in matched}
        around = Surroundings(
            self.affiliation,
            [at for at, number in enumerate(self.part_of_unit) if number in numbers],
            frozenset().union(*(self.affiliation.pieces[number].sorts for number in numbers)),
            self._in_places.union(named),
            self._holders,
        )
        return remainder(document, _without_country(document), matched, around)

    @cached_property
    def _in_places(self) -> frozenset[int]:
        return frozenset().union(*(mention.positions for mention in self.places.mentions))

    @cached_property
    def _holders(self) -> list[int]:
        """For each unit of the text the number of candidates whose name has it."""
        counts = Counter(chain.from_iterable(set(chain(*alike)) for alike in self.alike))
        return [counts[position] for position in range(len(self.affiliation.units))]

    @cached_property
    def capitals(self) -> frozenset[str]:
        """The text's words in capitals and its acronyms, folded."""
        units = self.affiliation.units
        capitals = frozenset(fold(word) for word in _CAPITALS.findall(self.affiliation.text))
        return capitals | {units[position] for position in self.acronyms.at}

    @cached_property
    def acronyms(self) -> Acronyms:
        """The text's acronyms."""
        return Acronyms(self.affiliation)

    @cached_property
    def short_names(self) -> list[frozenset[int]]:
        """For each candidate the positions of the words that are a whole name of it, such as its
        acronyms."""
        return [self.acronyms.short_names(document) for document in self.documents]

    @cached_property
    def short_name_shares(self) -> Numbers:
        """How likely it is that a short name in the text means each candidate and no other: its
        share, from 0 to 1, of the relations of all candidates with this name that are where the
        text says. Each has one relation more than the registry knows.

        1 where it is the only one, 0 without a short name in the text. The share is negative where
        the text names another country, or the city of another candidate with this name. Relations
        of organisations that have ended count for themselves alone.
        """
        bearing = [i for i, short in enumerate(self.short_names) if short]
        in_city = {i for i in bearing if self._beside_short_name(i).city and self._is_active(i)}
        placed = frozenset().union(*(self.short_names[i] for i in in_city))
        there = {
            i
            for i in bearing
            if i in in_city or not (self._is_away(i) or self.short_names[i] <= placed)
        }
        total: Counter[int] = Counter()
        for i in there:
            if self._is_active(i):
                total.update(dict.fromkeys(self.short_names[i], 1 + relations(self.documents[i])))
        shares = np.zeros(len(self))
        for i in bearing:
            mine = 1 + relations(self.documents[i])
            further = 0 if i in there and self._is_active(i) else mine
            share = max(mine / (total[position] + further) for position in self.short_names[i])
            shares[i] = share if i in there else -share
        return shares

    def _beside_short_name(self, position: int) -> Agreement:
        """What of its place is named beside the short name of the candidate at a position."""
        return self.places.beside(self.documents[position], self.short_names[position])

    def _is_active(self, position: int) -> bool:
        return self.documents[position].status is OrganisationStatus.ACTIVE

    def _is_away(self, position: int) -> bool:
        """Whether places are named beside its short name, and none in its country."""
        document, short = self.documents[position], self.short_names[position]
        return self.places.elsewhere(document, short) or (
            self.places.towns(document, short) < 0 and not any(self._beside_short_name(position))
        )

    @cached_property
    def identified(self) -> Flags:
        """Whether the text has an identifier of each one in a registry: its ROR id, GRID, ISNI …"""
        numbers = numbers_in(self.affiliation.text)
        if not numbers:
            return np.zeros(len(self), np.bool_)
        return np.array([not numbers.isdisjoint(d.identifiers) for d in self.documents], np.bool_)

    @cached_property
    def domains(self) -> Flags:
        """Whether the text has a web or e-mail domain of each one that no other candidate has."""
        carried = domains_in(self.affiliation.text)
        if not carried:
            return np.zeros(len(self), np.bool_)
        owned = [carried.intersection(document.identifiers) for document in self.documents]
        owners = Counter(chain.from_iterable(owned))
        return np.array([any(owners[domain] == 1 for domain in of) for of in owned], np.bool_)

    @cached_property
    def places(self) -> NamedPlaces:
        """Which of the candidates' places the text names."""
        return NamedPlaces.of(self.affiliation, self.documents)

    @cached_property
    def agreement(self) -> npt.NDArray[np.bool_]:
        """Whether the text names each one's city, region and country, shape (3, candidates)."""
        agreement = [self.places.agreement(document) for document in self.documents]
        return np.array(agreement, np.bool_).reshape(-1, 3).T


def relations(document: Document) -> int:
    """How many organisations the registry relates one to."""
    return len(document.parents) + len(document.successors) + len(document.relatives)


def identifier_positions(text: Text) -> frozenset[int]:
    """Positions of the units in identifiers and addresses: their words name nobody, as "org" in
    "https://ror.org/052gg0110"."""
    written = written_identifiers(text.text)
    if not written:
        return frozenset()
    return frozenset(
        position
        for position, (start, end) in enumerate(text.spans)
        if any(start < w.end and w.start < end for w in written)
    )


def _without_country(document: Document) -> Text:
    name = document.name
    if document.country and name.endswith(ending := f" ({document.country})"):
        name = name[: -len(ending)]
    return registry_text(name)


@lru_cache(maxsize=1 << 14)
def _place_words(*places: str | None) -> frozenset[str]:
    return frozenset(unit for place in places if place for unit in registry_text(place).units)


def competes(matched: frozenset[int], other: frozenset[int]) -> bool:
    """Whether two names compete for words of the text: at least half of the words that match the
    one with fewer matches are the other's too.

    A name that no word matches (another script) competes with all.
    """
    fewer = min(len(matched), len(other))
    return fewer == 0 or 2 * len(matched & other) >= fewer


def _competing(shared: npt.NDArray[np.int64]) -> Relation:
    """`competes` of each two."""
    size = shared.diagonal()
    fewer = np.minimum(size, size[:, None])
    return of_others(2 * shared >= fewer)


def _equal(names: Sequence[tuple[str, ...]]) -> Relation:
    numbers = {name: number for number, name in enumerate(names)}
    number = np.array([numbers[name] for name in names], np.int64)
    return of_others(number == number[:, None])


def of_others(relation: Relation) -> Relation:
    """The same relation, which no candidate has to itself."""
    others = relation.copy()
    np.fill_diagonal(others, False)
    return others
