"""Which stored affiliations a release could answer otherwise: searched for the other way round.

To find an affiliation's candidates anew is half of resolving it again. But a release changes few
names (8,000 of 242,000 from 2.8 to 2.9), and which affiliations these come near to is cheap to find
out: the changed names are the index here (`Names`), the affiliations are the queries, and the
vectors are those of the first stage.

Being a candidate says little: half of all affiliations have a changed name among their 50, mostly a
late one. So the nearest few are read beside what the affiliation is linked to, and the sieve says
how probable it is that one of them is named. How little of that is enough depends on how sure the
answer was (`WITHIN`): a link just above the policy's threshold falls by any change in its
neighbourhood.

Of 30,000 affiliations (labelled ones and noisy variants) 117 have another answer by release 2.9
than by 2.8, 108 of them other links. This selects 7.2 in 100, with what the database marks 9.5, and
finds 100 of the 117. Of the 69 answers that gained or lost an organisation whose record changed 66
are found. Of the 39 in which other organisations changed places, because ranks, rivals or namesakes
moved, 30 are: these lie scattered, and to have nearly all takes every fifth affiliation.

It takes 0.45 ms an affiliation of one core, a fiftieth of resolving it, and 1.3 s to begin with.
Affiliations come in a stream, and what is kept (vectors of 8,000 names: 6 MB; those of 16,000
parts: 10 MB) does not grow with them: 100 million take 13 hours of one core, against 29 days, and
processes share them (`resolver.release.selection`).
`python -m benchmarks.release` measures an update from end to end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from resolver.encoder import DenseVectors, Encoder
from resolver.encoder.lexical import SparseVector, query_vector
from resolver.encoder.statistics import Statistics
from resolver.index.recent import Recent
from resolver.matching.candidate import RRF_CONSTANT, Candidate, Ranked
from resolver.matching.reading import Reading
from resolver.matching.sieve import Sieve
from resolver.registry.change import Change
from resolver.registry.document import Document, documents
from resolver.registry.organisation import Organisation, OrganisationStatus
from resolver.text.affiliation import Affiliation
from resolver.text.segments import segments

NEAREST = 8
"""Changed names at most that are read beside an affiliation: those that its words cover best."""

LEAST_SPARSE = 1.0
LEAST_FIT = 2.4
"""A name is near from this sparse score on, and from this sum of it and twice the dense score. The
first alone holds for nine affiliations in ten: it only spares the encoder the others."""

SURE = 0.8
LEAST_FIT_SURE = 3.0
"""Where the weakest link is so far on the way from its policy's threshold to 1, a name is near from
this sum on: three affiliations in four are such, and reading names beside them is most of the time
spent."""

ALWAYS_WITHIN = 0.1
"""Answers whose weakest link is no further on that way are selected, whatever is near: of those
from release 2.8 one in twenty changed with 2.9, a quarter of them with no changed name near."""

WITHIN = ((0.4, 0.02), (SURE, 0.05), (1.0, 0.5))
"""(How far the weakest link is on that way, the probability from which a changed name is enough.)
Read off the 75 links that changed among 20,000 affiliations from release 2.8 to 2.9, of which 71
are found. Of the 33 among 10,000 others 25 are."""

UNLINKED = 0.4
"""The probability that suffices where there is no link."""

_CELLS = 2_000_000
"""Scores held at once: 16 MB."""

_KEPT_PARTS = 16_000


class Given(Protocol):
    """A link as it is stored. `threshold` is the probability that its policy asks for; the scores
    of the first stage are None where it did not find the organisation that way."""

    @property
    def ror_id(self) -> str: ...
    @property
    def matched_name(self) -> str: ...
    @property
    def probability(self) -> float: ...
    @property
    def threshold(self) -> float: ...
    @property
    def sparse(self) -> float | None: ...
    @property
    def dense(self) -> float | None: ...


class Answered(Protocol):
    """An affiliation with its answers. `reasons` has one for each, None for one with links."""

    @property
    def text(self) -> str: ...
    @property
    def reasons(self) -> Sequence[str | None]: ...
    @property
    def links(self) -> Sequence[Given]: ...


@dataclass(frozen=True, slots=True)
class Near:
    """A name near an affiliation, with the scores that the first stage would give it; 0 where it
    would not find it."""

    document: Document
    sparse: float
    dense: float

    @property
    def fit(self) -> float:
        return self.sparse + 2 * self.dense


def weighty(
    changes: Iterable[Change], statuses: Collection[OrganisationStatus]
) -> dict[str, list[Document]]:
    """By ROR id the names of the organisations whose change could bear on an answer.

    Each in its present state, and in its former one where it was written otherwise or elsewhere.
    Of the others nothing is indexed that decides (a website, a year) or nothing but which
    organisations it is related to. That bears only on an answer with the other one near, which is
    new, or changed likewise: most of them are bodies such as the CNRS to which a laboratory was
    added. With every link to them 3.7 in 100 affiliations more would be selected, and two changed
    answers of 117 more found.
    """
    found = {}
    for before, after in changes:
        old, new = _names(before, statuses), _names(after, statuses)
        if {name: _deciding(one) for name, one in old.items()} == {
            name: _deciding(one) for name, one in new.items()
        }:
            continue
        left = [
            one
            for name, one in old.items()
            if name not in new or new[name].dense_text != one.dense_text
        ]
        names = [*new.values(), *left]
        found[names[0].ror_id] = names
    return found


def _names(
    organisation: Organisation | None, statuses: Collection[OrganisationStatus]
) -> dict[str, Document]:
    if organisation is None or organisation.status not in statuses:
        return {}
    return {document.name: document for document in documents(organisation)}


def _deciding(document: Document) -> Document:
    return replace(document, relatives=())


class Names:
    """Names of organisations, to be found in affiliations."""

    def __init__(
        self,
        found: Sequence[Document],
        sparse: Sequence[SparseVector],
        dense: DenseVectors,
        encoder: Encoder,
    ) -> None:
        """`sparse` and `dense` are the vectors of the names, in order."""
        self._documents = found
        self._dense = dense
        self._encoder = encoder
        self._parts: Recent[str, npt.NDArray[np.float32]] = Recent(_KEPT_PARTS)
        terms = np.concatenate([np.empty(0, np.uint32), *(vector.indices for vector in sparse)])
        values = np.concatenate([np.empty(0, np.float32), *(vector.values for vector in sparse)])
        bearers = np.repeat(np.arange(len(found)), [len(vector) for vector in sparse])
        order = np.argsort(terms, kind="stable")
        # For each term where its names begin, and a place after the last.
        self._terms, first = np.unique(terms[order], return_index=True)
        self._starts = np.append(first, len(terms))
        self._bearers = bearers[order]
        self._values = values[order]

    @classmethod
    def of(
        cls,
        organisations: Iterable[Sequence[Document]],
        statistics: Statistics,
        encoder: Encoder,
    ) -> Names:
        """Of the names of organisations, with the vectors that the index with these `statistics`
        has or had of them."""
        found: list[Document] = []
        translated: list[dict[int, float]] = []
        for names in organisations:
            found += names
            translated += [statistics.translation.terms(names), *({} for _ in names[1:])]
        return cls(
            found,
            statistics.vectors(found, translated),
            encoder.encode_documents([one.dense_text for one in found]),
            encoder,
        )

    def __len__(self) -> int:
        return len(self._documents)

    def near(self, texts: Sequence[str]) -> list[list[Near]]:
        """For each normalised text the names that are near, at most `NEAREST`, in no order.

        They are searched for by words, with the meaning to tell them apart: what only its meaning
        brings near, as a name in another script does, is mostly not found. The dense score is the
        best of the whole text and all its parts; the first stage searches for some of these.
        """
        if not len(self):
            return [[] for _ in texts]
        size = max(1, _CELLS // len(self))
        return [
            near
            for start in range(0, len(texts), size)
            for near in self._near(texts[start : start + size])
        ]

    def _near(self, texts: Sequence[str]) -> list[list[Near]]:
        scores = self._scores(texts)
        places = [_best(row) for row in scores]
        parts = [
            list(dict.fromkeys((text, *segments(text)))) if len(own) else []
            for text, own in zip(texts, places, strict=True)
        ]
        vectors = self._encoded(dict.fromkeys(part for own in parts for part in own))
        found: list[list[Near]] = []
        for row, own, asked in zip(scores, places, parts, strict=True):
            if not asked:
                found.append([])
                continue
            queries = np.stack([vectors[part] for part in asked])
            sparse, dense = row[own], (queries @ self._dense[own].T).max(axis=0)
            near = sparse + 2 * dense >= LEAST_FIT
            rows = zip(own[near].tolist(), sparse[near].tolist(), dense[near].tolist(), strict=True)
            found.append([Near(self._documents[place], *two) for place, *two in rows])
        return found

    def _scores(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Sparse scores, shape (texts, names)."""
        queries = [query_vector(text).indices for text in texts]
        asked = np.concatenate(queries)
        asker = np.repeat(np.arange(len(texts)), [len(query) for query in queries])
        place = np.minimum(np.searchsorted(self._terms, asked), len(self._terms) - 1)
        known = self._terms[place] == asked
        place, asker = place[known], asker[known]
        first = self._starts[place]
        count = self._starts[place + 1] - first
        # All entries of all terms asked for, one after the other.
        entry = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
        cell = np.repeat(asker * len(self), count) + self._bearers[entry]
        scores = np.bincount(cell, self._values[entry], minlength=len(texts) * len(self))
        return np.asarray(scores.reshape(len(texts), len(self)))

    def _encoded(self, parts: Collection[str]) -> Mapping[str, npt.NDArray[np.float32]]:
        vectors = self._parts.get(parts)
        new = [part for part in parts if part not in vectors]
        if new:
            fresh = dict(zip(new, self._encoder.encode_queries(new), strict=True))
            vectors |= fresh
            self._parts.keep(fresh)
        return vectors


