"""Copies of a collection: made by the Qdrant server itself, or point by point by its client.

The server takes some 3 s for a whole release, and the client more than a minute. The server makes a
snapshot, and recovers another collection from it. It must be a single node, for a node recovers
what is its own, and it must reach itself at `RESOLVER_QDRANT_URL`. What such a server does was seen
once, with Qdrant 1.18.3; this module has not been tried on one yet.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from resolver.errors import IndexProblem
from resolver.index.qdrant import Server

if TYPE_CHECKING:
    from qdrant_client import models

log = logging.getLogger(__name__)

AT_ONCE = 512
"""Points in one request: 1 to 4 MB of JSON, well below the server's limit of 32 MB."""

_GATEWAYS = frozenset({502, 503, 504})
"""What answers these is not the server, or it is away for a moment: it may still be copying."""


def recover(server: Server, source: str, target: str) -> bool:
    """Have the server copy a collection with all that belongs to it: points, settings, metadata.

    The metadata of the copy is emptied: it says what the source is. Returns False, and leaves no
    copy, where the server does not do it: it has several nodes, or refused something.

    Raises:
        IndexUnavailable: the server failed without saying that it did not do it.
    """
    if not _is_one_node(server):
        return False
    client = server.client
    try:
        with server.named_errors():
            snapshot = client.create_snapshot(source)
        if snapshot is None:
            return False
        try:
            with server.named_errors():
                client.recover_snapshot(
                    target,
                    f"{server.url}/collections/{source}/snapshots/{snapshot.name}",
                    api_key=server.key,
                    checksum=snapshot.checksum,
                    priority=_snapshot_first(),
                )
        finally:
            with server.named_errors():
                client.delete_snapshot(source, snapshot.name)
        server.write(
            lambda: client.update_collection(target, metadata={"alias": None, "manifest": None})
        )
    except IndexProblem as problem:
        if not _is_refusal(problem):
            raise
        log.warning(
            "the server does not copy %s itself, so its points are sent: %s", source, problem
        )
        with server.named_errors():
            client.delete_collection(target)
        return False
    return True


def copy(server: Server, source: str, target: str) -> int:
    """Copy all points to a collection that is there; returns their count. The server writes and
    reads float32 in JSON without loss."""
    from qdrant_client import models

    client = server.client
    offset: Any = None
    copied = 0
    while True:
        records, offset = server.write(
            partial(
                client.scroll,
                source,
                limit=AT_ONCE,
                offset=offset,
                with_payload=True,
                with_vectors=True,
            )
        )
        batch = [
            models.PointStruct(
                id=record.id,
                vector=cast("models.VectorStruct", record.vector),
                payload=record.payload,
            )
            for record in records
        ]
        if batch:
            server.write(partial(client.upsert, target, batch, wait=True))
        copied += len(batch)
        if offset is None:
            return copied


def _is_one_node(server: Server) -> bool:
    if server.url is None:  # a client in memory
        return False
    try:
        with server.named_errors():
            return server.client.cluster_status().status == "disabled"
    except IndexProblem as problem:
        if not _is_refusal(problem):
            raise
        return False


def _is_refusal(problem: IndexProblem) -> bool:
    """Whether the server itself answered that it does not do something."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    cause = problem.__cause__
    return isinstance(cause, UnexpectedResponse) and cause.status_code not in _GATEWAYS


def _snapshot_first() -> models.SnapshotPriority:
    from qdrant_client import models

    return models.SnapshotPriority.SNAPSHOT
