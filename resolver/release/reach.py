"""Stored affiliations whose answer a release may change, found by searching the affiliations for
the changed names.

To search the candidates of an affiliation again is half of the work of resolving it again. But a
release changes few names (8,000 of 242,000 from 2.8 to 2.9). So here the changed names are the
index (`Names`), the affiliations are the queries, and the vectors are those of the first stage.

That a changed name would be a candidate says little: half of all affiliations have one among their
50 candidates, mostly at a late rank. So the nearest few names are compared with the organisations
that the affiliation is linked to: the sieve gives the probability that one of them is named, and
`resolver.release.prediction` that the answer changes.

`python -m benchmarks.selection` says how many of the answers that a release changes are selected,
and at what cost; `python -m benchmarks.release` measures an update from end to end. Affiliations
are read as a stream. The memory for vectors does not grow with them (8,000 names: 6 MB; 16,000
parts of texts: 10 MB). Processes share the work (`resolver.release.selection`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Protocol

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from resolver.encoder import DenseVectors, Encoder
from resolver.encoder.lexical import SparseVector, query_vector
from resolver.encoder.statistics import Statistics
from resolver.matching.candidate import RRF_CONSTANT, Candidate, Ranked
from resolver.matching.reading import Reading
from resolver.matching.sieve import Sieve
from resolver.registry.change import Change
from resolver.registry.document import Document, documents
from resolver.registry.organisation import Organisation, OrganisationStatus
from resolver.release.prediction import (
    FARTHEST,
    LEAST,
    LEAST_NAMED,
    Signs,
    change_probability,
    sparse_scale,
)
from resolver.text.affiliation import Affiliation
from resolver.text.segments import segments
from resolver.text.text import registry_text

NEAREST = 8
"""Greatest number of changed names compared with an affiliation: those of the greatest sparse
scores."""

LEAST_SPARSE = 1.0
LEAST_FIT = 2.4
"""A name is near an affiliation when its sparse score is at least the first, and the sparse score
plus twice the dense score at least the second. Nine affiliations in ten pass the first test alone:
it only spares the encoder the others."""

ENOUGH = 0.3
"""The sieve is asked only where this probability would be enough for a selection. It takes most of
the time: without this it would be asked about six texts in ten instead of one. Of the changed
answers that it was fitted on the prediction finds 1,583 of 1,606 with it, and 1,585 without."""

_CELLS = 2_000_000
"""Scores (float64) held at once: 16 MB."""

_KEPT_PARTS = 16_000


class StoredLink(Protocol):
    """A link as it is stored. `threshold` is the least probability of its policy; the scores of the
    first stage are None where the organisation was not among its results."""

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


class StoredNearest(Protocol):
    """The most probable candidate of an answer without a link, and the least probability of its
    policy."""

    @property
    def probability(self) -> float: ...
    @property
    def threshold(self) -> float: ...


class StoredAnswers(Protocol):
    """An affiliation with its answers, one for each policy: `links` are those of all answers,
    `nearest` what came nearest in those without a link."""

    @property
    def text(self) -> str: ...
    @property
    def links(self) -> Sequence[StoredLink]: ...
    @property
    def nearest(self) -> Sequence[StoredNearest]: ...


@dataclass(frozen=True, slots=True)
class NearName:
    """A name near an affiliation, with the scores that the first stage would give it; a score is 0
    where the first stage would not find it."""

    document: Document
    sparse: float
    dense: float

    @property
    def fit(self) -> float:
        return self.sparse + 2 * self.dense


def changed_names(
    changes: Iterable[Change], statuses: Collection[OrganisationStatus]
) -> dict[str, list[Document]]:
    """The names of the organisations whose change may change an answer, by ROR id.

    These are the present names, and those former ones that are gone or had another text. Left out
    are organisations of which only fields changed that no answer depends on (a website, a year), or
    only relations. A relation matters to an answer only where the related organisation is near, and
    that one is new, or changed likewise: most are bodies such as the CNRS to which a laboratory was
    added. With the links to these, 3.7 in 100 affiliations more would be selected, and two changed
    answers of 117 more found.
    """
    by_id = {}
    for before, after in changes:
        old, new = _names(before, statuses), _names(after, statuses)
        if _without_relations(old) == _without_relations(new):
            continue
        former = [
            document
            for name, document in old.items()
            if name not in new or new[name].dense_text != document.dense_text
        ]
        names = [*new.values(), *former]
        by_id[names[0].ror_id] = names
    return by_id


def _names(
    organisation: Organisation | None, statuses: Collection[OrganisationStatus]
) -> dict[str, Document]:
    if organisation is None or organisation.status not in statuses:
        return {}
    return {document.name: document for document in documents(organisation)}


def _without_relations(names: Mapping[str, Document]) -> dict[str, Document]:
    return {name: replace(document, relatives=()) for name, document in names.items()}


class Names:
    """Names of organisations, as an index in memory that affiliations are the queries of. For one
    thread."""

    def __init__(
        self,
        documents: Sequence[Document],
        sparse: Sequence[SparseVector],
        dense: DenseVectors,
        encoder: Encoder,
        *,
        among: int,
    ) -> None:
        """`sparse` and `dense` are the vectors of the names, in their order; `dense` has the shape
        (names, dimension). `among` is the number of names whose statistics the sparse ones have."""
        self.among = among
        self._documents = documents
        self._dense = dense
        self._encoder = encoder
        self._parts: LRUCache[str, npt.NDArray[np.float32]] = LRUCache(_KEPT_PARTS)
        terms = np.concatenate([np.empty(0, np.uint32), *(vector.indices for vector in sparse)])
        values = np.concatenate([np.empty(0, np.float32), *(vector.values for vector in sparse)])
        bearers = np.repeat(np.arange(len(documents)), [len(vector) for vector in sparse])
        order = np.argsort(terms, kind="stable")
        # The entries of term i are those from starts[i] to starts[i + 1].
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
        """The names of organisations, with the vectors that an index with these `statistics` has of
        them."""
        documents: list[Document] = []
        translated: list[dict[int, float]] = []
        for names in organisations:
            documents += names
            translated += [statistics.translation.terms(names), *({} for _ in names[1:])]
        return cls(
            documents,
            statistics.vectors(documents, translated),
            encoder.encode_documents([document.dense_text for document in documents]),
            encoder,
            among=statistics.documents,
        )

    def __len__(self) -> int:
        return len(self._documents)

    def near(self, texts: Sequence[str]) -> list[list[NearName]]:
        """For each normalised text the names that are near, at most `NEAREST`, in no order.

        The sparse score (words) selects names, then the dense score (meaning) is added: a name that
        is near by its meaning only, such as one in another script, is mostly not found. The dense
        score is the greatest of the whole text and all its segments; the first stage searches for
        some of these.
        """
        if not len(self):
            return [[] for _ in texts]
        size = max(1, _CELLS // len(self))
        return [
            near
            for start in range(0, len(texts), size)
            for near in self._near(texts[start : start + size])
        ]

    def _near(self, texts: Sequence[str]) -> list[list[NearName]]:
        scores = self._scores(texts)
        positions = [_best(row) for row in scores]
        parts = [
            list(dict.fromkeys((text, *segments(text)))) if len(names) else []
            for text, names in zip(texts, positions, strict=True)
        ]
        vectors = self._encoded(dict.fromkeys(part for own in parts for part in own))
        near_names: list[list[NearName]] = []
        for row, names, queries in zip(scores, positions, parts, strict=True):
            if not queries:
                near_names.append([])
                continue
            stacked = np.stack([vectors[query] for query in queries])
            sparse, dense = row[names], (stacked @ self._dense[names].T).max(axis=0)
            near = sparse + 2 * dense >= LEAST_FIT
            rows = zip(
                names[near].tolist(), sparse[near].tolist(), dense[near].tolist(), strict=True
            )
            near_names.append([NearName(self._documents[name], *both) for name, *both in rows])
        return near_names

    def _scores(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Sparse scores, shape (texts, names)."""
        queries = [query_vector(text).indices for text in texts]
        terms = np.concatenate(queries)
        text_of = np.repeat(np.arange(len(texts)), [len(query) for query in queries])
        position = np.minimum(np.searchsorted(self._terms, terms), len(self._terms) - 1)
        known = self._terms[position] == terms
        position, text_of = position[known], text_of[known]
        first = self._starts[position]
        count = self._starts[position + 1] - first
        # All entries of all terms of the texts, one after the other.
        entry = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
        cell = np.repeat(text_of * len(self), count) + self._bearers[entry]
        scores = np.bincount(cell, self._values[entry], minlength=len(texts) * len(self))
        return np.asarray(scores.reshape(len(texts), len(self)))

    def _encoded(self, parts: Collection[str]) -> Mapping[str, npt.NDArray[np.float32]]:
        vectors = {part: self._parts[part] for part in parts if part in self._parts}
        new = [part for part in parts if part not in vectors]
        if new:
            fresh = dict(zip(new, self._encoder.encode_queries(new), strict=True))
            vectors |= fresh
            self._parts.update(fresh)
        return vectors


