"""Both adapters of the index; the server's runs against a real one where
``RESOLVER_TEST_QDRANT_URL`` names it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.index_points import NAMES, documents_of, manifest_of, points_of

from resolver.index import IndexStore, Manifest, Point
from resolver.index.embedded import EmbeddedStore

SERVER_URL = os.environ.get("RESOLVER_TEST_QDRANT_URL")
ADAPTERS = [
    "embedded", "server-in-memory", "server-that-copies", "server-of-several-nodes",
    *(["server"] if SERVER_URL else []),
]  # fmt: skip


@pytest.fixture
def points() -> list[Point]:
    return points_of(documents_of(NAMES))


@pytest.fixture
def publish() -> Callable[..., Manifest]:
    """Create, fill, finish and activate a version."""

    def publish(
        store: IndexStore, version: str, points: Sequence[Point], **changes: object
    ) -> Manifest:
        manifest = manifest_of(version, points, **changes)
        with store.create(manifest) as writer:
            writer.add(points)
            writer.finish()
        store.activate(version)
        return manifest

    return publish


@pytest.fixture(params=ADAPTERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IndexStore]:
    if request.param == "embedded":
        yield EmbeddedStore(tmp_path / "index")
        return
    from support.copying_client import CopyingClient
    from support.lagging_client import LaggingClient
    from support.searches_in_memory import store_in_memory

    from resolver.index.qdrant import connect
    from resolver.index.server import ServerStore

    if request.param == "server-in-memory":
        with store_in_memory(poll_interval=0.001, seen_within=0) as store:
            yield store
        return
    if request.param == "server-that-copies":
        with store_in_memory(CopyingClient(), poll_interval=0.001, seen_within=0) as store:
            yield store
        return
    if request.param == "server-of-several-nodes":
        several: Any = LaggingClient(late=2)
        with store_in_memory(several, poll_interval=0.001, seen_within=0.5) as store:
            yield store
        return
    assert SERVER_URL is not None
    client = connect(SERVER_URL, api_key=os.environ.get("RESOLVER_TEST_QDRANT_API_KEY"))
    alias = f"test_{uuid.uuid4().hex[:12]}"
    with ServerStore(client, alias=alias, poll_interval=0.1, seen_within=2) as store:
        yield store
        for collection in client.get_collections().collections:
            # Its versions, and the statistics beside them.
            if collection.name.startswith((f"{alias}-", f"{alias}.")):
                client.delete_collection(collection.name)
