"""Review: people decide about stored answers, the most doubtful of many records first.

A decision is a label, and where it differs from the answer also an override. Both, the mark that
the answer is due, and the state of the item are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from resolver.database.review_decisions import Decision, Lacking
from resolver.database.review_items import (
    LINK,
    LINKED,
    NAME,
    Filters,
    Item,
    ItemLink,
    Remaining,
    Similar,
    Upcoming,
)
from resolver.database.tables import Action, LackingState, ReviewState, Why
from resolver.errors import ResolverError
from resolver.matching.override import Override, OverrideProblem

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = [
    "LINK",
    "LINKED",
    "NAME",
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
    "Remaining",
    "ReviewState",
    "Similar",
    "Undone",
    "Upcoming",
    "Why",
]

LEASE_MINUTES = 10
"""How long an item is kept for the person who was given it, unless it is renewed."""

SECOND_LOOKS = 0.03
"""The share of decisions that a second person makes again without seeing the first."""


class ReviewError(ResolverError):
    """What was asked for on the review page cannot be done."""


@dataclass(frozen=True, slots=True)
class RecordExample:
    """A record that has the text of an item."""

    source: str
    external_id: str
    position: int


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


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose about an item and, with the same press, about similar ones (`also`).

    `request` comes from the form: the same form sent twice is saved once. `CONFIRM` and `CHANGE`
    mean the same here: the text names `ror_ids`, all of them and no others. Which of the two it is,
    is decided by the stored answer. With the other actions `ror_ids` is empty. `shown` is what the
    person saw (candidates, probabilities, ticks, resolver version). `lacking` has the fields of
    ROR's form, for `LACKING` alone.
    """

    request: UUID
    affiliation_id: int
    action: Action
    author: str
    ror_ids: tuple[str, ...] = ()
    also: tuple[int, ...] = ()
    note: str = ""
    shown: Mapping[str, object] = field(default_factory=dict)
    seconds: float | None = None
    lacking: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """Decisions that were saved: that about the item first. `due` are the answers, as (affiliation
    id, policy id), that are to be given again because of them. `left_out` are similar items that
    somebody else has or has decided about, or that are not similar any more."""

    ids: tuple[int, ...]
    actions: tuple[Action, ...]
    due: tuple[tuple[int, int], ...]
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Late:
    """Nothing was saved: the item was decided about meanwhile or somebody else has it; `by` is
    that person, None where it is not known or the item is gone."""

    by: str | None


@dataclass(frozen=True, slots=True)
class Undone:
    """Decisions that were ended, that about `item` first. `item` is leased to the person again,
    None where its text is gone. `ticks` are the organisations that were ticked, `shown` what was
    seen; `due` as `Decided.due`."""

    item: Item | None
    ticks: tuple[str, ...]
    shown: Mapping[str, object]
    decisions: tuple[int, ...]
    due: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Label:
    """What people decided about a text, for evaluation and training: it names `ror_ids`, does not
    name `ruled_out`, and may or may not name `maybe`."""

    affiliation: str
    ror_ids: tuple[str, ...]
    ruled_out: tuple[str, ...]
    maybe: tuple[str, ...]
    author: str

    def as_object(self) -> dict[str, object]:
        """As `resolver.evaluation.gold.read_gold` reads it."""
        return {
            "affiliation": self.affiliation,
            "ror_ids": list(self.ror_ids),
            "not": list(self.ruled_out),
            "maybe": list(self.maybe),
            "source": f"review:{self.author}",
        }


