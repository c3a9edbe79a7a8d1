"""What speaks for a candidate beside the reranker's score: numbers that a person can check.

One row of `FEATURES` for each candidate of a shortlist. The reranker reads one pair at a time;
these say how the pair stands among the others, how much of the name the text holds and where,
whether place and text agree, and how the candidate is related to better ones.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from resolver.domain.candidate import Candidate, divided
from resolver.domain.identifier import identifiers_in
from resolver.domain.organisation import OrganisationStatus
from resolver.domain.outcome import CountryAgreement
from resolver.domain.place import NamedPlaces
from resolver.domain.words import CJK, fold, ground, holds, units

TYPES = ("education", "healthcare", "company", "facility", "government")
"""ROR's types that bear on whether an affiliation names an organisation or something inside it."""

FEATURES = (
    "logit",
    "rival_gap",
    "best_gap",
    "better_rivals",
    "better",
    "first_gap",
    "strong_others",
    "sparse",
    "sparse_gap",
    "dense",
    "dense_gap",
    "reciprocal_rank",
    "coverage",
    "missing",
    "name_length",
    "text_share",
    "segment_share",
    "position",
    "within_better",
    "holds_rival",
    "acronym",
    "capitals",
    "display_name",
    "namesakes",
    "namesake_gap",
    "city",
    "city_known",
    "region",
    "country",
    "country_known",
    "other_country",
    "rival_city",
    "identifier",
    "parent_of_better",
    "child_of_better",
    "relative_of_better",
    "inactive",
    *TYPES,
    "text_words",
    "segments",
)
"""The columns, in order. *Rivals* stand on the same words of the text (`competes`), *better* ones
have a higher logit, and where there is none to compare with, its score counts as 0:

- ``logit``: the reranker's score; ``rival_gap``, ``best_gap``, ``first_gap``: minus that of the
  best rival, of the best other candidate, of the first stage's first; ``better_rivals``,
  ``better``: how many are better; ``strong_others``: on how many other grounds of the text there
  is a candidate with a logit above `STRONG`
- ``sparse``, ``dense``: scores of the first stage (0 where it did not find the candidate that
  way); ``sparse_gap``, ``dense_gap``: minus the best of its rivals; ``reciprocal_rank``: 1 / place
  in the first stage's fused list
- ``coverage``: share of the name's words that the text holds in one place; ``missing``: how many
  it does not; ``name_length``: ln(1 + words of the name); ``text_share``, ``segment_share``: share
  of the words of the text, and of the part of it between commas, that the name stands on;
  ``position``: where the first of them is, from 0 to 1
- ``within_better``: share of its ground that a better rival with more words stands on;
  ``holds_rival``: share of a shorter rival's ground that it stands on
- ``acronym``: the name is nothing but an acronym; ``capitals``: a name of one or two words of which
  the text has one in capitals; ``display_name``: it is ROR's own
- ``namesakes``: ln of the organisations that bear the name; ``namesake_gap``: the logit minus that
  of the best other candidate of the same name (`NO_NAMESAKE` without one)
- ``city``, ``region``, ``country``: the text names the organisation's; ``city_known``,
  ``country_known``: the registry has one; ``other_country``: the text names that of another
  candidate and not this one's; ``rival_city``: it names a namesake's city, or without namesakes a
  rival's, and not this one's
- ``identifier``: the text carries one of the organisation's
- ``parent_of_better``, ``child_of_better``, ``relative_of_better``: how the registry relates it to
  a better candidate
- ``inactive``: the organisation has ended; then ROR's types
- ``text_words``: ln(1 + words of the text); ``segments``: ln(1 + its parts)
"""

STRONG = 1.0
"""A logit above which three in four candidates are right (calibration of the built-in reranker)."""

NO_NAMESAKE = 10.0
"""Larger than any difference of two logits that bears on a decision."""

Features = npt.NDArray[np.float64]
"""Shape (candidates, len(FEATURES)), float64."""

_CAPITALS = re.compile(r"\b[A-Z][A-Za-z&]*[A-Z]\w*\b")


def evidence(text: str, candidates: Sequence[Candidate], logits: Sequence[float]) -> Features:
    """The features of a shortlist, which is in the first stage's order, as `logits` are."""
    if not candidates:
        return np.empty((0, len(FEATURES)))
    shortlist = _Shortlist(text, candidates, np.asarray(logits, np.float64))
    return np.array([shortlist.row(i) for i in range(len(candidates))], np.float64)


def competes(one: frozenset[int], other: frozenset[int]) -> bool:
    """Whether two names compete: at least half of the smaller ground is the other's too.

    A name that stands on nothing (another script) competes with all.
    """
    smaller = min(len(one), len(other))
    return smaller == 0 or 2 * len(one & other) >= smaller


