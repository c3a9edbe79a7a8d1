"""An item of the queue, with what is known of its text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.database import overrides, review_decisions, review_items
from resolver.database.connection import transaction
from resolver.database.review_decisions import Decision
from resolver.database.review_items import Item, RecordExample, Similar
from resolver.matching.override import Override
from resolver.text.affiliation import text_hash

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SIMILAR = 50
"""Most similar items that are shown."""

EXAMPLES = 5
"""Most records of a text that are shown."""


@dataclass(frozen=True, slots=True)
class ItemDetails:
    """An item with what is known of its text: a few of its records, the decisions about it (latest
    first, ended ones too), the overrides that hold, and similar items. `pending` says that its
    answer is due: it will be given again."""

    item: Item
    examples: tuple[RecordExample, ...]
    decisions: tuple[Decision, ...]
    overrides: tuple[Override, ...]
    pending: bool
    similar: tuple[Similar, ...]

    @property
    def seen(self) -> int:
        """The latest decision that is shown with it, for `Choice.seen`."""
        return max((decision.id for decision in self.decisions), default=0)


def item(engine: Engine, affiliation_id: int) -> ItemDetails | None:
    """An item and what is known of its text; None where there is none."""
    with transaction(engine) as connection:
        items = review_items.find(connection, [affiliation_id])
        if not items:
            return None
        hashed = text_hash(items[0].text)
        return ItemDetails(
            item=items[0],
            examples=tuple(review_items.examples(connection, affiliation_id, limit=EXAMPLES)),
            decisions=tuple(review_decisions.of_text(connection, hashed)),
            overrides=tuple(overrides.holding(connection, hashed)),
            pending=bool(_pending(connection, items)),
            similar=tuple(review_items.similar(connection, affiliation_id, limit=SIMILAR)),
        )


def pending(engine: Engine, affiliation_ids: Collection[int]) -> frozenset[int]:
    """Those of these texts whose shown answer is due because of an override."""
    with transaction(engine) as connection:
        return _pending(connection, review_items.find(connection, affiliation_ids))


def _pending(connection: Connection, items: Sequence[Item]) -> frozenset[int]:
    due = set(review_items.pending(connection, [item.affiliation_id for item in items]))
    return frozenset(
        item.affiliation_id for item in items if (item.affiliation_id, item.policy_id) in due
    )