def _best(row: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Positions of the greatest sparse scores, in no order."""
    positions = np.flatnonzero(row >= LEAST_SPARSE)
    if len(positions) > NEAREST:
        positions = positions[np.argpartition(-row[positions], NEAREST)[:NEAREST]]
    return positions


@dataclass(frozen=True, slots=True)
class Search:
    """Finds the affiliations whose answer one of the names may change.

    `organisations` gives documents by ROR id, as `resolver.index.Index` does. Without a `sieve`
    every name that is near counts as named.
    """

    names: Names
    sieve: Sieve | None
    organisations: Callable[[Collection[str]], Mapping[str, Document]] = field(repr=False)

    def may_change(self, affiliations: Sequence[StoredAnswers]) -> list[bool]:
        """For each affiliation whether its answers may change, so that it is to be resolved again:
        whether those of one of its statements may.

        Raises:
            IndexProblem: the documents cannot be read.
        """
        stated = list(map(by_statement, affiliations))
        changing = iter(self._may_change(list(chain.from_iterable(stated))).tolist())
        return [any(list(islice(changing, len(statements)))) for statements in stated]

    def _may_change(self, statements: Sequence[StoredAnswers]) -> npt.NDArray[np.bool_]:
        near = self._near(statements)
        having = np.array(list(map(bool, near)), np.bool_)

        def changing(named: float) -> npt.NDArray[np.bool_]:
            signs = self._signs(statements, near, np.where(having, named, 0.0))
            return change_probability(signs) >= LEAST

        selected = changing(LEAST_NAMED)
        open_ = np.flatnonzero(selected != changing(ENOUGH)).tolist()
        asked, names = [statements[i] for i in open_], [near[i] for i in open_]
        signs = self._signs(asked, names, self._named(asked, names))
        selected[open_] = change_probability(signs) >= LEAST
        return selected

    def signs(self, statements: Sequence[StoredAnswers]) -> Signs:
        """What is known of the answers to affiliations that are one statement each."""
        near = self._near(statements)
        return self._signs(statements, near, self._named(statements, near))

    def _signs(
        self,
        statements: Sequence[StoredAnswers],
        near: Sequence[Sequence[NearName]],
        named: npt.NDArray[np.float64],
    ) -> Signs:
        scale = sparse_scale(self.names.among)
        weakest = [min(answers.links, key=_distance, default=None) for answers in statements]
        best = [max(names, key=lambda name: name.sparse, default=None) for names in near]

        def numbers(values: Iterable[float | None]) -> npt.NDArray[np.float64]:
            return np.array([value or 0.0 for value in values], np.float64)

        return Signs(
            links=numbers(len(answers.links) for answers in statements),
            distance=numbers(
                min(map(_distance, (*answers.links, *answers.nearest)), default=FARTHEST)
                for answers in statements
            ),
            sparse_linked=scale * numbers(link.sparse if link else 0.0 for link in weakest),
            dense_linked=numbers(link.dense if link else 0.0 for link in weakest),
            sparse=scale * numbers(name.sparse if name else 0.0 for name in best),
            dense=numbers(name.dense if name else 0.0 for name in best),
            fit=numbers(
                max((name.fit + (scale - 1.0) * name.sparse for name in names), default=0.0)
                for names in near
            ),
            named=named,
        )

    def _near(self, statements: Sequence[StoredAnswers]) -> list[list[NearName]]:
        """The names near each, but for those of the organisations that it is linked to: whether
        these changed is known from the links."""
        linked = [{link.ror_id for link in answers.links} for answers in statements]
        return [
            [name for name in names if name.document.ror_id not in ids]
            for names, ids in zip(
                self.names.near([answers.text for answers in statements]), linked, strict=True
            )
        ]

    def _named(
        self, statements: Sequence[StoredAnswers], near: Sequence[Sequence[NearName]]
    ) -> npt.NDArray[np.float64]:
        """The highest probability that each text names one of the names near it."""
        named = np.zeros(len(statements))
        having = [i for i, names in enumerate(near) if names]
        if self.sieve is None:
            named[having] = 1.0
            return named
        linked = [{link.ror_id for link in statements[i].links} for i in having]
        documents = self.organisations(frozenset().union(*linked))
        readings = [_reading(statements[i], near[i], documents) for i in having]
        for i, ids, reading, probabilities in zip(
            having, linked, readings, self.sieve.probability(readings), strict=True
        ):
            others = [candidate.ror_id not in ids for candidate in reading.candidates]
            named[i] = probabilities[others].max()
        return named


@dataclass(frozen=True, slots=True)
class _StatementAnswers:
    """The answers to one statement of an affiliation."""

    text: str
    links: Sequence[StoredLink]
    nearest: Sequence[StoredNearest]


def by_statement(answers: StoredAnswers) -> Sequence[StoredAnswers]:
    """The answers to each statement of an affiliation, since each is searched by itself.

    A link belongs to the statement that has most words of its name.
    """
    statements = [text for _, text in Affiliation.stored(answers.text).statements]
    if len(statements) == 1:
        return [answers]
    links: list[list[StoredLink]] = [[] for _ in statements]
    for link in answers.links:
        name = registry_text(link.matched_name)
        words = [len(statement.matched(name)) for statement in statements]
        links[words.index(max(words))].append(link)
    return [
        _StatementAnswers(text.text, own, answers.nearest)
        for text, own in zip(statements, links, strict=True)
    ]


def _distance(stored: StoredLink | StoredNearest) -> float:
    """How far a probability is from the threshold of its policy, in log odds, at most
    `FARTHEST`."""
    return min(abs(_log_odds(stored.probability) - _log_odds(stored.threshold)), FARTHEST)


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(inside / (1 - inside))


def _reading(
    answers: StoredAnswers, near: Sequence[NearName], documents: Mapping[str, Document]
) -> Reading:
    """The affiliation with the organisations that it is linked to and the names near it as its
    candidates."""
    linked = {
        link.ror_id: NearName(
            replace(documents[link.ror_id], name=link.matched_name),
            link.sparse or 0.0,
            link.dense or 0.0,
        )
        for link in answers.links
        if link.ror_id in documents
    }
    return Reading(Affiliation.stored(answers.text), _ordered([*linked.values(), *near]))


def _ordered(names: Sequence[NearName]) -> list[Candidate]:
    """Candidates in the order in which the first stage would give them, were there no others."""
    sparse = _ranks([name.sparse for name in names])
    dense = _ranks([name.dense for name in names])
    candidates = [
        Candidate(
            name.document,
            Ranked(sparse_rank, name.sparse) if name.sparse else None,
            Ranked(dense_rank, name.dense) if name.dense else None,
            1 / (RRF_CONSTANT + sparse_rank) + 1 / (RRF_CONSTANT + dense_rank),
        )
        for name, sparse_rank, dense_rank in zip(names, sparse, dense, strict=True)
    ]
    return sorted(candidates, key=lambda candidate: -candidate.fused)


def _ranks(scores: Sequence[float]) -> list[int]:
    """The rank of each score, from 1; equal scores in their order."""
    ranks = [0] * len(scores)
    for rank, i in enumerate(sorted(range(len(scores)), key=lambda i: -scores[i]), start=1):
        ranks[i] = rank
    return ranks
