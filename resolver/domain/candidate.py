"""Candidates: organisations that the first stage brings for an affiliation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from resolver.domain.document import Document
from resolver.domain.parts import Kind, parts

RRF_CONSTANT = 60
"""k of reciprocal rank fusion: G. Cormack et al., "Reciprocal rank fusion outperforms Condorcet
and individual rank learning methods", SIGIR 2009."""

MAX_SEGMENTS = 16
"""Segments of one affiliation that are searched by themselves: enough for all but lists of a dozen
organisations."""

S = TypeVar("S", bound=np.generic)

_BOUNDARY = re.compile(r"[,;|/()\[\]\n:、，；]| [-–—] ")
_JOINED_ACRONYMS = re.compile(r"[A-Z]{2}\d*[-–+][A-Z]{2}")
_JOINT = re.compile(r"[-–+\s]")
_ACRONYM = re.compile(r"[A-Z][A-Za-z]*[A-Z]+\d*")
_LETTERS = re.compile(r"[^\W\d_]{3,}|[\u2e80-\u9fff\uac00-\ud7af]{2,}")
_CAPITALS = re.compile(r"[A-Z][A-Za-z]*[A-Z]")
"""Of an acronym: "UMR CNRS 8182" is a unit that names an organisation."""

_NO_NAME = frozenset({Kind.PLACE, Kind.NUMBER, Kind.PERSON, Kind.REMARK})
_UNIT = _NO_NAME | {Kind.UNIT}


def divided(text: str) -> list[str]:
    """All that stands between commas and their like, in order, white space and all."""
    return _BOUNDARY.split(text)


def segments(text: str) -> list[str]:
    """The parts of an affiliation between its commas and their like, in order.

    Acronyms joined by hyphens ("CNRS-INSERM-ULP") are parts of their own, beside the whole. Only
    parts with a word of three letters count; an affiliation of one part has no
    segments beside itself. Beyond `MAX_SEGMENTS` the later ones are kept: departments come
    first, organisations later.
    """
    found = []
    for part in divided(text):
        found.append(part.strip())
        if _JOINED_ACRONYMS.search(part):
            found += [word for word in _JOINT.split(part) if _ACRONYM.fullmatch(word)]
    found = list(dict.fromkeys(part for part in found if _LETTERS.search(part)))
    return [] if len(found) == 1 and found[0] == text else found[-MAX_SEGMENTS:]


def naming(text: str) -> list[str]:
    """The segments that may name an organisation, in order: those searched by themselves.

    Left out are units ("Department of Physics") without an acronym; what `resolver.domain.parts`
    reads as a place, a number, a person or a remark; and plain names at the end, after an
    organisation, with nothing but places among them: towns. And where only units are beside one
    organisation, the whole text does for both.

    A segment left out would put other organisations first: of 1,500 training strings R@20 is 97.05
    with all segments and 97.99 with these, R@50 98.99 and 99.26. Of 3.4 segments a string these are
    1.0, and half of the searches that `resolver.recall` has not kept go with the others.
    """
    found = segments(text)
    kinds = [_kinds(segment) for segment in found]
    plain = [not _CAPITALS.search(segment) for segment in found]
    units = [
        segment
        for segment, kind, is_plain in zip(found, kinds, plain, strict=True)
        if is_plain and Kind.UNIT in kind and kind <= _UNIT
    ]
    end = _end(kinds, plain)
    named = [
        segment
        for segment, kind in zip(found[:end], kinds, strict=False)
        if segment not in units and not kind <= _NO_NAME
    ]
    if units and len(named) == 1 and Kind.ORGANISATION in _kinds(named[0]):
        return []
    return named


def _end(kinds: Sequence[frozenset[Kind]], plain: Sequence[bool]) -> int:
    """Where the towns and countries at the end begin; after all where they follow nothing."""
    end = len(kinds)
    while end and (
        kinds[end - 1] <= _NO_NAME or (plain[end - 1] and kinds[end - 1] <= _NO_NAME | {Kind.NAME})
    ):
        end -= 1
    before = frozenset().union(*kinds[:end])
    return end if before & {Kind.ORGANISATION, Kind.ACRONYM} else len(kinds)


# Segments return as organisations do.
@lru_cache(maxsize=1 << 14)
def _kinds(segment: str) -> frozenset[Kind]:
    return frozenset(part.kind for part in parts(segment))


