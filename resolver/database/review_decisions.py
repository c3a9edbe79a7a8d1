"""What people decided on the review page. A decision is never changed, only ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from resolver.database.tables import Action, LackingState
from resolver.matching.override import Ending


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about one text.

    `ror_ids` are all organisations that the text names by it, and `denied` those that the answer
    linked and that it does not name. `shown` is what the person saw. Decisions that were saved
    together have one `batch`. `seconds` is how long the person took. A `blind` decision was made
    without seeing the answer. `override_ids` are the overrides that it made, and
    `ended_override_ids` those that it ended. The text is None where it was forgotten.
    """

    id: int
    request: UUID
    affiliation_id: int | None
    affiliation: str | None
    policy_id: int
    action: Action
    ror_ids: tuple[str, ...]
    denied: tuple[str, ...]
    author: str
    note: str
    shown: Mapping[str, object]
    batch: UUID | None
    seconds: float | None
    blind: bool
    override_ids: tuple[int, ...]
    ended_override_ids: tuple[int, ...]
    created_at: datetime
    ended: Ending | None


@dataclass(frozen=True, slots=True)
class Lacking:
    """A name that the registry lacks: the draft of a request to add it. `cluster` is its key,
    `fields` those of ROR's form (`resolver.curation.ror_request.FIELDS`)."""

    cluster: bytes
    fields: Mapping[str, str]
    records: int
    author: str
    state: LackingState
    ror_issue: str | None
    updated_at: datetime
