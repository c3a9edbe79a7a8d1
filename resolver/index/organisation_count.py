"""How many organisations a version holds while it is being written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from uuid import UUID

from resolver.index.payload import organisation_point_id
from resolver.registry.document import Document


class OrganisationCount:
    """Counts organisations by the points of their display names, which every organisation has.

    `base` is the number of those that the version began with. `held` says which of some points are
    in the version. To ask it for all points would take seconds, so it is asked only for those of
    organisations that are written or removed.
    """

    def __init__(self, held: Callable[[Collection[UUID]], Collection[UUID]], *, base: int) -> None:
        self._held = held
        self._base = base
        self._touched: set[str] = set()
        self._touched_before = 0

    def note(self, documents: Iterable[Document]) -> None:
        """Take note of documents; to be called before they are written or removed."""
        new = {document.ror_id for document in documents} - self._touched
        self._touched |= new
        if self._base and new:
            self._touched_before += self._in_version(new)

    def total(self) -> int:
        if not self._base:
            return len(self._touched)
        return self._base - self._touched_before + self._in_version(self._touched)

    def _in_version(self, ror_ids: Iterable[str]) -> int:
        return len(self._held([organisation_point_id(ror_id) for ror_id in ror_ids]))