def _best(row: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    places = np.flatnonzero(row >= LEAST_SPARSE)
    if len(places) > NEAREST:
        places = places[np.argpartition(-row[places], NEAREST)[:NEAREST]]
    return places


@dataclass(frozen=True, slots=True)
class Search:
    """Finds affiliations that one of the names could change the answer of.

    `organisations` gives documents by ROR id, as `resolver.index.Index` does. Without a `sieve`
    every affiliation with a name near is taken, half of all.
    """

    names: Names
    sieve: Sieve | None
    organisations: Callable[[Collection[str]], Mapping[str, Document]] = field(repr=False)

    def affected(self, answers: Sequence[Answered]) -> list[bool]:
        """Whether each affiliation is to be resolved again."""
        near = self.names.near([answer.text for answer in answers])
        linked = [{link.ror_id for link in answer.links} for answer in answers]
        # Of what it is linked to, the links themselves tell whether it has changed.
        near = [
            [one for one in own if one.document.ror_id not in ids and one.fit >= least]
            for own, ids, least in zip(near, linked, map(_least_fit, answers), strict=True)
        ]
        asked = [
            place
            for place, (answer, own) in enumerate(zip(answers, near, strict=True))
            if own and not _could_change(answer, own, 0.0)
        ]
        known = self.organisations({ror_id for place in asked for ror_id in linked[place]})
        readings = [_reading(answers[place], near[place], known) for place in asked]
        named = dict.fromkeys(range(len(answers)), 0.0)
        if self.sieve is None:
            named |= dict.fromkeys(asked, 1.0)
        else:
            probabilities = self.sieve.probability(readings)
            for place, reading, own in zip(asked, readings, probabilities, strict=True):
                named[place] = max(
                    probability
                    for candidate, probability in zip(reading.candidates, own, strict=True)
                    if candidate.ror_id not in linked[place]
                )
        return [
            _could_change(answer, own, named[place])
            for place, (answer, own) in enumerate(zip(answers, near, strict=True))
        ]


def _sureness(link: Given) -> float:
    """How far a link is on the way from its policy's threshold to 1."""
    return (link.probability - link.threshold) / max(1.0 - link.threshold, 1e-6)


def _least_fit(answer: Answered) -> float:
    sure = not any(answer.reasons) and all(_sureness(link) >= SURE for link in answer.links)
    return LEAST_FIT_SURE if sure else LEAST_FIT


def _could_change(answer: Answered, near: Sequence[Near], named: float) -> bool:
    """Whether names that are near, one of them named with this probability, could change it."""
    if near and named >= UNLINKED and any(answer.reasons):
        return True
    if not answer.links:
        return False
    weakest = min(answer.links, key=_sureness)
    sureness = _sureness(weakest)
    if sureness < ALWAYS_WITHIN:
        return True
    if not near:
        return False
    enough = next((least for within, least in WITHIN if sureness < within), WITHIN[-1][1])
    return named >= enough or (
        # What comes before it in both of the first stage's lists may push it out.
        max(one.sparse for one in near) > (weakest.sparse or 0.0)
        and max(one.dense for one in near) > (weakest.dense or 0.0)
    )


def _reading(answer: Answered, near: Sequence[Near], known: Mapping[str, Document]) -> Reading:
    """The affiliation beside what it is linked to and what is near."""
    linked = {
        link.ror_id: Near(
            replace(known[link.ror_id], name=link.matched_name),
            link.sparse or 0.0,
            link.dense or 0.0,
        )
        for link in answer.links
        if link.ror_id in known
    }
    return Reading(Affiliation.stored(answer.text), _ordered([*linked.values(), *near]))


def _ordered(found: Sequence[Near]) -> list[Candidate]:
    """As the first stage would fuse them, were there no others."""
    sparse = _ranks([one.sparse for one in found])
    dense = _ranks([one.dense for one in found])
    fused = [
        1 / (RRF_CONSTANT + a) + 1 / (RRF_CONSTANT + b) for a, b in zip(sparse, dense, strict=True)
    ]
    candidates = [
        Candidate(
            one.document,
            Ranked(a, one.sparse) if one.sparse else None,
            Ranked(b, one.dense) if one.dense else None,
            value,
        )
        for one, a, b, value in zip(found, sparse, dense, fused, strict=True)
    ]
    return sorted(candidates, key=lambda candidate: -candidate.fused)


def _ranks(scores: Sequence[float]) -> list[int]:
    ranks = [0] * len(scores)
    for rank, place in enumerate(sorted(range(len(scores)), key=lambda i: -scores[i]), start=1):
        ranks[place] = rank
    return ranks
