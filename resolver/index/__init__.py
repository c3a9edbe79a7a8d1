"""The organisation index in Qdrant: versions side by side, one of them active.

Two adapters keep one contract, which stands here: `embedded` (Qdrant's engine in this process) and
`server`. `resolver.index.build` fills a new version while readers use the active one.
`IndexStore.activate` then switches in one step: the embedded store replaces the link `current`, the
server's store moves an alias. A reader that has a version open keeps it.
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
"""A sparse query searches the sparse vectors, a dense one the dense vectors."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index version was made of.

    `version` is its name (letters, digits, '.', '-' and '_'). `organisations` and `points` are its
    counts once it is complete. `built_at` is ISO 8601 in UTC. `statistics` is the fingerprint of
    the statistics (`resolver.encoder.statistics`), "" where none are kept. `derived_from` is the
    version that this one began as a copy of, "" for one that was built in full.
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
        """For each query its `limit` nearest points, best first. One request for all queries, and
        one for the names that no search has returned before.

        Scores are dot products; equal scores are ordered by organisation. An empty sparse query
        has no results.

        Raises:
            IndexUnavailable: the server failed; nothing is returned for any query.
        """
        ...

    def documents(self, names: Collection[int]) -> dict[int, Document]:
        """The documents of names that a search has returned, by their numbers (`Results.names`),
        which hold for this open index alone. A search returns some 600 names for an affiliation, of
        which 50 are read.

        Raises:
            IndexProblem: a name is not in the index any more.
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
        """Write points; adding the same name of the same organisation again replaces it."""
        ...

    def held(self, points: Collection[UUID]) -> dict[UUID, Document]:
        """The documents of those of these points that are in the version by now."""
        ...

    def rewrite(self, documents: Sequence[Document]) -> None:
        """Replace the documents of names that are in the version; their vectors stay."""
        ...

    def remove(self, documents: Sequence[Document]) -> None:
        """Delete the points of names; names that are not in the version are ignored."""
        ...

    def finish(self) -> None:
        """Optimise, count and compare with the manifest; raises `IndexProblem` on a difference."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class IndexStore(Protocol):
    """All versions, wherever they are kept.

    It owns the connections of the indexes that it opens and the writers that it creates: whoever
    made the store closes it, by `with` or `close`, when none of them is used any more.
    """

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
        """Begin a version; what is left of an unfinished one of the same name is dropped.

        Without `base` it begins empty, and `statistics` are kept beside it. With `base` it begins
        as a copy of that version, points and statistics. A version without statistics can be
        searched, but `resolver.index.build.derive` refuses it as a base.

        Raises:
            IndexProblem: the version exists already, or `base` does not.
            ValueError: the statistics are not those of the manifest.
        """
        ...

    def statistics(self, version: str) -> Statistics:
        """The statistics that the sparse vectors of a complete version were made with.

        Raises:
            IndexProblem: there is no such version, or its statistics are missing or damaged.
        """
        ...

    def activate(self, version: str) -> None:
        """Make a version the active one, in one step: whoever opens the active version finds the
        one before or this one. Indexes that are open stay as they are."""
        ...

    def open(self, version: str | None = None) -> Index:
        """Open a version, or the active one.

        Raises:
            IndexMissing: no version is active, or the version that is named is not complete.
            IndexBusy: the embedded index is open in another process.
            IndexUnavailable: the server does not answer.
        """
        ...

    def drop(self, version: str) -> None:
        """Delete a version.

        Raises:
            IndexProblem: it is the active version.
            IndexBusy: it is an embedded version that some process has open.
        """
        ...
