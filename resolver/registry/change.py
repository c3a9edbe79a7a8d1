"""What a release of the registry changed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from resolver.registry.organisation import Organisation

Change = tuple[Organisation | None, Organisation | None]
"""An organisation in the release before and in the new release; None where it is not there."""


class ChangeKind(StrEnum):
    """What happened to an organisation between two releases."""

    ADDED = "added"
    """It was not there before."""

    CHANGED = "changed"
    """Its record differs, its status does not."""

    MERGED = "merged"
    """Its record was withdrawn or made inactive, and names a successor."""

    WITHDRAWN = "withdrawn"
    """Its record was withdrawn, without a successor."""

    INACTIVE = "inactive"
    """Its record was made inactive, without a successor."""

    REACTIVATED = "reactivated"
    """It is active again."""

    REMOVED = "removed"
    """It is not there any more."""


@dataclass(frozen=True, slots=True)
class OrganisationChange:
    """An organisation that differs between two releases.

    `name` is its display name after the change, or before it if it was removed. `fields` are the
    top-level fields of the record that differ, in alphabetical order; empty if it was added or
    removed. `successors` are the ROR ids of its successors, if it has ended.
    """

    ror_id: str
    name: str
    kind: ChangeKind
    fields: tuple[str, ...] = ()
    successors: tuple[str, ...] = ()
