"""The organisation index in Qdrant: versions side by side, one of them active.

Two adapters keep one contract: `embedded` (Qdrant's engine in process) and `server`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self
from uuid import UUID

import numpy as np
import numpy.typing as npt

from resolver.encoder.lexical import SparseVector
from resolver.index.results import Results
from resolver.registry.document import Document

if TYPE_CHECKING:
    from resolver.encoder.statistics import Statistics

DenseVector = npt.NDArray[np.float32]
"""Shape (dimension,), float32, unit length."""

Query = SparseVector | DenseVector
"""A sparse query meets the sparse vectors, a dense one the dense vectors."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index version was made of.

    `version` names it (letters, digits, '.', '-' and '_'); `organisations` and
    `points` are its counts once it is complete, `built_at` ISO 8601 in UTC. `statistics` is
    their fingerprint (`resolver.encoder.statistics`), "" where none are kept; `derived_from` the
    version that this one began with, "" for one that was built in full.
    """

    version: str
    release: str
    release_sha256: str
    encoder: str
    encoder_fingerprint: str
    dimension: int
    form: int
    organisations: int
    points: int
    built_at: str
    statistics: str = ""
    derived_from: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One name: its document and both its vectors."""

    document: Document
    dense: DenseVector
    sparse: SparseVector


class Index(Protocol):
    """A version, open for reading."""

    @property
    def manifest(self) -> Manifest: ...

    def search(self, queries: Sequence[Query], *, limit: int) -> list[Results]:
        """For each query its `limit` nearest points, best first. One round trip for all, and one
        for the names that were not met before.

        Scores are dot products. Equal ones come in order of the organisation. An empty sparse
        query has no results.

        Raises:
            IndexUnavailable: the server failed; nothing is returned for any query.
        """
        ...

    def documents(self, names: Collection[int]) -> dict[int, Document]:
        """The documents of names that a search has met, by their numbers, which are this open
        index's own. Of 600 that a string meets, some 50 are wanted.

        Raises:
            IndexProblem: one is not there any more.
            IndexUnavailable: the server failed.
        """
        ...

    def organisations(self, ror_ids: Collection[str]) -> dict[str, Document]:
        """Each organisation by the document of its display name; unknown ones are left out.

        Raises:
            IndexUnavailable: the server failed.
        """
        ...

    def count(self) -> int:
        """Points in this version."""
        ...

    def close(self) -> None: ...


class IndexWriter(Protocol):
    """A new version while it is being filled; invisible to readers until it is activated.

    As a context manager it drops the unfinished version when the block raises.
    """

    def add(self, points: Sequence[Point]) -> None:
        """Upsert points; adding the same name of the same organisation again replaces it."""
        ...

    def held(self, points: Collection[UUID]) -> dict[UUID, Document]:
        """The documents of these points, as far as they are in the version by now."""
        ...

    def rewrite(self, documents: Sequence[Document]) -> None:
        """Other documents for names that are there; their vectors stay."""
        ...

    def remove(self, documents: Sequence[Document]) -> None:
        """Delete the points of names; those that are not there are no mistake."""
        ...

    def finish(self) -> None:
        """Optimise, count and compare with the manifest; raises `IndexProblem` on a difference."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class IndexStore(Protocol):
    """All versions, wherever they are kept.

    It owns the connections of what it opens and creates: whoever made the store closes it, by
    `with` or `close`, when nothing of it is used any more.
    """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def versions(self) -> list[Manifest]:
        """Complete versions, oldest first."""
        ...

    def active(self) -> Manifest | None:
        """The version that `open` would open."""
        ...

    def create(
        self,
        manifest: Manifest,
        statistics: Statistics | None = None,
        *,
        base: str | None = None,
    ) -> IndexWriter:
        """Begin a version; leftovers of an unfinished one of the same name are dropped.

        It is empty, and `statistics` are kept beside it; or it begins with all points of the
        version `base`, and has that one's. A version without any can be searched; `derive` refuses
        it.

        Raises:
            IndexProblem: the version exists already, or `base` does not.
            ValueError: the statistics are not those of the manifest.
        """
        ...

    def statistics(self, version: str) -> Statistics:
        """What the sparse vectors of a complete version were made with.

        Raises:
            IndexProblem: there is no such version, or it keeps none, or damaged ones.
        """
        ...

    def activate(self, version: str) -> None:
        """Let readers see this version from now on, atomically."""
        ...

    def open(self, version: str | None = None) -> Index:
        """Open a version, or the active one.

        Raises:
            IndexMissing: no version is active, or the one that is named is not complete.
            IndexBusy: the embedded index is open in another process.
            IndexUnavailable: the server does not answer.
        """
        ...

    def drop(self, version: str) -> None:
        """Delete a version.

        Raises:
            IndexProblem: it is the active one.
            IndexBusy: the embedded one is open in some process.
        """
        ...
