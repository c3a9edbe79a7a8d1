"""The index on a Qdrant server: a collection for each version, an alias on the active one.

The manifest is kept in the metadata of the collection and written last: a collection without it is
unfinished, and `versions` leaves it out. Collections are named "<alias>-<version>". Beside each is
a collection without vectors, "<alias>.statistics-<version>", for the statistics that its sparse
vectors were made with.

A server may have several nodes, and what was written to one of them shows on another a moment
later. So every write is followed by a wait until it can be read, and a version that is asked for by
name is waited for.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from resolver.encoder.lexical import SparseVector
from resolver.errors import IndexMissing, IndexProblem, IndexUnavailable
from resolver.index import IndexStore, IndexWriter, Manifest, Point, Query
from resolver.index.collection_copy import AT_ONCE, copy, recover
from resolver.index.manifest import (
    check_base,
    check_counts,
    check_statistics,
    check_version,
    check_whole,
    from_json,
    in_order,
    read_statistics,
    to_json,
)
from resolver.index.organisation_count import OrganisationCount
from resolver.index.payload import (
    DENSE,
    SPARSE,
    Answer,
    Found,
    Points,
    check_points,
    payload,
    point_id,
)
from resolver.index.payload import document as read_document
from resolver.index.qdrant import RETRY_DELAYS, SEEN_WITHIN, Server
from resolver.index.reading import OpenIndex
from resolver.registry.document import Document

if TYPE_CHECKING:
    import httpx
    from qdrant_client import QdrantClient, models

    from resolver.encoder.statistics import Statistics

log = logging.getLogger(__name__)

ALIAS = "organisations"
INDEXING_TIMEOUT = 3600.0
"""Seconds that `finish` waits for the server's optimiser."""
INDEXING_THRESHOLD = 10_000
"""Kilobytes of vectors from which the server's optimiser rewrites and quantises a segment."""

OVERSAMPLING = 4.0
"""Dense search reads every vector as int8 and scores the best `OVERSAMPLING` × limit again in
float32. With 242k names of 128 or 256 dimensions this finds all of the exact top 50 in 2 to 4 ms
(an oversampling of 2 does too), and the index is ready seconds after the upload. A graph (HNSW,
m 16, ef_construct 128 and 256, ef 256) takes minutes to build, finds 76 to 95 % of them depending
on the vectors, and saves 1 to 2 ms."""

COPIES = 1
"""Nodes of the server that keep a version, by default."""

_SHARDS = 1
"""By default a server makes a shard for each node, and cannot search while a node is away."""
_PART = 1 << 20
"""Characters of the statistics in one point."""
_MOST_PARTS = 1000