@dataclass(frozen=True, slots=True)
class Pace:
    """How many decisions somebody made on a day (UTC), with the median of the seconds taken."""

    day: date
    author: str
    decisions: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class ReleaseEffects:
    """What the release in use changed: organisations by kind of change
    (`resolver.registry.change.ChangeKind`), and links that ended and that began because of it."""

    release: str
    changes: Mapping[str, int]
    links_ended: int
    links_begun: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of the state page.

    `linked` of `texts` texts have a link, `linked_records` of `records` records. `reasons` counts
    texts without a link. `histogram` has the number of links by probability, in 20 bins of 0.05,
    from 0 on. `agreement` is (pairs of decisions that agree, pairs).
    """

    texts: int
    linked: int
    records: int
    linked_records: int
    reasons: Mapping[str, int]
    histogram: tuple[int, ...]
    release: ReleaseEffects | None
    pace: tuple[Pace, ...]
    remaining: Remaining
    agreement: tuple[int, int]
    override_problems: tuple[OverrideProblem, ...]


def queue(
    engine: Engine,
    filters: Filters,
    author: str,
    *,
    limit: int = 50,
    after: tuple[float, int] | None = None,
) -> list[Item]:
    """The first items of the queue, those of the most expected wrong records first; `after` is
    (priority, affiliation id) of the item before. Items that others have are among them."""
    raise NotImplementedError


def remaining(engine: Engine, filters: Filters) -> Remaining:
    """What is left. It reads every item that meets the filters: keep it for a minute."""
    raise NotImplementedError


def counts(engine: Engine) -> dict[str, int]:
    """Open items by reason, or `LINKED`. It reads every open item: keep it for a minute."""
    raise NotImplementedError


def take(engine: Engine, filters: Filters, author: str) -> Item | None:
    """Give a person the next item, for `LEASE_MINUTES`: the one that they have already, if it meets
    the filters; else the first that nobody has. None where there is none."""
    raise NotImplementedError


def lease(engine: Engine, affiliation_id: int, author: str) -> bool:
    """Give a person this item, as when they open its address; False where somebody else has it, it
    is not open, or they may not decide about it."""
    raise NotImplementedError


def renew(engine: Engine, affiliation_id: int, author: str) -> bool:
    """Prolong a lease by `LEASE_MINUTES` from now; False where the person has it no more."""
    raise NotImplementedError


def release(engine: Engine, affiliation_id: int, author: str) -> None:
    """End a lease of this person."""
    raise NotImplementedError


def upcoming(engine: Engine, filters: Filters, author: str, count: int) -> list[Upcoming]:
    """The next items that `take` would give this person, for reading ahead; leases nothing."""
    raise NotImplementedError


def item(engine: Engine, affiliation_id: int) -> ItemDetails | None:
    """An item and what is known of its text; None where there is none."""
    raise NotImplementedError


def pending(engine: Engine, affiliation_ids: Sequence[int]) -> frozenset[int]:
    """Those of these texts whose shown answer is due."""
    raise NotImplementedError


def decide(engine: Engine, choice: Choice) -> Decided | Late:
    """Save a decision about an item and those similar ones that were ticked, in one transaction.

    About a similar item it is the same change: the organisations that the person added to the
    answer shown are added to the similar one's own, and those that they took away are taken away.

    Raises:
        ReviewError: the choice contradicts itself, or a ROR id, author or note cannot be read.
        DatabaseUnavailable: no answer; send the same choice again.
    """
    raise NotImplementedError


def undo(engine: Engine, decision_id: int, author: str, note: str = "undone") -> Undone:
    """End a decision of this person, and those that were saved with it. Its overrides that still
    hold end, and those that it had ended hold again.

    Raises:
        ReviewError: there is no such decision of this person, or it was ended before.
    """
    raise NotImplementedError


def decisions(
    engine: Engine, author: str | None = None, *, limit: int = 50, before: int | None = None
) -> list[Decision]:
    """Decisions of a person, or of all, the latest first; `before` is the id of the one before."""
    raise NotImplementedError


def labels(engine: Engine) -> Iterator[Label]:
    """What people decided, one label a text, in the order of the deciding decisions. Texts that
    were skipped, that are disputed, or that were forgotten have none."""
    raise NotImplementedError


def figures(engine: Engine, *, days: int = 30) -> Figures:
    """The figures of the state page; `days` of pace. It reads every item: keep it for a minute."""
    raise NotImplementedError


def lacking_fields(engine: Engine, affiliation_id: int) -> dict[str, str]:
    """ROR's form (`resolver.curation.ror_request.FIELDS`), filled in from the text and from the
    other writings of the same name; or as it was filled in before."""
    raise NotImplementedError


def lacking(engine: Engine, state: LackingState | None = None) -> list[Lacking]:
    """Names that the registry lacks, those of the most records first."""
    raise NotImplementedError


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
    raise NotImplementedError


def rebuild(
    engine: Engine, *, batch: int = 2_000, progress: Callable[[int, int], None] | None = None
) -> int:
    """Make all items anew from the stored answers; returns how many there are. Leases, second
    looks and decisions stay. `progress` gets (texts done, texts)."""
    raise NotImplementedError
