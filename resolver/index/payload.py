"""Points and their ids, the names of an open version, and the checks of queries: the same in both
adapters."""

from __future__ import annotations

import hashlib
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, Protocol
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from resolver.encoder.lexical import SparseVector
from resolver.errors import IndexProblem
from resolver.index import Point, Query
from resolver.index.results import Results
from resolver.registry.document import Document

DENSE = "dense"
SPARSE = "sparse"

KEPT_DOCUMENTS = 40_000
"""Some 36 MB: the candidates of the last thousand affiliations, and the organisations that many
affiliations name. Of 46 documents for an affiliation 17 are read from the server; 26 with half as
many kept."""

_ROR_ID = "ror_id"
_DOCUMENT = "document"
_NUMBER = re.compile(r"[0-9a-z]{9}")
"""What a ROR id is made of."""
_MISSING: dict[str, Any] = {}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Document).decode


def point_id(document: Document) -> UUID:
    """A hash of organisation and name, so that the same name is the same point.

    That of the display name is a hash of the organisation alone (`organisation_point_id`).
    """
    if document.name == document.display_name:
        return organisation_point_id(document.ror_id)
    return name_point_id(document.ror_id, document.name)


def name_point_id(ror_id: str, name: str) -> UUID:
    """The point of a name other than the display name."""
    return _uuid(f"{ror_id}\0{name}")


def organisation_point_id(ror_id: str) -> UUID:
    """The point of an organisation's display name, which every organisation has."""
    return _uuid(ror_id)


def _uuid(key: str) -> UUID:
    return UUID(
        bytes=hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    )


def organisation_number(ror_id: str) -> int:
    """The ROR id as a number in the order of ROR ids: its letters and digits are base 36."""
    return int(ror_id, 36)


def payload(document: Document) -> dict[str, str]:
    """The ROR id, and the document as JSON, in one string: the server takes and gives one string in
    a fraction of the time that twenty values take."""
    return {_ROR_ID: document.ror_id, _DOCUMENT: _encode(document).decode()}


def document(value: Mapping[str, Any] | None) -> Document:
    """The document that `payload` was made of.

    Raises:
        IndexProblem: the payload is not one of this project.
    """
    _ror_id(value)
    try:
        return _decode((value or _MISSING).get(_DOCUMENT, ""))
    except (msgspec.MsgspecError, TypeError) as error:
        raise _foreign(_DOCUMENT) from error


def _ror_id(value: Mapping[str, Any] | None) -> str:
    ror_id = (value or _MISSING).get(_ROR_ID)
    if not isinstance(ror_id, str) or not _NUMBER.fullmatch(ror_id):
        raise _foreign(_ROR_ID)
    return ror_id


def _foreign(key: str) -> IndexProblem:
    return IndexProblem(
        f"a point of the index has no {key}",
        remedy="something else wrote to it; build it again: resolver index build",
    )


Answer = tuple[Sequence[int], Sequence[float]]
"""Point ids (UUIDs as integers) and scores, in one order."""

Found = tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.float32]]
"""The numbers of names and their scores, in one order; each of shape (names,)."""


class Fetch(Protocol):
    """Reads points by id; those that are not in the index are left out."""

    def __call__(
        self, ids: Sequence[UUID], keys: list[str] | None
    ) -> Iterable[tuple[UUID, Mapping[str, Any] | None]]:
        """Each with its payload: these keys of it, or all (None)."""
        ...


class Names(ABC):
    """The names of an open version, by number. `bearers` (names,) int64 has the numbers of their
    organisations. A version never changes, and threads may share an instance."""

    bearers: npt.NDArray[np.int64]

    @abstractmethod
    def numbers(self, points: Sequence[int]) -> npt.NDArray[np.int32]:
        """The numbers of points that a search found.

        Raises:
            IndexProblem: a point is not in the index any more.
        """

    @abstractmethod
    def documents(self, names: Collection[int]) -> dict[int, Document]:
        """The documents of names that a search has returned, by their numbers.

        Raises:
            IndexProblem: a name is not in the index any more.
        """

    @abstractmethod
    def organisations(self, ror_ids: Collection[str]) -> dict[str, Document]:
        """Each organisation by the document of its display name; unknown ones are left out."""

    def found(self, answers: Sequence[Answer]) -> list[Found]:
        """What the engine found, with numbers of names in place of points.

        Raises:
            IndexProblem: a point is not in the index any more.
        """
        names = self.numbers(list(chain.from_iterable(points for points, _ in answers)))
        ends = accumulate(len(points) for points, _ in answers)
        return [
            (names[end - len(points) : end], np.array(scores, np.float32))
            for end, (points, scores) in zip(ends, answers, strict=True)
        ]

    def results(self, found: Sequence[Found]) -> list[Results]:
        """The results of searches, from what was found.

        Best first; equal scores are ordered by organisation and name, whatever the engine did.
        """
        lengths = [len(names) for names, _ in found]
        names = np.concatenate([names for names, _ in found]).astype(np.int32)
        scores = np.concatenate([scores for _, scores in found])
        answer = np.repeat(np.arange(len(found)), lengths)
        organisations = self.bearers[names]
        best = np.lexsort((organisations, -scores, answer))
        names, organisations, scores = names[best], organisations[best], scores[best]
        self._sort_ties(names, organisations, scores, answer)
        ends = np.cumsum(lengths).tolist()
        return [
            Results(names[end - n : end], organisations[end - n : end], scores[end - n : end])
            for end, n in zip(ends, lengths, strict=True)
        ]

    def _sort_ties(
        self,
        names: npt.NDArray[np.int32],
        organisations: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
        answer: npt.NDArray[np.int64],
    ) -> None:
        """Sort names of the same organisation with the same score by their spelling, in place.

        Few organisations have two such names, and only their documents are read.
        """
        same = np.flatnonzero(
            (scores[1:] == scores[:-1])
            & (organisations[1:] == organisations[:-1])
            & (answer[1:] == answer[:-1])
        )
        if not len(same):
            return
        ties = np.union1d(same, same + 1)
        # A group begins where the name before has another score or organisation.
        group = np.cumsum(~np.isin(ties - 1, same))
        documents = self.documents(set(names[ties].tolist()))
        spelt = [documents[name].name for name in names[ties].tolist()]
        order = sorted(range(len(ties)), key=lambda i: (group[i], spelt[i]))
        names[ties] = names[ties][order]


