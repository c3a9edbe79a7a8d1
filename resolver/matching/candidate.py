"""Candidates: the organisations that the first stage finds for an affiliation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from resolver.index.results import Results
from resolver.registry.document import Document

RRF_CONSTANT = 60
"""k of reciprocal rank fusion: G. Cormack et al., "Reciprocal rank fusion outperforms Condorcet
and individual rank learning methods", SIGIR 2009."""

SURE_BY_WORDS, SURE_BY_MEANING = 12, 2
"""Ranks, by words of the whole text and by meaning of the text or of any segment, up to which an
organisation is a candidate whatever its other rank. Where a text names many organisations, one
that only one kind of search finds ("INSERM U938", "INRAP") would fall behind dozens that both find
at middling ranks."""

S = TypeVar("S", bound=np.generic)


class Ranked(NamedTuple):
    """A rank (from 1) among the organisations of one result list, with that list's own score."""

    rank: int
    score: float


class Candidate(NamedTuple):
    """One organisation, shown by the name that fits best.

    `sparse` and `dense` are its ranks by words and by meaning, None where that search did not find
    it; the dense one is the best over the whole text and its segments. `fused` is the score that
    candidates are ordered by.
    """

    document: Document
    sparse: Ranked | None
    dense: Ranked | None
    fused: float

    @property
    def ror_id(self) -> str:
        return self.document.ror_id


def by_organisation(results: Results) -> Results:
    """Results with each organisation once, at its best name: ranks count organisations, not
    names."""
    _, first = np.unique(results.organisations, return_index=True)
    first.sort()
    return Results(results.names[first], results.organisations[first], results.scores[first])


class Fused(NamedTuple):
    """A candidate before its document is read: `name` is the number of the name to show it by."""

    name: int
    sparse: Ranked | None
    dense: Ranked | None
    fused: float

    def candidate(self, document: Document) -> Candidate:
        return Candidate(document, self.sparse, self.dense, self.fused)


def fuse(sparse: Results, dense: Sequence[Results], *, depth: int) -> list[Fused]:
    """Candidates by reciprocal rank fusion, best first, at most `depth`.

    Those of the ranks `SURE_BY_WORDS` and `SURE_BY_MEANING` are among them before any other. All
    lists are `by_organisation`; `dense` holds those of the whole text and of each segment.
    An organisation's dense rank is its best one: a segment that is nothing but its name finds it
    first. Ties go to the better sparse score, then the better dense one, then the smaller ROR id.
    """
    words, meaning = _best([sparse]), _best(dense)
    organisations = np.union1d(words.organisations, meaning.organisations)
    by_words = _at(organisations, words)
    by_meaning = _at(organisations, meaning)
    fused = by_words.reciprocal + by_meaning.reciprocal
    sure = by_words.within(SURE_BY_WORDS) | by_meaning.within(SURE_BY_MEANING)
    # The keys are those of `order`, the last one first.
    ordered = np.lexsort((organisations, -by_meaning.scores, -by_words.scores, -fused))
    kept = np.argsort(~sure[ordered], kind="stable")[:depth]
    best = ordered[np.sort(kept)]
    names = np.where(by_words.ranks > 0, by_words.names, by_meaning.names)
    return [
        Fused(name, sparse, dense, value)
        for name, sparse, dense, value in zip(
            names[best].tolist(),
            by_words.ranked(best),
            by_meaning.ranked(best),
            fused[best].tolist(),
            strict=True,
        )
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Ranks:
    """The ranks, scores and names of organisations by one kind of search; rank 0 and score 0 where
    one was not found."""

    organisations: npt.NDArray[np.int64]
    names: npt.NDArray[np.int32]
    ranks: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]

    @property
    def reciprocal(self) -> npt.NDArray[np.float64]:
        return np.where(self.ranks > 0, 1 / (RRF_CONSTANT + self.ranks), 0.0)

    def within(self, last: int) -> npt.NDArray[np.bool_]:
        """Whether each was found at a rank of at most `last`."""
        return (self.ranks > 0) & (self.ranks <= last)

    def ranked(self, which: npt.NDArray[np.int64]) -> list[Ranked | None]:
        ranks, scores = self.ranks[which].tolist(), self.scores[which].tolist()
        return [
            Ranked(rank, score) if rank else None for rank, score in zip(ranks, scores, strict=True)
        ]


def _best(lists: Sequence[Results]) -> _Ranks:
    """Each organisation at its best rank in any of the lists, in order of organisation."""
    if len(lists) == 1:
        [only] = lists
        order = np.argsort(only.organisations)
        return _Ranks(only.organisations[order], only.names[order], order + 1, only.scores[order])
    organisations = _joined([results.organisations for results in lists], np.int64)
    names = _joined([results.names for results in lists], np.int32)
    scores = _joined([results.scores for results in lists], np.float32)
    ranks = _joined([np.arange(1, len(results) + 1) for results in lists], np.int64)
    order = np.lexsort((-scores, ranks, organisations))
    ordered = organisations[order]
    first = order[
        np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(order)])
    ]
    return _Ranks(organisations[first], names[first], ranks[first], scores[first])


def _joined(arrays: Sequence[npt.NDArray[S]], kind: type[S]) -> npt.NDArray[S]:
    return np.concatenate(arrays) if arrays else np.empty(0, kind)


def _at(organisations: npt.NDArray[np.int64], ranks_of: _Ranks) -> _Ranks:
    """The same with an entry for each of the `organisations`, which must contain all of theirs."""
    where = np.searchsorted(organisations, ranks_of.organisations)
    names = np.zeros(len(organisations), np.int32)
    ranks = np.zeros(len(organisations), np.int64)
    scores = np.zeros(len(organisations), np.float32)
    names[where], ranks[where], scores[where] = ranks_of.names, ranks_of.ranks, ranks_of.scores
    return _Ranks(organisations, names, ranks, scores)


def order(candidate: Candidate) -> tuple[float, float, float, str]:
    """The first stage's order, best first, as a sort key."""
    sparse, dense = candidate.sparse, candidate.dense
    return (
        -candidate.fused,
        -(sparse.score if sparse else 0.0),
        -(dense.score if dense else 0.0),
        candidate.ror_id,
    )
