"""How many organisations a version holds while it is being written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from uuid import UUID

from resolver.index.payload import organisation_point_id
from resolver.registry.document import Document


class Tally:
    """Counts organisations by the points of their display names, which every one has.

    `base` are those that the version began with. `held` says which of some points are there;
    asking it of all would take seconds, so it is asked of what is written alone.
    """

    def __init__(self, held: Callable[[Collection[UUID]], Collection[UUID]], *, base: int) -> None:
        self._held = held
        self._base = base
        self._met: set[str] = set()
        self._before = 0

    def meet(self, documents: Iterable[Document]) -> None:
        """Told of documents before they are written or removed."""
        new = {document.ror_id for document in documents} - self._met
        self._met |= new
        if self._base and new:
            self._before += len(self._held([organisation_point_id(ror_id) for ror_id in new]))

    def organisations(self) -> int:
        if not self._base:
            return len(self._met)
        after = len(self._held([organisation_point_id(ror_id) for ror_id in self._met]))
        return self._base - self._before + after