class _Shortlist:
    """What the rows have in common."""

    def __init__(
        self, text: str, candidates: Sequence[Candidate], logits: npt.NDArray[np.float64]
    ) -> None:
        self.candidates = candidates
        self.documents = [candidate.document for candidate in candidates]
        self.logits = logits.tolist()
        self.text = _Text(text)
        self.places = NamedPlaces.of(text, self.documents)
        self.names = [units(document.name) for document in self.documents]
        self.grounds = [ground(self.text.units, name) for name in self.names]
        self.folded = [" ".join(name) for name in self.names]
        self.sparse = [c.sparse.score if c.sparse else 0.0 for c in candidates]
        self.dense = [c.dense.score if c.dense else 0.0 for c in candidates]
        self.cities = [self.places.city(document) for document in self.documents]
        everyone = range(len(candidates))
        self.rivals = [
            [j for j in everyone if j != i and competes(self.grounds[i], self.grounds[j])]
            for i in everyone
        ]
        self.others = [[j for j in everyone if j != i] for i in everyone]

    def row(self, i: int) -> tuple[float, ...]:
        document, name, stands = self.documents[i], self.names[i], self.grounds[i]
        rivals, others, logit = self.rivals[i], self.others[i], self.logits[i]
        better_rivals = [j for j in rivals if self.logits[j] > logit]
        better = [self.documents[j] for j in others if self.logits[j] > logit]
        better_ids = {other.ror_id for other in better}
        namesakes = [j for j in others if self.folded[j] == self.folded[i]]
        country = self.places.country(document)
        return (
            logit,
            logit - self._best(self.logits, rivals),
            logit - self._best(self.logits, others),
            len(better_rivals),
            len(better),
            logit - self.logits[0],
            self._strong_beside(i),
            self.sparse[i],
            self.sparse[i] - self._best(self.sparse, rivals),
            self.dense[i],
            self.dense[i] - self._best(self.dense, rivals),
            1 / (i + 1),
            len(stands) / len(name) if name else 0.0,
            len(name) - len(stands),
            math.log1p(_length(name)),
            len(stands) / max(len(self.text.units), 1),
            self.text.segment_share(stands),
            min(stands, default=len(self.text.units)) / max(len(self.text.units), 1),
            self._within_better(stands, better_rivals),
            self._holds_rival(stands, rivals),
            document.is_acronym,
            len(name) <= _SHORT and not self.text.capitals.isdisjoint(name),
            document.name == document.display_name,
            math.log(document.namesakes),
            logit - self._best(self.logits, namesakes) if namesakes else NO_NAMESAKE,
            self.cities[i],
            bool(document.city),
            holds(self.places.flat, document.region),
            country is CountryAgreement.NAMED,
            bool(document.country_code),
            country is CountryAgreement.OTHER_NAMED,
            not self.cities[i] and any(self.cities[j] for j in namesakes or rivals),
            not self.text.identifiers.isdisjoint(document.identifiers),
            any(document.ror_id in other.parents for other in better),
            not better_ids.isdisjoint(document.parents),
            not better_ids.isdisjoint((*document.relatives, *document.successors)),
            document.status is not OrganisationStatus.ACTIVE,
            *(kind in document.types for kind in TYPES),
            math.log1p(len(self.text.units)),
            math.log1p(self.text.segments),
        )

    def _best(self, scores: Sequence[float], among: Sequence[int]) -> float:
        return max((scores[j] for j in among), default=0.0)

    def _strong_beside(self, i: int) -> int:
        rivals = set(self.rivals[i])
        return len(
            {self.grounds[j] for j in self.others[i] if self.logits[j] > STRONG and j not in rivals}
        )

    def _within_better(self, stands: frozenset[int], better: Sequence[int]) -> float:
        longer = [self.grounds[j] for j in better if len(self.grounds[j]) > len(stands) > 0]
        return max((len(stands & other) / len(stands) for other in longer), default=0.0)

    def _holds_rival(self, stands: frozenset[int], rivals: Sequence[int]) -> float:
        shorter = [self.grounds[j] for j in rivals if 0 < len(self.grounds[j]) < len(stands)]
        return max((len(stands & other) / len(other) for other in shorter), default=0.0)


_SHORT = 2
"""Units of a name that capitals in the text can stand for."""


@dataclass(frozen=True)
class _Text:
    """An affiliation, normalised; each thing about it is found when it is asked."""

    text: str

    @cached_property
    def _parts(self) -> list[list[str]]:
        return [units(part) for part in divided(self.text)]

    @cached_property
    def units(self) -> list[str]:
        return [unit for part in self._parts for unit in part]

    @cached_property
    def _part_of(self) -> list[int]:
        return [number for number, part in enumerate(self._parts) for _ in part]

    @cached_property
    def segments(self) -> int:
        return sum(bool(part) for part in self._parts)

    @cached_property
    def capitals(self) -> frozenset[str]:
        return frozenset(fold(word) for word in _CAPITALS.findall(self.text))

    @cached_property
    def identifiers(self) -> frozenset[str]:
        return frozenset(identifiers_in(self.text))

    def segment_share(self, stands: frozenset[int]) -> float:
        """Share of a part's words that the name stands on: of that which holds most of them."""
        if not stands:
            return 0.0
        number, count = Counter(self._part_of[position] for position in sorted(stands)).most_common(
            1
        )[0]
        return count / len(self._parts[number])


def _length(name: Sequence[str]) -> int:
    """Words of a name; two CJK characters make about one."""
    characters = sum(bool(CJK.fullmatch(unit)) for unit in name)
    return len(name) - characters + (characters + 1) // 2
