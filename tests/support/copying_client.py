"""A client in memory of a server that copies collections itself, by snapshots.

What it does is what Qdrant's description of these calls says, and what a server of version 1.18.3
was seen to do: the copy has the source's points, settings and metadata.
"""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

URL = "http://qdrant:6333"
KEY = "a-key"


class CopyingClient(QdrantClient):
    """`refused` is the call that it refuses, with this status; 0 stands for no answer at all.
    `asked` are the calls about snapshots, `left` the snapshots that are kept."""

    def __init__(self, *, nodes: int = 1, refused: str = "", status: int = 400) -> None:
        super().__init__(":memory:")
        self._init_options |= {"url": URL, "headers": {"api-key": KEY}}
        self.nodes = nodes
        self.asked: list[str] = []
        self.left: dict[tuple[str, str], Any] = {}
        self._refusal = refused, status

    @property
    def http(self) -> Any:
        return SimpleNamespace(client=SimpleNamespace(host=URL))

    def _note(self, call: str) -> None:
        self.asked.append(call)
        refused, status = self._refusal
        if call == refused and status:
            raise UnexpectedResponse(status, "Refused", b"{}", httpx.Headers())
        if call == refused:
            raise ResponseHandlingException(httpx.ReadTimeout("timed out"))

    def cluster_status(self) -> Any:
        self._note("cluster_status")
        return SimpleNamespace(status="enabled" if self.nodes > 1 else "disabled")

    def create_snapshot(
        self, collection_name: str, wait: bool = True, **named: Any
    ) -> models.SnapshotDescription:
        self._note("create_snapshot")
        points, _ = self.scroll(collection_name, limit=1 << 30, with_vectors=True)
        params = self.get_collection(collection_name).config
        name = f"{collection_name}-{len(self.asked)}.snapshot"
        self.left[collection_name, name] = deepcopy((points, params))
        return models.SnapshotDescription(name=name, size=1, checksum=f"sum of {name}")

    def recover_snapshot(
        self,
        collection_name: str,
        location: str,
        api_key: str | None = None,
        checksum: str | None = None,
        priority: models.SnapshotPriority | None = None,
        wait: bool = True,
        **named: Any,
    ) -> bool:
        self._note("recover_snapshot")
        assert (api_key, wait, priority) == (KEY, True, models.SnapshotPriority.SNAPSHOT)
        source, name = location.removeprefix(f"{URL}/collections/").split("/snapshots/")
        assert checksum == f"sum of {name}"
        assert not self.collection_exists(collection_name)
        points, config = self.left[source, name]
        self.create_collection(
            collection_name,
            vectors_config=config.params.vectors,
            sparse_vectors_config=config.params.sparse_vectors,
            metadata=config.metadata,
        )
        copies = [
            models.PointStruct(id=p.id, vector=p.vector, payload=p.payload)
            for p in deepcopy(points)
        ]
        self.upsert(collection_name, copies)
        return True

    def delete_snapshot(
        self, collection_name: str, snapshot_name: str, wait: bool = True, **named: Any
    ) -> bool:
        self._note("delete_snapshot")
        del self.left[collection_name, snapshot_name]
        return True
