"""What was used last, kept for the next time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `most` values, those used last. Threads may share one.

    For values that never change: nothing here is told when one has.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, keys: Collection[K]) -> dict[K, V]:
        """Those of the keys that are kept, with their values."""
        found = {}
        with self._lock:
            kept, use = self._kept, self._kept.move_to_end
            for key in keys:
                if key in kept:
                    use(key)
                    found[key] = kept[key]
        return found

    def keep(self, values: Mapping[K, V]) -> None:
        """Keep these too; of all, those used longest ago go."""
        with self._lock:
            self._kept.update(values)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
