"""A version that is open for reading: what both adapters of the index share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

from resolver.encoder.lexical import SparseVector
from resolver.errors import IndexProblem
from resolver.index import Manifest, Query
from resolver.index.payload import Found, Names, check_queries
from resolver.index.results import NOTHING, Results
from resolver.registry.document import Document


class OpenIndex(ABC):
    """An `Index` but for what the engine does (`_found`, `_count`), given the `names` of the
    version."""

    def __init__(self, manifest: Manifest, names: Names) -> None:
        self.manifest = manifest
        self._names = names
        self._closed = False

    def search(self, queries: Sequence[Query], *, limit: int) -> list[Results]:
        self._check_usable()
        check_queries(queries, dimension=self.manifest.dimension, limit=limit)
        asked = [query for query in queries if not _is_empty(query)]
        results = iter(self._names.results(self._found(asked, limit)) if asked else ())
        return [NOTHING if _is_empty(query) else next(results) for query in queries]

    def documents(self, names: Collection[int]) -> dict[int, Document]:
        self._check_usable()
        return self._names.documents(names)

    def organisations(self, ror_ids: Collection[str]) -> dict[str, Document]:
        self._check_usable()
        return self._names.organisations(ror_ids)

    def count(self) -> int:
        self._check_usable()
        return self._count()

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _found(self, queries: Sequence[Query], limit: int) -> list[Found]:
        """What each query finds, in order."""

    @abstractmethod
    def _count(self) -> int: ...

    def _check_usable(self) -> None:
        if self._closed:
            raise IndexProblem("the index is closed", remedy="open it again")


def _is_empty(query: Query) -> bool:
    return isinstance(query, SparseVector) and not len(query)