class ServerStore(IndexStore):
    """Index versions on a Qdrant server, or in a client's `:memory:`.

    It owns the client: indexes that it opened can be used until the store is closed.

    `copies` is how many nodes of the server keep a version that is made here. `retry_delays` are
    the seconds before each repetition of a write that failed. `indexing_timeout` and
    `poll_interval` (seconds) are for the wait for the server's optimiser. `seen_within` is how many
    seconds a write may take until it can be read. `transport` answers searches for a client in
    memory.
    """

    def __init__(
        self,
        client: QdrantClient,
        *,
        alias: str = ALIAS,
        retry_delays: Sequence[float] = RETRY_DELAYS,
        indexing_timeout: float = INDEXING_TIMEOUT,
        poll_interval: float = 1.0,
        copies: int = COPIES,
        seen_within: float = SEEN_WITHIN,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._server = Server(
            client,
            retry_delays,
            seen_within=seen_within,
            poll_interval=poll_interval,
            transport=transport,
        )
        self._copies = copies
        self._alias = check_version(alias)
        self._indexing_timeout = indexing_timeout
        self._poll_interval = poll_interval

    def close(self) -> None:
        self._server.close()

    def versions(self) -> list[Manifest]:
        names = [name for name in self._names() if name.startswith(f"{self._alias}-")]
        manifests = (self._manifest(name) for name in names)
        return in_order([manifest for manifest in manifests if manifest])

    def active(self) -> Manifest | None:
        return self._active()[1]

    def create(
        self,
        manifest: Manifest,
        statistics: Statistics | None = None,
        *,
        base: str | None = None,
    ) -> ServerWriter:
        collection = self._collection(manifest.version)
        client = self._server.client
        begun = None
        if base is None:
            check_statistics(manifest, statistics)
        else:
            begun = self._require(base)
            check_base(manifest, begun)
            # Opening it checks that all of its points are there.
            self._opened(self._collection(base), begun).close()
            statistics = self.statistics(base) if begun.statistics else None
        with self._server.named_errors():
            exists = client.collection_exists(collection)
        if exists and self._manifest(collection):
            raise IndexProblem(
                f"index version {manifest.version} exists already",
                remedy="drop it first, or build under another name",
            )
        self._sweep()
        if exists:
            self._delete(collection)
        source = None if base is None else self._collection(base)
        recovered = source is not None and recover(self._server, source, collection)
        if not recovered:
            self._make(collection, manifest.dimension)
        writer = ServerWriter(
            self._server,
            collection,
            manifest,
            alias=self._alias,
            indexing_timeout=self._indexing_timeout,
            poll_interval=self._poll_interval,
            base=begun,
        )
        try:
            self._await(collection)
            if statistics:
                self._keep(manifest.version, statistics)
            if begun is not None and source is not None:
                copied = begun.points if recovered else copy(self._server, source, collection)
                # The writer will be asked for points of the base.
                self._server.until(
                    lambda: writer.count() == copied,
                    f"{copied:,} points of {base} that were copied to {collection}",
                )
        except BaseException:
            writer.discard()
            raise
        return writer

    def _make(self, collection: str, dimension: int) -> None:
        """An empty collection for points."""
        from qdrant_client import models

        with self._server.named_errors():
            self._server.client.create_collection(
                collection,
                shard_number=_SHARDS,
                replication_factor=self._copies,
                vectors_config={
                    DENSE: models.VectorParams(size=dimension, distance=models.Distance.DOT)
                },
                sparse_vectors_config={SPARSE: models.SparseVectorParams()},
                # m 0: no graph, see OVERSAMPLING.
                hnsw_config=models.HnswConfigDiff(m=0),
                quantization_config=models.ScalarQuantization(
                    scalar=models.ScalarQuantizationConfig(
                        type=models.ScalarType.INT8, always_ram=True
                    )
                ),
                # 0 means no quantising before all points are there: `finish` turns it on.
                optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
            )

    def _keep(self, version: str, statistics: Statistics) -> None:
        """Keep the statistics, in parts that are short enough for the payload of a point."""
        from qdrant_client import models

        client = self._server.client
        collection = self._statistics_collection(version)
        content = base64.b64encode(statistics.to_bytes()).decode("ascii")
        self._delete(collection)
        with self._server.named_errors():
            client.create_collection(
                collection,
                shard_number=_SHARDS,
                replication_factor=self._copies,
                vectors_config={},
            )
        self._await(collection)
        for part, start in enumerate(range(0, len(content), _PART)):
            point = models.PointStruct(
                id=part, vector={}, payload={"part": content[start : start + _PART]}
            )
            self._server.write(partial(client.upsert, collection, [point], wait=True))

    def statistics(self, version: str) -> Statistics:
        manifest = self._require(version)
        if not manifest.statistics:
            return read_statistics(manifest, None)
        return self._server.whole(lambda: read_statistics(manifest, self._kept(version)))

    def _kept(self, version: str) -> bytes | None:
        """The statistics from their parts, as bytes; None where they are damaged."""
        with self._server.named_errors():
            records, _ = self._server.client.scroll(
                self._statistics_collection(version), limit=_MOST_PARTS, with_payload=True
            )
        parts = {int(record.id): (record.payload or {}).get("part", "") for record in records}
        content = "".join(parts[part] for part in sorted(parts))
        try:
            return base64.b64decode(content, validate=True)
        except binascii.Error:
            return None

    def activate(self, version: str) -> None:
        """Move the alias, and wait until all nodes show that."""
        from qdrant_client import models

        collection = self._complete(version)
        operations: list[models.CreateAliasOperation | models.DeleteAliasOperation] = []
        if self._resolve() is not None:
            operations.append(
                models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self._alias))
            )
        operations.append(
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=collection, alias_name=self._alias)
            )
        )
        with self._server.named_errors():
            # One request, which the server applies as a whole.
            self._server.client.update_collection_aliases(change_aliases_operations=operations)
        self._server.until(
            lambda: self._resolve() == collection, f"the alias {self._alias} on {collection}"
        )

    def open(self, version: str | None = None) -> ServerIndex:
        if version is not None:
            return self._opened(self._collection(version), self._require(version))
        while True:
            # The alias is resolved once: a reader keeps its version when the alias moves on.
            collection, manifest = self._active()
            if manifest is None:
                raise IndexMissing(
                    f"no index is active at {self._server.where} (alias {self._alias})",
                    remedy="run: resolver index build",
                )
            try:
                return self._opened(collection, manifest)
            except IndexMissing:
                # Meanwhile another version was activated and this one dropped: open that one.
                if collection == self._resolve():
                    raise

    def _active(self) -> tuple[str, Manifest | None]:
        """The active collection and its manifest; None where there is none."""
        collection = None
        for _ in self._server.looks():
            collection = self._resolve()
            manifest = collection and self._manifest(collection)
            if manifest or collection is None:
                return collection or "", manifest or None
            # Only a version with a manifest gets the alias. So either another version was activated
            # and this one dropped, or this node does not show the manifest yet.
        return collection or "", None

    def _opened(self, collection: str, manifest: Manifest) -> ServerIndex:
        index = ServerIndex(self._server, collection, manifest)
        self._server.whole(lambda: check_whole(manifest, points=index.count()))
        return index

    def drop(self, version: str) -> None:
        collection = self._complete(version)
        if collection == self._resolve():
            raise IndexProblem(
                f"index version {version} is active", remedy="activate another one first"
            )
        self._delete(collection)
        self._sweep()

    def _sweep(self) -> None:
        """Delete the statistics of versions that are gone."""
        names = self._names()
        prefix = self._statistics_collection("")
        for name in names:
            version = name.removeprefix(prefix)
            if name.startswith(prefix) and f"{self._alias}-{version}" not in names:
                self._delete(name)

    def _names(self) -> set[str]:
        """All collections of the server."""
        with self._server.named_errors():
            return {c.name for c in self._server.client.get_collections().collections}

    def _await(self, collection: str) -> None:
        self._server.until(lambda: collection in self._names(), f"the new collection {collection}")

    def _delete(self, collection: str) -> None:
        """Delete a collection, if it is there, and wait until no node shows it."""
        with self._server.named_errors():
            self._server.client.delete_collection(collection)
        self._server.until(
            lambda: collection not in self._names(), f"that collection {collection} is deleted"
        )

    def _collection(self, version: str) -> str:
        return f"{self._alias}-{check_version(version)}"

    def _statistics_collection(self, version: str) -> str:
        return f"{self._alias}.statistics-{version}"

    def _complete(self, version: str) -> str:
        self._require(version)
        return self._collection(version)

    def _require(self, version: str) -> Manifest:
        """The manifest of a complete version.

        Raises:
            IndexMissing: there is none; names those that there are.
        """
        check_version(version)
        manifests: dict[str, Manifest] = {}
        # Another process may just have made it.
        for _ in self._server.looks():
            manifests = {manifest.version: manifest for manifest in self.versions()}
            if version in manifests:
                return manifests[version]
        raise IndexMissing(
            f"no complete index version {version} at {self._server.where}",
            remedy=f"there is: {', '.join(manifests) or 'none'}",
        )

    def _resolve(self) -> str | None:
        with self._server.named_errors():
            aliases = self._server.client.get_aliases().aliases
        return next((a.collection_name for a in aliases if a.alias_name == self._alias), None)

    def _manifest(self, collection: str) -> Manifest | None:
        """None for a collection that is unfinished, gone, or of another alias."""
        try:
            with self._server.named_errors():
                metadata = self._server.client.get_collection(collection).config.metadata
        except IndexMissing:
            return None
        # Another alias may begin with this one's name: "organisations" and "organisations-test".
        if not metadata or metadata.get("alias") != self._alias:
            return None
        content = json.dumps(metadata.get("manifest")).encode()
        manifest = from_json(content, where=f"{self._server.where}/{collection}")
        # A collection that the server copied has the manifest of another at first.
        return manifest if self._collection(manifest.version) == collection else None


