"""What a point carries beside its vectors, and how queries are checked: same in both adapters."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from resolver.domain.document import Document
from resolver.domain.organisation import OrganisationStatus
from resolver.encoder.lexical import SparseVector
from resolver.errors import IndexProblem
from resolver.index import Hit, Point, Query

DENSE = "dense"
SPARSE = "sparse"

OVERSAMPLING = 4.0
"""Dense search reads every vector as int8 and scores the best `OVERSAMPLING` × limit again in
float32. With 242k names of 128 or 256 dimensions it found all of the exact top 50 in 2 to 4 ms (2
already sufficed), and is ready seconds after the upload. A graph (HNSW, m 16, ef_construct 128 and
256, ef 256) took minutes to build, found 76 to 95 % of them depending on the vectors, and saved
1 to 2 ms."""

KEPT_DOCUMENTS = 50_000
"""A fifth of release 2.9, some 50 MB in a process."""

_MISSING: dict[str, Any] = {}
_LISTS = ("types", "parents", "successors", "relatives", "identifiers")


def point_id(document: Document) -> UUID:
    """Made of the organisation and the name, so that the same name is the same point.

    The display name's is made of the organisation alone (`organisation_point_id`).
    """
    if document.name == document.display_name:
        return organisation_point_id(document.ror_id)
    return _uuid(f"{document.ror_id}\0{document.name}")


def organisation_point_id(ror_id: str) -> UUID:
    """The point of an organisation's display name, which every organisation has."""
    return _uuid(ror_id)


def _uuid(key: str) -> UUID:
    return UUID(
        bytes=hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    )


def payload(document: Document) -> dict[str, Any]:
    """The document as JSON; what is None, empty or the usual case is left out."""
    value: dict[str, Any] = {"ror_id": document.ror_id, "name": document.name}
    if document.display_name != document.name:
        value["display_name"] = document.display_name
    if document.is_acronym:
        value["is_acronym"] = True
    for key in ("city", "region", "country_code", "country"):
        part = getattr(document, key)
        if part is not None:
            value[key] = part
    for key in _LISTS:
        several = getattr(document, key)
        if several:
            value[key] = list(several)
    if document.namesakes != 1:
        value["namesakes"] = document.namesakes
    if document.status is not OrganisationStatus.ACTIVE:
        value["status"] = document.status.value
    return value


def document(value: Mapping[str, Any] | None) -> Document:
    """The document that `payload` was made of.

    Raises:
        IndexProblem: the payload is not one of this project.
    """
    get = (value or _MISSING).get
    ror_id, name = get("ror_id"), get("name")
    if not isinstance(ror_id, str) or not isinstance(name, str):
        raise IndexProblem(
            "a point of the index has no ror_id or no name",
            remedy="something else wrote to it; build it again: resolver index build",
        )
    return Document(
        ror_id=ror_id,
        name=name,
        display_name=get("display_name", name),
        is_acronym=get("is_acronym", False),
        city=get("city"),
        region=get("region"),
        country_code=get("country_code"),
        country=get("country"),
        status=OrganisationStatus(get("status", OrganisationStatus.ACTIVE)),
        namesakes=get("namesakes", 1),
        **{key: tuple(get(key, ())) for key in _LISTS},
    )


class Documents:
    """Documents by point id, the last used kept: most answers bring the same few thousand.

    A version never changes, so what is kept stays true. Threads may share one.
    """

    def __init__(self, fetch: Callable[[Sequence[UUID]], Iterable[tuple[UUID, Document]]]) -> None:
        self._fetch = fetch
        self._kept: OrderedDict[UUID, Document] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, ids: Collection[UUID]) -> dict[UUID, Document]:
        """The documents of these points; those that are not in the index are left out."""
        with self._lock:
            found = {}
            for point in ids:
                kept = self._kept.get(point)
                if kept is not None:
                    self._kept.move_to_end(point)
                    found[point] = kept
        missing = [point for point in ids if point not in found]
        if missing:
            fetched = dict(self._fetch(missing))
            found |= fetched
            with self._lock:
                self._kept |= fetched
                while len(self._kept) > KEPT_DOCUMENTS:
                    self._kept.popitem(last=False)
        return found

    def whole(self, ids: Collection[UUID]) -> dict[UUID, Document]:
        """The same, of points that a search has just met.

        Raises:
            IndexProblem: one is not there any more.
        """
        found = self.get(ids)
        if len(found) < len(ids):
            raise IndexProblem(
                f"{len(ids) - len(found)} points went away between a search and its reading",
                remedy="something else writes to the index; build it again: resolver index build",
            )
        return found


def ranked(hits: list[Hit]) -> list[Hit]:
    """Best first; equal scores in order of organisation and name, whatever the engine did."""
    hits.sort(key=lambda hit: (-hit.score, hit.document.ror_id, hit.document.name))
    return hits


def check_queries(queries: Sequence[Query], *, dimension: int, limit: int) -> None:
    """Refuse what the engines would answer with an obscure error, or not at all.

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
    """The same for points.

    Raises:
        IndexProblem: names the document.
    """
    for point in points:
        name = f"{point.document.ror_id} {point.document.name!r}"
        _check_dense(point.dense, dimension, name)
        if not np.isfinite(point.sparse.values).all():
            raise IndexProblem(f"{name}: sparse vector: not finite")


def _check_dense(vector: np.ndarray[Any, Any], dimension: int, what: str) -> None:
    if vector.shape != (dimension,):
        raise IndexProblem(
            f"{what}: dense vector of shape {vector.shape}, the index has ({dimension},)",
            remedy="use the encoder that the index was built with, or: resolver index build",
        )
    if not np.isfinite(vector).all():
        raise IndexProblem(f"{what}: dense vector: not finite")
