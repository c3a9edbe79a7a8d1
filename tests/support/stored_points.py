"""What an index version holds, as it is kept: to compare two of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from resolver.index import IndexStore
from resolver.index.dense import FOLDER, DenseFiles
from resolver.index.embedded import EmbeddedStore
from resolver.index.server import ServerStore


def stored(store: IndexStore, version: str) -> dict[str, tuple[object, ...]]:
    """All points of a version as they are kept: id → payload, dense and sparse vector."""
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
        dense = dict(zip(ids, files.exact.tolist(), strict=True))
    else:
        assert isinstance(store, ServerStore)
        client = store._server.client
        records, _ = client.scroll(
            store._collection(version), limit=1 << 30, with_payload=True, with_vectors=True
        )
        dense = {str(record.id): list(record.vector["dense"]) for record in records}
    assert len(dense) == len(records)
    return {
        str(record.id): (
            record.payload,
            dense[str(record.id)],
            list(record.vector["sparse"].indices),
            list(record.vector["sparse"].values),
        )
        for record in records
    }
