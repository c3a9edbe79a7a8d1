"""Stored affiliations whose answer a release may change, found by searching the affiliations for
the changed names.

To search the candidates of an affiliation again is half of the work of resolving it again. But a
release changes few names (8,000 of 242,000 from 2.8 to 2.9). So here the changed names are the
index (`Names`), the affiliations are the queries, and the vectors are those of the first stage.

That a changed name would be a candidate says little: half of all affiliations have one among their
50 candidates, mostly at a late rank. So the nearest few names are compared with the organisations
that the affiliation is linked to, and the sieve gives the probability that one of them is named.
The probability from which an affiliation is selected depends on how sure its answer was (`WITHIN`):
a link just above the threshold of its policy is lost by any change near it.

Of 30,000 affiliations (labelled ones and noisy variants) 117 have another answer by release 2.9
than by 2.8, and 108 of these have other links. This selects 7.2 in 100, 9.5 together with what the
database marks, and finds 100 of the 117. Of 69 answers that gained or lost an organisation whose
record changed, 66 are found. Of 39 answers in which other organisations changed, because ranks,
rivals or namesakes did, 30 are found: to find nearly all of these takes every fifth affiliation.

It takes 0.45 ms of one core for an affiliation, a fiftieth of resolving it, and 1.3 s to start.
Affiliations are read as a stream. The memory for vectors does not grow with them (8,000 names: 6
MB; 16,000 parts of texts: 10 MB). 100 million affiliations take 13 hours of one core, against 29
days of resolving them; processes share them (`resolver.release.selection`).
`python -m benchmarks.release` measures an update from end to end.
"""

from __future__ import annotations

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

SURE = 0.8
LEAST_FIT_SURE = 3.0
"""An answer is sure when the margin of its weakest link is at least `SURE`: (probability -
threshold) / (1 - threshold). Then this sum is asked for instead of `LEAST_FIT`. Three affiliations
in four are such, and comparing names with them is most of the time spent."""

ALWAYS_WITHIN = 0.1
"""Answers whose weakest link has a margin below this are selected, whatever is near: of those from
release 2.8 one in twenty changed with 2.9, a quarter of them with no changed name near."""

WITHIN = ((0.4, 0.02), (SURE, 0.05), (1.0, 0.5))
"""(Margin of the weakest link below which this row holds, probability that a changed name is named
from which the affiliation is selected.) Chosen on the 75 links that changed among 20,000
affiliations from release 2.8 to 2.9, of which 71 are found. Of the 33 among 10,000 others 25 are
found."""

UNLINKED = 0.4
"""The probability from which an affiliation without a link is selected."""

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


class StoredAnswers(Protocol):
    """An affiliation with its answers, one for each policy. `reasons` has the reason why an answer
    has no link, or None; `links` are those of all answers."""

    @property
    def text(self) -> str: ...
    @property
    def reasons(self) -> Sequence[str | None]: ...
    @property
    def links(self) -> Sequence[StoredLink]: ...


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
    ) -> None:
        """`sparse` and `dense` are the vectors of the names, in their order; `dense` has the shape
        (names, dimension)."""
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
    every affiliation with a name near is selected: half of all.
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
        stated = list(map(_by_statement, affiliations))
        changing = iter(self._may_change(list(chain.from_iterable(stated))))
        return [any(list(islice(changing, len(statements)))) for statements in stated]

    def _may_change(self, affiliations: Sequence[StoredAnswers]) -> list[bool]:
        """The same of affiliations that are one statement."""
        linked = [{link.ror_id for link in answers.links} for answers in affiliations]
        # A change of a linked organisation itself is known from its links.
        near = [
            [name for name in names if name.document.ror_id not in ids and name.fit >= least]
            for names, ids, least in zip(
                self.names.near([answers.text for answers in affiliations]),
                linked,
                map(_least_fit, affiliations),
                strict=True,
            )
        ]
        # Those that the probability decides about; it is 0 for the others.
        open_ = [
            i
            for i, (answers, names) in enumerate(zip(affiliations, near, strict=True))
            if names and not _may_change(answers, names, 0.0)
        ]
        documents = self.organisations({ror_id for i in open_ for ror_id in linked[i]})
        readings = [_reading(affiliations[i], near[i], documents) for i in open_]
        named = dict.fromkeys(range(len(affiliations)), 0.0)
        if self.sieve is None:
            named |= dict.fromkeys(open_, 1.0)
        else:
            for i, reading, probabilities in zip(
                open_, readings, self.sieve.probability(readings), strict=True
            ):
                named[i] = max(
                    probability
                    for candidate, probability in zip(
                        reading.candidates, probabilities, strict=True
                    )
                    if candidate.ror_id not in linked[i]
                )
        return [
            _may_change(answers, names, named[i])
            for i, (answers, names) in enumerate(zip(affiliations, near, strict=True))
        ]


@dataclass(frozen=True, slots=True)
class _StatementAnswers:
    """The answers to one statement of an affiliation."""

    text: str
    reasons: Sequence[str | None]
    links: Sequence[StoredLink]


def _by_statement(answers: StoredAnswers) -> Sequence[StoredAnswers]:
    """The answers to each statement of an affiliation, since each is searched by itself.

    A link belongs to the statement that has most words of its name. One without a link may gain
    one, like an affiliation without any.
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
        _StatementAnswers(text.text, answers.reasons if own else (_NO_LINK,), own)
        for text, own in zip(statements, links, strict=True)
    ]


_NO_LINK = "no link"
"""What stands for the reason of a statement without a link."""


def _margin(link: StoredLink) -> float:
    """0 for a link at the threshold of its policy, 1 for a certain one."""
    return (link.probability - link.threshold) / max(1.0 - link.threshold, 1e-6)


def _least_fit(answers: StoredAnswers) -> float:
    sure = not any(answers.reasons) and all(_margin(link) >= SURE for link in answers.links)
    return LEAST_FIT_SURE if sure else LEAST_FIT


def _may_change(answers: StoredAnswers, near: Sequence[NearName], named: float) -> bool:
    """Whether the names that are near may change the answers; `named` is the probability that the
    affiliation names one of them."""
    if near and named >= UNLINKED and any(answers.reasons):
        return True
    if not answers.links:
        return False
    weakest = min(answers.links, key=_margin)
    margin = _margin(weakest)
    if margin < ALWAYS_WITHIN:
        return True
    if not near:
        return False
    enough = next((least for within, least in WITHIN if margin < within), WITHIN[-1][1])
    return named >= enough or (
        # Names that are before it in both lists of the first stage may push it out of them.
        max(name.sparse for name in near) > (weakest.sparse or 0.0)
        and max(name.dense for name in near) > (weakest.dense or 0.0)
    )


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
