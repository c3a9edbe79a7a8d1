"""A client of a server of several nodes, where what one has taken is seen on another later.

Two clients in memory are the nodes. One takes the writes, and refuses what a server refuses; the
other answers, and follows the first in order, each write after so many looks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from qdrant_client import QdrantClient

WRITES = frozenset({
    "batch_update_points", "create_collection", "delete", "delete_collection",
    "update_collection", "update_collection_aliases", "upsert",
})  # fmt: skip
READS = frozenset({
    "collection_exists", "count", "get_aliases", "get_collection", "get_collections", "info",
    "query_batch_points", "retrieve", "scroll",
})  # fmt: skip


class LaggingClient:
    """`late` is how many looks a write stays unseen after the one before it was seen.

    `first_unseen` is a write, by its name and what must be among its arguments, or "": the nodes are
    cut off from each other before the first such one.
    """

    def __init__(self, late: int) -> None:
        self.late = late
        self.first_unseen: tuple[str, str] | None = None
        self._is_cut_off = False
        self._takes = QdrantClient(":memory:")
        self._answers = QdrantClient(":memory:")
        self._unseen: deque[Callable[[], object]] = deque()
        self._looks = 0
        self._lock = threading.RLock()

    @property
    def init_options(self) -> dict[str, Any]:
        return self._takes.init_options

    def close(self) -> None:
        self._takes.close()
        self._answers.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in WRITES:
            return lambda *given, **named: self._write(name, given, named)
        if name in READS:
            return lambda *given, **named: self._read(name, given, named)
        raise AttributeError(f"is {name} a write or a read?")

    def _write(self, name: str, given: Any, named: Any) -> Any:
        with self._lock:
            if self.first_unseen is not None:
                first, argument = self.first_unseen
                self._is_cut_off |= name == first and (not argument or argument in named)
            taken = getattr(self._takes, name)(*given, **named)
            # A client in memory keeps what it is given, and the two must share nothing.
            given, named = deepcopy((given, named))
            self._unseen.append(lambda: getattr(self._answers, name)(*given, **named))
            return taken

    def _read(self, name: str, given: Any, named: Any) -> Any:
        with self._lock:
            self._looks += 1
            if self._unseen and self._looks > self.late and not self._is_cut_off:
                self._unseen.popleft()()
                self._looks = 0
            return getattr(self._answers, name)(*given, **named)

    def where_it_is_written(self) -> Node:
        """The other node as a client: what is written is there at once."""
        return Node(self)


class Node:
    """The node of a `LaggingClient` that takes the writes."""

    def __init__(self, client: LaggingClient) -> None:
        self._client = client
        self.init_options = client.init_options

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return getattr(self._client if name in WRITES else self._client._takes, name)