class ServerWriter(IndexWriter):
    """A collection while it is being filled."""

    def __init__(
        self,
        server: Server,
        collection: str,
        manifest: Manifest,
        *,
        alias: str,
        indexing_timeout: float,
        poll_interval: float,
        base: Manifest | None = None,
    ) -> None:
        self._server = server
        self._collection = collection
        self._manifest = manifest
        self._organisations = OrganisationCount(self.held, base=base.organisations if base else 0)
        self._alias = alias
        self._indexing_timeout = indexing_timeout
        self._poll_interval = poll_interval
        self._last: tuple[UUID, Document | None] | None = None
        self._finished = False

    def add(self, points: Sequence[Point]) -> None:
        check_points(points, dimension=self._manifest.dimension)
        self._organisations.note(point.document for point in points)
        for start in range(0, len(points), AT_ONCE):
            batch = [_server_point(point) for point in points[start : start + AT_ONCE]]
            self._server.write(
                partial(self._server.client.upsert, self._collection, batch, wait=True)
            )
        if points:
            self._last = point_id(points[-1].document), points[-1].document

    def held(self, points: Collection[UUID]) -> dict[UUID, Document]:
        if self._last is not None:
            # Points are written in order: when the last can be read, all can.
            point, document = self._last
            self._server.until(
                lambda: self._retrieved([point]).get(point) == document,
                f"the last point that was written to {self._collection}",
            )
            self._last = None
        return self._retrieved(points)

    def _retrieved(self, points: Collection[UUID]) -> dict[UUID, Document]:
        wanted = [str(point) for point in points]
        documents = {}
        for start in range(0, len(wanted), AT_ONCE):
            for record in self._server.write(
                partial(
                    self._server.client.retrieve,
                    self._collection,
                    wanted[start : start + AT_ONCE],
                    with_payload=True,
                )
            ):
                documents[UUID(str(record.id))] = read_document(record.payload)
        return documents

    def rewrite(self, documents: Sequence[Document]) -> None:
        from qdrant_client import models

        for start in range(0, len(documents), AT_ONCE):
            operations = [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(
                        payload=payload(document), points=[str(point_id(document))]
                    )
                )
                for document in documents[start : start + AT_ONCE]
            ]
            self._server.write(
                partial(
                    self._server.client.batch_update_points,
                    self._collection,
                    operations,
                    wait=True,
                )
            )
        if documents:
            self._last = point_id(documents[-1]), documents[-1]

    def remove(self, documents: Sequence[Document]) -> None:
        from qdrant_client import models

        self._organisations.note(documents)
        for start in range(0, len(documents), AT_ONCE):
            points = models.PointIdsList(
                points=[str(point_id(document)) for document in documents[start : start + AT_ONCE]]
            )
            self._server.write(
                partial(self._server.client.delete, self._collection, points, wait=True)
            )
        if documents:
            self._last = point_id(documents[-1]), None

    def finish(self) -> None:
        """Count, have the server quantise and wait for it, then mark as complete.

        Raises:
            IndexProblem: the counts differ from the manifest's, or the server could not index.
            IndexUnavailable: the server failed, or needs longer than the time-out.
        """
        from qdrant_client import models

        client = self._server.client
        self._server.whole(
            lambda: check_counts(
                self._manifest, organisations=self._organisations.total(), points=self.count()
            )
        )
        self._server.write(
            lambda: client.update_collection(
                self._collection,
                optimizers_config=models.OptimizersConfigDiff(
                    indexing_threshold=INDEXING_THRESHOLD
                ),
            )
        )
        self._wait_until_green()
        mark = {"alias": self._alias, "manifest": to_json(self._manifest)}
        self._server.write(lambda: client.update_collection(self._collection, metadata=mark))

        def is_marked() -> bool:
            stored = self._server.write(lambda: client.get_collection(self._collection))
            return (stored.config.metadata or {}).get("manifest") == mark["manifest"]

        self._server.until(is_marked, f"the manifest of {self._collection}")
        self._finished = True

    def count(self) -> int:
        """Points written so far."""
        client = self._server.client
        return self._server.write(lambda: client.count(self._collection, exact=True)).count

    def _wait_until_green(self) -> None:
        from qdrant_client import models

        deadline = time.monotonic() + self._indexing_timeout
        green = 0
        # The server answers "green" until its optimiser has noticed the new threshold, so a single
        # "green" proves nothing.
        while green < 2:
            if time.monotonic() > deadline:
                raise IndexUnavailable(
                    f"Qdrant at {self._server.where} is still indexing {self._collection} "
                    f"after {self._indexing_timeout:.0f} s",
                    remedy="give the server more processors or memory, then build again",
                )
            time.sleep(self._poll_interval)
            info = self._server.write(lambda: self._server.client.get_collection(self._collection))
            if info.status is models.CollectionStatus.RED or not isinstance(
                info.optimizer_status, models.OptimizersStatusOneOf
            ):
                raise IndexProblem(
                    f"Qdrant at {self._server.where} could not index {self._collection}: "
                    f"{info.optimizer_status}",
                    remedy="see the server's log, then build again",
                )
            # 0 is what `create` set: a node that has not heard of the new threshold yet.
            noticed = info.config.optimizer_config.indexing_threshold != 0
            green = green + 1 if noticed and info.status is models.CollectionStatus.GREEN else 0
            log.info(
                "index version %s: %s, %s vectors of %d points indexed",
                self._manifest.version,
                info.status.value,
                info.indexed_vectors_count,
                self._manifest.points,
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._finished:
            self.discard()

    def discard(self) -> None:
        """Delete the unfinished version."""
        try:
            with self._server.named_errors():
                self._server.client.delete_collection(self._collection)
        except IndexProblem as problem:
            # The first error matters more; the next build of this version deletes the collection.
            log.warning("unfinished collection %s stays: %s", self._collection, problem)


class ServerIndex(OpenIndex):
    """One collection, open for reading. Searches may come from any thread."""

    def __init__(self, server: Server, collection: str, manifest: Manifest) -> None:
        self._server = server
        self._collection = collection
        self._path = f"/collections/{collection}"
        super().__init__(manifest, Points(self._fetch))

    def _found(self, queries: Sequence[Query], limit: int) -> list[Found]:
        searches = [{**_search(query), "limit": limit, "with_payload": False} for query in queries]
        results = self._server.ask(f"{self._path}/points/query/batch", {"searches": searches})
        try:
            answers: list[Answer] = [
                (
                    [_id(point["id"]) for point in result["points"]],
                    [point["score"] for point in result["points"]],
                )
                for result in results
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._server.not_qdrant() from error
        if len(answers) != len(queries):
            raise self._server.not_qdrant()
        return self._names.found(answers)

    def _fetch(
        self, ids: Sequence[UUID], keys: list[str] | None
    ) -> Iterator[tuple[UUID, Mapping[str, Any] | None]]:
        question = {"ids": [*map(str, ids)], "with_payload": keys or True, "with_vector": False}
        records = self._server.ask(f"{self._path}/points", question)
        try:
            fetched = [(UUID(int=_id(record["id"])), record.get("payload")) for record in records]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._server.not_qdrant() from error
        yield from fetched

    def _count(self) -> int:
        with self._server.named_errors():
            return self._server.client.count(self._collection, exact=True).count

    def close(self) -> None:
        self._closed = True


def _server_point(point: Point) -> models.PointStruct:
    from qdrant_client import models

    return models.PointStruct(
        id=str(point_id(point.document)),
        vector={
            DENSE: point.dense.tolist(),
            SPARSE: models.SparseVector(
                indices=point.sparse.indices.tolist(), values=point.sparse.values.tolist()
            ),
        },
        payload=payload(point.document),
    )


def _search(query: Query) -> dict[str, object]:
    """A query as the server reads it, but for its limit."""
    if isinstance(query, SparseVector):
        vector = {"indices": query.indices, "values": query.values}
        return {"query": vector, "using": SPARSE}
    return {
        "query": query,
        "using": DENSE,
        "params": {
            "quantization": {"ignore": False, "rescore": True, "oversampling": OVERSAMPLING}
        },
    }


def _id(point: str) -> int:
    """A UUID as a number: for this the class UUID takes five times as long."""
    return int(point.replace("-", ""), 16)
