"""Review: people decide about stored answers, the most doubtful of many records first.

A decision is a label, and where it differs from the answer also an override. Both, the mark that
the answer is due, and the state of the item are written in one transaction.
"""

from resolver.curation.review.choice import Choice
from resolver.curation.review.deciding import Decided, Late, decide
from resolver.curation.review.items import ItemDetails, item, pending
from resolver.curation.review.keys import text_keys
from resolver.curation.review.labelling import Label, labels
from resolver.curation.review.lacking_organisations import (
    LACKING_FIELDS,
    lacking,
    lacking_fields,
    update_lacking,
)
from resolver.curation.review.rebuilding import rebuild
from resolver.curation.review.state_figures import Figures, figures
from resolver.curation.review.undoing import Undone, undo
from resolver.database.review_decisions import (
    Decision,
    Lacking,
    Pace,
    decisions,
    last_held,
    today,
)
from resolver.database.review_figures import Remaining, counts, remaining
from resolver.database.review_filters import LINKED, Filters
from resolver.database.review_items import Item, ItemLink, Similar, queue
from resolver.database.review_leases import Upcoming, lease, renew, take, upcoming
from resolver.database.tables import Action, LackingState, ReviewState, Why
from resolver.errors import ReviewError

__all__ = [
    "LACKING_FIELDS",
    "LINKED",
    "Action",
    "Choice",
    "Decided",
    "Decision",
    "Figures",
    "Filters",
    "Item",
    "ItemDetails",
    "ItemLink",
    "Label",
    "Lacking",
    "LackingState",
    "Late",
    "Pace",
    "Remaining",
    "ReviewError",
    "ReviewState",
    "Similar",
    "Undone",
    "Upcoming",
    "Why",
    "counts",
    "decide",
    "decisions",
    "figures",
    "item",
    "labels",
    "lacking",
    "lacking_fields",
    "last_held",
    "lease",
    "pending",
    "queue",
    "rebuild",
    "remaining",
    "renew",
    "take",
    "text_keys",
    "today",
    "undo",
    "upcoming",
    "update_lacking",
]
