"""Requests to ROR for organisations that the registry lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from resolver.curation import ror_request
from resolver.curation.review.items import EXAMPLES, SIMILAR
from resolver.curation.review.keys import text_keys
from resolver.curation.unmatched import UnmatchedOrganisation, unmatched_name
from resolver.database import review_decisions, review_items
from resolver.database.connection import transaction
from resolver.database.review_decisions import Lacking
from resolver.database.review_items import Item
from resolver.database.tables import LackingState
from resolver.database.unmatched import Unmatched
from resolver.errors import ReviewError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

LACKING_FIELDS = tuple(name for name in ror_request.FIELDS if name[0].isupper())
"""The fields of ROR's form, in their order."""


def lacking_fields(engine: Engine, affiliation_id: int) -> dict[str, str]:
    """ROR's form (`LACKING_FIELDS`), filled in from the text and from the other writings of the
    same name; or as it was filled in before.

    Raises:
        ReviewError: there is no such item.
    """
    with transaction(engine) as connection:
        items = review_items.find(connection, [affiliation_id])
        if not items:
            raise ReviewError(f"there is no text {affiliation_id}")
        return filled_in(connection, items[0])


def filled_in(connection: Connection, item: Item) -> dict[str, str]:
    """As `lacking_fields`."""
    cluster = text_keys(item.text, linked=False).cluster
    if saved := review_decisions.lacking(connection, cluster=cluster):
        return dict(saved[0].fields)
    writings = review_items.writings(connection, cluster, limit=SIMILAR)
    rows = {writing.affiliation: writing for writing in writings}
    examples = review_items.examples(connection, item.affiliation_id, limit=EXAMPLES)
    rows.setdefault(
        item.text,
        Unmatched(
            item.text, item.reason or "", item.records, item.sources,
            tuple(example.external_id for example in examples),
        ),
    )  # fmt: skip
    name = unmatched_name(item.text)
    group = UnmatchedOrganisation(name.key, name.country)
    for row in rows.values():
        group.add(row, unmatched_name(row.affiliation))
    request = ror_request.request(group)
    # Without its examples: a text that is deleted must not stay here.
    request["Other information about this request"] = (
        f"sent {group.count:,} times in {group.affiliations:,} different affiliations"
    )
    return {name: str(request[name]) for name in LACKING_FIELDS}


def lacking(engine: Engine, state: LackingState | None = None) -> list[Lacking]:
    """Names that the registry lacks, those of the most records first. A draft whose decisions were
    all undone is left out."""
    with transaction(engine) as connection:
        return review_decisions.lacking(connection, state=state)


def update_lacking(
    engine: Engine,
    cluster: bytes,
    author: str,
    *,
    state: LackingState | None = None,
    fields: Mapping[str, str] | None = None,
    ror_issue: str | None = None,
) -> Lacking:
    """Change the draft of a request, or how far it is; what is None stays.

    Raises:
        ReviewError: there is none of this key.
    """
    with transaction(engine) as connection:
        review_decisions.update_lacking(
            connection, cluster, author=author, state=state, fields=fields, ror_issue=ror_issue
        )
        saved = review_decisions.lacking(connection, cluster=cluster)
    if not saved:
        raise ReviewError("there is no such request")
    return saved[0]
