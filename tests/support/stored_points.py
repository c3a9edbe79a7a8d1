"""What an index version holds, as the engine keeps it: to compare two of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from resolver.index import IndexStore, names_file
from resolver.index.dense import FOLDER, DenseFiles
from resolver.index.embedded import EmbeddedStore
from resolver.index.names_file import NamesFile
from resolver.index.payload import document
from resolver.index.server import ServerStore


def stored(store: IndexStore, version: str) -> dict[str, tuple[object, ...]]:
    """All points of a version as the engine keeps them: id → payload, dense and sparse vector.

    What an embedded version searches dense vectors by and reads documents by must be of the same
    vectors and documents.
    """
    records: list[Any]
    if isinstance(store, EmbeddedStore):
        import qdrant_edge

        folder = store._complete(version)
        shard = qdrant_edge.EdgeShard.load(str(folder / "shard"))
        wanted = qdrant_edge.ScrollRequest(limit=1 << 30, with_payload=True, with_vector=True)
        records, _ = shard.scroll(wanted)
        shard.close()
        files = DenseFiles(folder / FOLDER, version)
        ids = [str(UUID(bytes=point.tobytes())) for point in files.points]
        searched = dict(zip(ids, files.exact.tolist(), strict=True))
        assert searched == {str(record.id): list(record.vector["dense"]) for record in records}
        names = NamesFile(folder / names_file.FOLDER, points=len(records))
        read = dict(zip(names.ids(), names.documents(range(len(names))).values(), strict=True))
        assert read == {UUID(str(r.id)).int: document(r.payload) for r in records}
    else:
        assert isinstance(store, ServerStore)
        client = store._server.client
        records, _ = client.scroll(
            store._collection(version), limit=1 << 30, with_payload=True, with_vectors=True
        )
    return {str(record.id): _plain(record) for record in records}


def _plain(record: Any) -> tuple[object, ...]:
    dense, sparse = record.vector["dense"], record.vector["sparse"]
    return record.payload, list(dense), list(sparse.indices), list(sparse.values)
