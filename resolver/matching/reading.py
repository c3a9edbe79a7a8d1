"""An affiliation beside its candidates: what is known of them before the reranker has read any.

How much of each name the text holds and where, whether text and place agree, and how the first
stage found it. The sieve passes on what is worth the reranker's time by these, and the judge weighs
them again beside the scores (`resolver.matching.evidence`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from resolver.matching.candidate import Candidate
from resolver.matching.outcome import CountryAgreement
from resolver.matching.place import NamedPlaces
from resolver.registry.document import Document
from resolver.registry.identifier import identifiers_in
from resolver.registry.organisation import OrganisationStatus
from resolver.text.segments import divided
from resolver.text.words import CJK, fold, ground, units

TYPES = ("education", "healthcare", "company", "facility", "government")
"""ROR's types that bear on whether an affiliation names an organisation or something inside it."""

STANDING = (
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
    "holds_rival",
    "acronym",
    "capitals",
    "display_name",
    "namesakes",
    "city",
    "city_known",
    "region",
    "country",
    "country_known",
    "other_country",
    "rival_city",
    "identifier",
    "inactive",
    *TYPES,
    "text_words",
    "segments",
)
"""The columns, in order. *Rivals* stand on the same words of the text (`competes`), and where there
is none to compare with, its score counts as 0:

- ``sparse``, ``dense``: scores of the first stage (0 where it did not find the candidate that
  way); ``sparse_gap``, ``dense_gap``: minus the best of its rivals; ``reciprocal_rank``: 1 / place
  in the first stage's fused list
- ``coverage``: share of the name's words that the text holds in one place; ``missing``: how many
  it does not; ``name_length``: ln(1 + words of the name); ``text_share``, ``segment_share``: share
  of the words of the text, and of the part of it between commas, that the name stands on;
  ``position``: where the first of them is, from 0 to 1
- ``holds_rival``: share of a shorter rival's ground that it stands on
- ``acronym``: the name is nothing but an acronym; ``capitals``: a name of one or two words of which
  the text has one in capitals; ``display_name``: it is ROR's own
- ``namesakes``: ln of the organisations that bear the name
- ``city``, ``region``, ``country``: the text names the organisation's; ``city_known``,
  ``country_known``: the registry has one; ``other_country``: the text names that of another
  candidate and not this one's; ``rival_city``: it names a namesake's city, or without namesakes a
  rival's, and not this one's
- ``identifier``: the text carries one of the organisation's
- ``inactive``: the organisation has ended; then ROR's types
- ``text_words``: ln(1 + words of the text); ``segments``: ln(1 + its parts)
"""

Columns = npt.NDArray[np.float64]
"""Shape (candidates, columns), float64."""

Relation = npt.NDArray[np.bool_]
"""Shape (candidates, candidates), bool: whether the row's candidate stands so to the column's; no
candidate to itself."""

_CAPITALS = re.compile(r"\b[A-Z][A-Za-z&]*[A-Z]\w*\b")

_SHORT = 2
"""Units of a name that capitals in the text can stand for."""