@dataclass(frozen=True, slots=True)
class Ranked:
    """A place (from 1) among the organisations of one result list, with that list's own score."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """One organisation, shown by the name that fits best.

    `sparse` and `dense` say how each kind of search found it (None: it did not); a dense
    find is the best over the whole text and its segments. `fused` orders candidates.
    """

    document: Document
    sparse: Ranked | None
    dense: Ranked | None
    fused: float

    @property
    def ror_id(self) -> str:
        return self.document.ror_id


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """One result list: names, best first, an organisation possibly several times.

    `names` (n,) int32 are the numbers that the index calls its names by, `organisations` (n,)
    int64 those of the organisations that bear them, in the order of ROR ids; `scores` (n,)
    float32, descending.
    """

    names: npt.NDArray[np.int32]
    organisations: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.names)


NOTHING = Results(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32))


def by_organisation(results: Results) -> Results:
    """Each organisation at its best name: ranks count organisations, not names."""
    _, first = np.unique(results.organisations, return_index=True)
    first.sort()
    return Results(results.names[first], results.organisations[first], results.scores[first])


@dataclass(frozen=True, slots=True)
class Fused:
    """A candidate before its document is read: `name` is the number of the one to show it by."""

    name: int
    sparse: Ranked | None
    dense: Ranked | None
    fused: float

    def candidate(self, document: Document) -> Candidate:
        return Candidate(document, self.sparse, self.dense, self.fused)


def fuse(sparse: Results, dense: Sequence[Results], *, depth: int) -> list[Fused]:
    """Candidates by reciprocal rank fusion, best first, at most `depth`.

    All lists are `by_organisation`; `dense` holds those of the whole text and of each segment.
    An organisation's dense rank is its best one: a segment that is nothing but its name finds it
    first. Ties go to the better sparse score, then the better dense one, then the smaller ROR id.
    """
    words, meaning = _best([sparse]), _best(dense)
    organisations = np.union1d(words.organisations, meaning.organisations)
    of_words = _at(organisations, words)
    of_meaning = _at(organisations, meaning)
    fused = of_words.reciprocal + of_meaning.reciprocal
    # The keys are those of `order`, the last one first.
    best = np.lexsort((organisations, -of_meaning.scores, -of_words.scores, -fused))[:depth]
    names = np.where(of_words.ranks > 0, of_words.names, of_meaning.names)
    return [
        Fused(name, sparse, dense, value)
        for name, sparse, dense, value in zip(
            names[best].tolist(),
            of_words.ranked(best),
            of_meaning.ranked(best),
            fused[best].tolist(),
            strict=True,
        )
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where each of some organisations stands by one kind of search: rank 0 and score 0 where it
    was not found."""

    organisations: npt.NDArray[np.int64]
    names: npt.NDArray[np.int32]
    ranks: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]

    @property
    def reciprocal(self) -> npt.NDArray[np.float64]:
        return np.where(self.ranks > 0, 1 / (RRF_CONSTANT + self.ranks), 0.0)

    def ranked(self, which: npt.NDArray[np.int64]) -> list[Ranked | None]:
        ranks, scores = self.ranks[which].tolist(), self.scores[which].tolist()
        return [
            Ranked(rank, score) if rank else None for rank, score in zip(ranks, scores, strict=True)
        ]


def _best(lists: Sequence[Results]) -> _Places:
    """Each organisation at its best place in any of the lists, in order of organisation."""
    organisations = _joined([results.organisations for results in lists], np.int64)
    names = _joined([results.names for results in lists], np.int32)
    scores = _joined([results.scores for results in lists], np.float32)
    ranks = _joined([np.arange(1, len(results) + 1) for results in lists], np.int64)
    order = np.lexsort((-scores, ranks, organisations))
    ordered = organisations[order]
    first = order[
        np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(order)])
    ]
    return _Places(organisations[first], names[first], ranks[first], scores[first])


def _joined(arrays: Sequence[npt.NDArray[S]], kind: type[S]) -> npt.NDArray[S]:
    return np.concatenate(arrays) if arrays else np.empty(0, kind)


def _at(organisations: npt.NDArray[np.int64], places: _Places) -> _Places:
    """The same places, in a row for each of the organisations, which hold all of theirs."""
    where = np.searchsorted(organisations, places.organisations)
    names = np.zeros(len(organisations), np.int32)
    ranks = np.zeros(len(organisations), np.int64)
    scores = np.zeros(len(organisations), np.float32)
    names[where], ranks[where], scores[where] = places.names, places.ranks, places.scores
    return _Places(organisations, names, ranks, scores)


def order(candidate: Candidate) -> tuple[float, float, float, str]:
    """The first stage's order, best first, as a key to sort by."""
    sparse, dense = candidate.sparse, candidate.dense
    return (
        -candidate.fused,
        -(sparse.score if sparse else 0.0),
        -(dense.score if dense else 0.0),
        candidate.ror_id,
    )