class Points(Names):
    """Names that are read from the server, numbered as searches return them.

    The searches for an affiliation return 340 points, most of them returned before. Only their
    organisations are needed at first, and these are kept for good. Documents are needed for the 50
    best, and those used last are kept.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._documents: LRUCache[int, Document] = LRUCache(KEPT_DOCUMENTS)
        self._keeping = threading.Lock()
        # 120 bytes a name: 30 MB for release 2.9.
        self._numbers: dict[int, int] = {}
        self._points: list[int] = []
        self.bearers = np.empty(0, np.int64)
        self._numbering = threading.Lock()

    def documents(self, names: Collection[int]) -> dict[int, Document]:
        points = {self._points[name]: name for name in names}
        documents = self._documents_of(points)
        _require_all(points, documents)
        return {name: documents[point] for point, name in points.items()}

    def organisations(self, ror_ids: Collection[str]) -> dict[str, Document]:
        documents = self._documents_of({organisation_point_id(ror_id).int for ror_id in ror_ids})
        return {document.ror_id: document for document in documents.values()}

    def numbers(self, points: Sequence[int]) -> npt.NDArray[np.int32]:
        # Each point is looked up once, for the table does not fit into the processor's cache.
        numbers = list(map(self._numbers.get, points))
        if None in numbers:
            self._number({p for p, number in zip(points, numbers, strict=True) if number is None})
            numbers = list(map(self._numbers.get, points))
        return np.array(numbers, np.int32)

    def _number(self, points: Collection[int]) -> None:
        fetched = {
            point.int: organisation_number(_ror_id(value))
            for point, value in self._fetch([UUID(int=point) for point in points], [_ROR_ID])
        }
        _require_all(points, fetched)
        with self._numbering:
            # Another thread may have numbered some of them meanwhile.
            new = [point for point in fetched if point not in self._numbers]
            first = len(self._points)
            self._points += new
            self.bearers = np.append(
                self.bearers, np.array([fetched[point] for point in new], np.int64)
            )
            self._numbers.update((point, first + i) for i, point in enumerate(new))

    def _documents_of(self, points: Collection[int]) -> dict[int, Document]:
        with self._keeping:
            known = {point: self._documents[point] for point in points if point in self._documents}
        missing = [UUID(int=point) for point in points if point not in known]
        if not missing:
            return known
        fetched = {point.int: document(value) for point, value in self._fetch(missing, None)}
        with self._keeping:
            self._documents.update(fetched)
        return known | fetched


def _require_all(points: Collection[int], fetched: Collection[int]) -> None:
    if len(fetched) < len(points):
        raise IndexProblem(
            f"{len(points) - len(fetched)} points went away between a search and its reading",
            remedy="something else writes to the index; build it again: resolver index build",
        )


def check_queries(queries: Sequence[Query], *, dimension: int, limit: int) -> None:
    """Refuse queries that the engines would answer with an obscure error, or not at all.

    Raises:
        IndexProblem: a dense query is of another dimension or not finite.
        ValueError: `limit` is less than 1.
    """
    if limit < 1:
        raise ValueError(f"limit must be 1 or more, not {limit}")
    for i, query in enumerate(queries):
        if not isinstance(query, SparseVector):
            _check_dense(query, dimension, f"query {i}")


def check_points(points: Sequence[Point], *, dimension: int) -> None:
    """Refuse points that the engines would refuse with an obscure error, or take by mistake.

    Raises:
        IndexProblem: names the document.
    """
    if _are_sound(points, dimension):
        return
    for point in points:
        name = f"{point.document.ror_id} {point.document.name!r}"
        if not _NUMBER.fullmatch(point.document.ror_id):
            raise IndexProblem(f"{name}: not a ROR id: nine lower-case letters and digits")
        _check_dense(point.dense, dimension, name)
        if not np.isfinite(point.sparse.values).all():
            raise IndexProblem(f"{name}: sparse vector: not finite")


def _are_sound(points: Sequence[Point], dimension: int) -> bool:
    """Whether no point is to be refused: all at once, in a tenth of the time."""
    return not points or (
        all(_NUMBER.fullmatch(point.document.ror_id) for point in points)
        and all(point.dense.shape == (dimension,) for point in points)
        and bool(np.isfinite(np.concatenate([point.dense for point in points])).all())
        and bool(np.isfinite(np.concatenate([point.sparse.values for point in points])).all())
    )


def _check_dense(vector: np.ndarray[Any, Any], dimension: int, what: str) -> None:
    if vector.shape != (dimension,):
        raise IndexProblem(
            f"{what}: dense vector of shape {vector.shape}, the index has ({dimension},)",
            remedy="use the encoder that the index was built with, or: resolver index build",
        )
    if not np.isfinite(vector).all():
        raise IndexProblem(f"{what}: dense vector: not finite")