class Reading:
    """A normalised affiliation and the first stage's candidates for it, in that stage's order.

    `standing` has the columns `STANDING`. `grounds` are the positions of the text that each name
    stands on, `competing` and `namesakes` relations of the candidates, and `shared` (int64,
    (candidates, candidates)) how many positions two grounds have in common, one's own size on the
    diagonal. `places` says what the text names of all candidates' places.
    """

    def __init__(self, text: str, candidates: Sequence[Candidate]) -> None:
        self.text = text
        self.candidates = candidates
        self.documents: list[Document] = [candidate.document for candidate in candidates]
        self.places = NamedPlaces.of(text, self.documents)
        parts = [units(part) for part in divided(text)]
        words = [unit for part in parts for unit in part]
        names = [_units(document.name) for document in self.documents]
        self.grounds = [ground(words, name) for name in names]
        stands = np.zeros((len(candidates), len(words)), np.int64)
        for row, positions in zip(stands, self.grounds, strict=True):
            row[list(positions)] = 1
        self.shared: npt.NDArray[np.int64] = stands @ stands.T
        self.competing = _competing(self.shared)
        self.namesakes = _equal([" ".join(name) for name in names])
        self.standing: Columns = np.column_stack(
            [
                *self._found(),
                *_ground_columns(stands, parts, names),
                self._holds_rival(),
                *self._document_columns(names),
                *self._place_columns(),
                *self._record_columns(),
                np.full(len(candidates), math.log1p(len(words))),
                np.full(len(candidates), math.log1p(sum(map(bool, parts)))),
            ]
        ).reshape(len(candidates), len(STANDING))

    def _found(self) -> list[npt.NDArray[np.float64]]:
        sparse = np.array([c.sparse.score if c.sparse else 0.0 for c in self.candidates])
        dense = np.array([c.dense.score if c.dense else 0.0 for c in self.candidates])
        return [
            sparse,
            sparse - best(sparse, self.competing),
            dense,
            dense - best(dense, self.competing),
            1 / np.arange(1, len(self.candidates) + 1),
        ]

    def _holds_rival(self) -> npt.NDArray[np.float64]:
        size = self.shared.diagonal()
        shorter = self.competing & (size > 0) & (size < size[:, None])
        held = np.where(shorter, self.shared / np.maximum(size, 1), 0.0)
        return np.asarray(held.max(axis=1, initial=0.0))

    def _document_columns(self, names: Sequence[Sequence[str]]) -> list[list[float]]:
        capitals = {fold(word) for word in _CAPITALS.findall(self.text)}
        return [
            [document.is_acronym for document in self.documents],
            [len(name) <= _SHORT and not capitals.isdisjoint(name) for name in names],
            [document.name == document.display_name for document in self.documents],
            [math.log(document.namesakes) for document in self.documents],
        ]

    def _place_columns(self) -> list[npt.NDArray[np.bool_]]:
        agreement = [self.places.agreement(document) for document in self.documents]
        city, region, _ = np.array(agreement, np.bool_).reshape(-1, 3).T
        country = [self.places.country(document) for document in self.documents]
        named = np.where(
            self.namesakes.any(axis=1), (self.namesakes & city).any(axis=1),
            (self.competing & city).any(axis=1),
        )  # fmt: skip
        return [
            city,
            _flags(document.city for document in self.documents),
            region,
            _flags(one is CountryAgreement.NAMED for one in country),
            _flags(document.country_code for document in self.documents),
            _flags(one is CountryAgreement.OTHER_NAMED for one in country),
            ~city & named,
        ]

    def _record_columns(self) -> list[npt.NDArray[np.bool_]]:
        carried = frozenset(identifiers_in(self.text))
        return [
            _flags(not carried.isdisjoint(document.identifiers) for document in self.documents),
            _flags(document.status is not OrganisationStatus.ACTIVE for document in self.documents),
            *(_flags(kind in document.types for document in self.documents) for kind in TYPES),
        ]


def competes(one: frozenset[int], other: frozenset[int]) -> bool:
    """Whether two names compete: at least half of the smaller ground is the other's too.

    A name that stands on nothing (another script) competes with all.
    """
    smaller = min(len(one), len(other))
    return smaller == 0 or 2 * len(one & other) >= smaller


def _competing(shared: npt.NDArray[np.int64]) -> Relation:
    """`competes` of each two."""
    size = shared.diagonal()
    smaller = np.minimum(size, size[:, None])
    return _others(2 * shared >= smaller)


def _equal(names: Sequence[str]) -> Relation:
    numbers = {name: number for number, name in enumerate(names)}
    number = np.array([numbers[name] for name in names], np.int64)
    return _others(number == number[:, None])


def _others(relation: Relation) -> Relation:
    return relation & ~np.eye(len(relation), dtype=np.bool_)


def best(scores: npt.NDArray[np.float64], among: Relation) -> npt.NDArray[np.float64]:
    """For each row the best of the scores `among` those that stand so to it; 0 without any."""
    found = np.where(among, scores, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(among.any(axis=1), found, 0.0)


def _ground_columns(
    stands: npt.NDArray[np.int64], parts: Sequence[Sequence[str]], names: Sequence[Sequence[str]]
) -> list[npt.NDArray[np.float64]]:
    """``coverage`` to ``position``. `stands` is 1 where a name (row) stands on a word (column)."""
    size = stands.sum(axis=1)
    length = np.array([len(name) for name in names], np.int64)
    words = max(stands.shape[1], 1)
    within = np.repeat(np.eye(len(parts), dtype=np.int64), [len(part) for part in parts], axis=0)
    held = stands @ within.reshape(stands.shape[1], len(parts))
    most = held.argmax(axis=1)
    lengths = np.array([max(len(part), 1) for part in parts], np.int64)
    return [
        np.where(length > 0, size / np.maximum(length, 1), 0.0),
        (length - size).astype(np.float64),
        np.log1p([_length(name) for name in names]),
        size / words,
        held[np.arange(len(most)), most] / lengths[most],
        np.where(size > 0, stands.argmax(axis=1) if stands.shape[1] else 0, stands.shape[1])
        / words,
    ]


def _length(name: Sequence[str]) -> int:
    """Words of a name; two CJK characters make about one."""
    characters = sum(bool(CJK.fullmatch(unit)) for unit in name)
    return len(name) - characters + (characters + 1) // 2


def _flags(values: Iterable[object]) -> npt.NDArray[np.bool_]:
    return np.array([bool(value) for value in values], np.bool_)


# Names return: those of large universities with every other affiliation.
_units = lru_cache(maxsize=1 << 14)(units)
