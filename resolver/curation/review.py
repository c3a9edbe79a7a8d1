"""Review: people decide about stored answers, the most doubtful of many records first.

A decision is a label, and where it differs from the answer also an override. Both, the mark that
the answer is due, and the state of the item are written in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from resolver.curation import ror_request
from resolver.curation.unmatched import UnmatchedOrganisation, named_country, unmatched_name
from resolver.database import due_answers, overrides, review_decisions, review_items
from resolver.database.connection import driver, transaction
from resolver.database.resolver_versions import SWITCH_LOCK
from resolver.database.review_decisions import Decision, Lacking, NewDecision
from resolver.database.review_items import (
    LINK,
    LINKED,
    NAME,
    Filters,
    Item,
    ItemLink,
    Remaining,
    Similar,
    TextKeys,
    Upcoming,
)
from resolver.database.tables import Action, LackingState, ReviewState, Why
from resolver.database.unmatched import Unmatched
from resolver.errors import ReviewError
from resolver.matching.override import (
    MAX_AUTHOR,
    MAX_NOTE,
    Override,
    OverrideProblem,
    Verdict,
    exclude,
    remark,
)
from resolver.registry.ror_id import read_ror_id
from resolver.text.affiliation import MAX_CHARACTERS, Affiliation, text_hash

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

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
    "ReviewError",
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

SIMILAR = 50
"""Most similar items that are shown."""

EXAMPLES = 5
"""Most records of a text that are shown."""

BINS = 20
"""Of the histogram of probabilities."""

DIFFERS = "decided otherwise in a review"
"""The note at the end of an override that a decision contradicts."""


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

    @property
    def seen(self) -> int:
        """The latest decision that is shown with it, for `Choice.seen`."""
        return max((decision.id for decision in self.decisions), default=0)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose about an item and, with the same press, about similar ones (`also`).

    `request` comes from the form: the same form sent twice is saved once. `CONFIRM` and `CHANGE`
    mean the same here: the text names `ror_ids`, all of them and no others. Which of the two it is,
    is decided by the stored answer. With `UNSURE` the text may name `ror_ids`; with other actions
    there are none. `seen` is `ItemDetails.seen` of the page: whoever did not see the decision that
    holds is too late. `shown` is what the person saw: a list `candidates` of objects with `ror_id`,
    `probability` and `ticked`, and whatever else is worth keeping. `lacking` has the fields of
    ROR's form, for `LACKING` alone.
    """

    request: UUID
    affiliation_id: int
    action: Action
    author: str
    ror_ids: tuple[str, ...] = ()
    also: tuple[int, ...] = ()
    seen: int = 0
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
class Today:
    """How many decisions somebody made today (UTC), with the median of the seconds taken."""

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


# The queue


def queue(
    engine: Engine,
    filters: Filters,
    author: str,
    *,
    limit: int = 50,
    after: tuple[float, int] | None = None,
) -> list[Item]:
    """The first items of the queue, those of the most expected wrong records first; `after` is
    (priority, affiliation id) of the item before. Items that somebody has are among them, those
    about which the person may not decide are not."""
    return review_items.queue(engine, filters, author, limit=limit, after=after)


def remaining(engine: Engine, filters: Filters) -> Remaining:
    """What is left. It reads every item that meets the filters: keep it for a minute."""
    return review_items.remaining(engine, filters)


def counts(engine: Engine) -> dict[str, int]:
    """Open items by reason, or `LINKED`. It reads every open item: keep it for a minute."""
    return review_items.counts(engine)


def take(engine: Engine, filters: Filters, author: str) -> Item | None:
    """Give a person the next item, for `LEASE_MINUTES`: the one that they have already, if it meets
    the filters; else the first that nobody has. None where there is none."""
    return review_items.take(engine, filters, author, minutes=LEASE_MINUTES)


def lease(engine: Engine, affiliation_id: int, author: str) -> bool:
    """Give a person this item, as when they open its address; False where somebody else has it or
    they may not decide about it."""
    return review_items.lease(engine, affiliation_id, author, minutes=LEASE_MINUTES)


def renew(engine: Engine, affiliation_id: int, author: str) -> bool:
    """Prolong a lease by `LEASE_MINUTES` from now; False where the person has it no more."""
    return review_items.renew(engine, affiliation_id, author, minutes=LEASE_MINUTES)


def release(engine: Engine, affiliation_id: int, author: str) -> None:
    """End a lease of this person."""
    review_items.release(engine, affiliation_id, author)


def upcoming(engine: Engine, filters: Filters, author: str, count: int) -> list[Upcoming]:
    """The next items that `take` would give this person, for reading ahead; leases nothing."""
    return review_items.upcoming(engine, filters, author, count)


def item(engine: Engine, affiliation_id: int) -> ItemDetails | None:
    """An item and what is known of its text; None where there is none."""
    with transaction(engine) as connection:
        items = review_items.find(connection, [affiliation_id])
        if not items:
            return None
        hashed = text_hash(items[0].text)
        return ItemDetails(
            item=items[0],
            examples=tuple(
                RecordExample(*row)
                for row in review_items.examples(connection, affiliation_id, limit=EXAMPLES)
            ),
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


# Deciding


def decide(engine: Engine, choice: Choice) -> Decided | Late:
    """Save a decision about an item and those similar ones that were ticked, in one transaction.

    About a similar item it is the same change: the organisations that the person added to the
    answer shown are added to the similar one's own, and those that they took away are taken away.

    Raises:
        ReviewError: the choice contradicts itself, or a ROR id, author or note cannot be read.
        DatabaseUnavailable: no answer; send the same choice again.
    """
    choice = _read(choice)
    try:
        return _decided(engine, choice, alone=False)
    except _ChangesOverrides:
        return _decided(engine, choice, alone=True)


class _ChangesOverrides(Exception):
    """Overrides are to change, for which answers may not be stored meanwhile."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be saved about one item."""

    item: Item
    action: Action
    ror_ids: frozenset[str]
    denied: frozenset[str]

    @property
    def changes_overrides(self) -> bool:
        """Whether overrides may be needed: a confirmed answer needs none."""
        if self.item.blind or self.action in {Action.CONFIRM, Action.UNSURE, Action.SKIP}:
            return False
        return self.action is not Action.LACKING or bool(self.denied)


def _read(choice: Choice) -> Choice:
    """The choice as it is stored; `CONFIRM` stands for both ways to name organisations."""
    try:
        ror_ids = tuple(dict.fromkeys(map(read_ror_id, choice.ror_ids)))
        author = remark("author", choice.author, MAX_AUTHOR)
        note = remark("note", choice.note, MAX_NOTE)
    except ValueError as error:
        raise ReviewError(str(error)) from None
    if not author:
        raise ReviewError("author: who decides?")
    action = Action.CONFIRM if choice.action is Action.CHANGE else choice.action
    if action is Action.CONFIRM and not ror_ids:
        raise ReviewError(
            "no organisation is ticked", remedy="tick one, or say that the text names none"
        )
    if action not in {Action.CONFIRM, Action.UNSURE} and ror_ids:
        raise ReviewError(f"organisations are ticked, and the decision is {action.value!r}")
    also = tuple(dict.fromkeys(choice.also)) if action is not Action.SKIP else ()
    return replace(choice, action=action, ror_ids=ror_ids, author=author, note=note, also=also)


def _decided(engine: Engine, choice: Choice, *, alone: bool) -> Decided | Late:
    """As `decide`; `alone` keeps others from changing overrides and from storing answers.

    Raises:
        _ChangesOverrides: this is needed, and `alone` is not set; nothing was saved.
    """
    with transaction(engine) as connection:
        if alone:
            _keep_overrides_and_answers(connection)
        # Locked in one order, so that two people never wait for each other.
        items = {
            item.affiliation_id: item
            for item in review_items.lock(connection, {choice.affiliation_id, *choice.also})
        }
        if saved := review_decisions.of_request(connection, choice.request):
            return _again(connection, saved)
        item = items.get(choice.affiliation_id)
        if item is None:
            return Late(None)
        if late := _late(connection, item, choice):
            return late
        similar = _similar(connection, item, items, choice)
        plan = _plan(item, choice)
        plans = [plan, *(_same_change(plan, other) for other in similar)]
        if not alone and any(plan.changes_overrides for plan in plans):
            raise _ChangesOverrides
        batch = uuid4() if len(plans) > 1 else None
        cluster = text_keys(item.text, linked=False).cluster
        ids = [_save(connection, choice, plan, batch, cluster) for plan in plans]
        if plan.action is Action.LACKING and cluster and not item.blind:
            fields = choice.lacking or _fields(connection, item)
            review_decisions.save_lacking(connection, cluster, fields, author=choice.author)
        due_answers.mark_texts(
            connection,
            sorted(text_hash(plan.item.text) for plan in plans if plan.changes_overrides),
        )
        return Decided(
            ids=tuple(ids),
            actions=tuple(plan.action for plan in plans),
            due=tuple(
                review_items.pending(connection, [plan.item.affiliation_id for plan in plans])
            ),
            left_out=tuple(sorted(set(choice.also) - {plan.item.affiliation_id for plan in plans})),
        )


def _keep_overrides_and_answers(connection: Connection) -> None:
    with driver(connection).cursor() as cursor:
        for lock in (overrides.OVERRIDE_LOCK, SWITCH_LOCK):
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (lock,))


def _again(connection: Connection, saved: Sequence[Decision]) -> Decided:
    """What was returned when these decisions were saved, as far as it is still to be done."""
    ids = [decision.affiliation_id for decision in saved if decision.affiliation_id is not None]
    return Decided(
        ids=tuple(decision.id for decision in saved),
        actions=tuple(decision.action for decision in saved),
        due=tuple(review_items.pending(connection, ids)),
    )


def _late(connection: Connection, item: Item, choice: Choice) -> Late | None:
    if item.lease_by not in {None, choice.author}:
        return Late(item.lease_by)
    standing = _Standing.of(review_decisions.of_text(connection, text_hash(item.text)))
    latest = standing.latest
    if latest is not None and (latest.id > choice.seen or choice.author in item.barred):
        return Late(latest.author)
    return None


def _similar(
    connection: Connection, item: Item, locked: Mapping[int, Item], choice: Choice
) -> list[Item]:
    """The ticked items that are still similar, open and free."""
    if not choice.also or item.blind:
        return []
    known = {
        other.affiliation_id
        for other in review_items.similar(connection, item.affiliation_id, limit=SIMILAR)
    }
    return [
        other
        for other in locked.values()
        if other.affiliation_id in known and other.lease_by in {None, choice.author}
    ]


def _plan(item: Item, choice: Choice) -> _Plan:
    chosen = frozenset(choice.ror_ids)
    action = choice.action
    if action is Action.CONFIRM and chosen != item.ror_ids:
        action = Action.CHANGE
    if action in {Action.UNSURE, Action.SKIP} or item.blind:
        # Whoever does not see the answer takes nothing away from it.
        return _Plan(item, action, chosen, frozenset())
    return _Plan(item, action, chosen, item.ror_ids - chosen)


def _same_change(plan: _Plan, other: Item) -> _Plan:
    """The same change to the answer of a similar item."""
    if plan.action is Action.UNSURE:
        return _Plan(other, plan.action, frozenset(), frozenset())
    named = (other.ror_ids - plan.denied) | (plan.ror_ids - plan.item.ror_ids)
    if named:
        action = Action.CONFIRM if named == other.ror_ids else Action.CHANGE
    else:
        action = Action.LACKING if plan.action is Action.LACKING else Action.NONE
    return _Plan(other, action, named, other.ror_ids - named)


def _save(
    connection: Connection, choice: Choice, plan: _Plan, batch: UUID | None, cluster: bytes
) -> int:
    """Save one decision with its overrides, and settle its item; returns its id."""
    item, blind = plan.item, plan.item.blind
    made, ended = _override(connection, choice, plan) if plan.changes_overrides else ((), ())
    hashed = text_hash(item.text)
    decision_id = review_decisions.add(
        connection,
        NewDecision(
            request=choice.request,
            text_hash=hashed,
            affiliation=item.text,
            policy_id=item.policy_id,
            action=plan.action,
            ror_ids=sorted(plan.ror_ids),
            denied=sorted(plan.denied),
            author=choice.author,
            note=choice.note,
            shown=choice.shown,
            batch=batch,
            seconds=choice.seconds,
            blind=blind,
            cluster=cluster if plan.action is Action.LACKING and cluster else None,
            override_ids=made,
            ended_override_ids=ended,
        ),
    )
    if plan.action is Action.SKIP:
        review_items.settle(
            connection, item.affiliation_id, state=item.state, why=item.why, barred=item.barred
        )
        return decision_id
    standing = _Standing.of(review_decisions.of_text(connection, hashed))
    state, why, barred = standing.settled
    if (
        state is ReviewState.DONE
        and not blind
        and item.why is not Why.DISAGREEMENT
        and is_sampled(choice.request, hashed)
    ):
        state, why, barred = ReviewState.OPEN, Why.SECOND, frozenset({choice.author})
    review_items.settle(connection, item.affiliation_id, state=state, why=why, barred=barred)
    return decision_id


def is_sampled(request: UUID, text_hash: bytes) -> bool:
    """Whether a second person is to look at what this form decides about a text. By the request, so
    that nobody knows beforehand, and the same form always comes to the same."""
    digest = hashlib.blake2b(request.bytes + text_hash, digest_size=8).digest()
    return int.from_bytes(digest) < SECOND_LOOKS * 2**64


def _override(
    connection: Connection, choice: Choice, plan: _Plan
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Make the overrides of a decision and end those that contradict it; returns the ids of
    both."""
    holding = overrides.holding(connection, text_hash(plan.item.text))
    wanted: dict[str | None, Verdict] = {}
    match plan.action:
        case Action.NONE:
            wanted[None] = Verdict.NONE
        case Action.LACKING:
            wanted = dict.fromkeys(plan.denied, Verdict.IS_NOT)
        case _:
            wanted = dict.fromkeys(plan.ror_ids, Verdict.IS)
    affirmed_no_more = [
        override
        for override in holding
        if override.verdict is Verdict.IS and wanted.get(override.ror_id) is not Verdict.IS
    ]
    ended = overrides.end(
        connection,
        [override.id for override in affirmed_no_more if override.id is not None],
        choice.author,
        DIFFERS,
    )
    held = {(override.ror_id, override.verdict) for override in holding}
    added = overrides.add(
        connection,
        [
            Override(None, plan.item.text, ror_id, verdict, choice.author, choice.note)
            for ror_id, verdict in sorted(wanted.items(), key=lambda pair: pair[0] or "")
            if (ror_id, verdict) not in held
        ],
    )
    return added.new, tuple(sorted({*ended, *added.ended}))


@dataclass(frozen=True, slots=True)
class _Standing:
    """What holds of a text: the latest decision, the `first` one, which decides, and the `second`
    one, which was made after it without seeing it."""

    latest: Decision | None
    first: Decision | None
    second: Decision | None

    @classmethod
    def of(cls, decisions: Sequence[Decision]) -> _Standing:
        """Of the decisions about a text, the latest first."""
        holding = [d for d in decisions if not d.ended and d.action is not Action.SKIP]
        first = next((d for d in holding if not d.blind), None)
        second = next((d for d in holding if d.blind and first and d.id > first.id), None)
        return cls(holding[0] if holding else None, first, second)

    @property
    def disputed(self) -> bool:
        if self.first is None or self.second is None:
            return False
        return self.second.action is Action.UNSURE or set(self.first.ror_ids) != set(
            self.second.ror_ids
        )

    @property
    def settled(self) -> tuple[ReviewState, Why, frozenset[str]]:
        """The state of the item, why it is shown, and who may not decide about it."""
        if self.first is None:
            return ReviewState.OPEN, Why.DOUBT, frozenset()
        if self.second is not None and self.disputed:
            both = frozenset({self.first.author, self.second.author})
            return ReviewState.OPEN, Why.DISAGREEMENT, both
        if self.first.action is Action.UNSURE:
            return ReviewState.LATER, Why.DOUBT, frozenset()
        return ReviewState.DONE, Why.DOUBT, frozenset()


# Undoing


def undo(engine: Engine, decision_id: int, author: str, note: str = "undone") -> Undone:
    """End a decision of this person, and those that were saved with it. Its overrides that still
    hold end, and those that it had ended hold again; where another decision has been made about the
    text since, its overrides stay. What was undone before stays so.

    Raises:
        ReviewError: there is no such decision of this person, or its text was deleted.
    """
    with transaction(engine) as connection:
        _keep_overrides_and_answers(connection)
        decision = _own(connection, decision_id, author)
        batch = review_decisions.of_batch(connection, decision)
        review_items.lock(
            connection, [d.affiliation_id for d in batch if d.affiliation_id is not None]
        )
        # As it is now that nobody else can change it.
        decision = _own(connection, decision_id, author)
        ending = [d for d in review_decisions.of_batch(connection, decision) if not d.ended]
        for undone in sorted(ending, key=lambda d: d.id != decision_id):
            _undo(connection, undone, author, note, leased=undone.id == decision_id)
        ids = [d.affiliation_id for d in batch if d.affiliation_id is not None]
        return Undone(
            item=next(iter(review_items.find(connection, [decision.affiliation_id or 0])), None),
            ticks=decision.ror_ids,
            shown=decision.shown,
            decisions=tuple(d.id for d in ending),
            due=tuple(review_items.pending(connection, ids)),
        )


def _own(connection: Connection, decision_id: int, author: str) -> Decision:
    decision = review_decisions.find(connection, decision_id)
    if decision is None or decision.author != author:
        raise ReviewError(f"{author} has made no decision {decision_id}")
    if decision.affiliation is None:
        raise ReviewError("the text of this decision was deleted")
    return decision


def _undo(
    connection: Connection, decision: Decision, author: str, note: str, *, leased: bool
) -> None:
    if decision.affiliation is None:
        return
    hashed = text_hash(decision.affiliation)
    before = _Standing.of(review_decisions.of_text(connection, hashed))
    review_decisions.end(connection, [decision.id], author, note)
    if before.first is not None and before.first.id == decision.id:
        _undo_overrides(connection, decision, author, note)
        due_answers.mark_texts(connection, [hashed])
    if decision.affiliation_id is None:
        return
    standing = _Standing.of(review_decisions.of_text(connection, hashed))
    _, why, barred = standing.settled
    if decision.blind and standing.first is not None and standing.first.id < decision.id:
        why, barred = Why.SECOND, frozenset({standing.first.author})
    elif why is not Why.DISAGREEMENT:
        barred = frozenset()
    review_items.settle(
        connection,
        decision.affiliation_id,
        state=ReviewState.OPEN,
        why=why,
        barred=barred,
        author=author if leased else None,
        minutes=LEASE_MINUTES,
    )


def _undo_overrides(connection: Connection, decision: Decision, author: str, note: str) -> None:
    """End the overrides that a decision made, and make those again that it ended, but for those
    that contradict what holds now, and those of decisions that were undone meanwhile.

    An override that was made again has another id: it is known by what it says and who says it.
    """
    assert decision.affiliation is not None
    hashed = text_hash(decision.affiliation)
    made = _said(connection, decision.override_ids)
    overrides.end(
        connection,
        [
            held.id
            for held in overrides.holding(connection, hashed)
            if held.id is not None and (held.ror_id, held.verdict, held.author) in made
        ],
        author,
        note,
    )
    others = review_decisions.of_text(connection, hashed)
    undone = _said(connection, [id for d in others if d.ended for id in d.override_ids])
    undone -= _said(connection, [id for d in others if not d.ended for id in d.override_ids])
    holding = overrides.holding(connection, hashed)
    overrides.add(
        connection,
        [
            replace(ended, id=None, affiliation=decision.affiliation, created_at=None, ended=None)
            for ended in overrides.of_ids(connection, decision.ended_override_ids)
            if (ended.ror_id, ended.verdict, ended.author) not in undone
            and not any(
                held.ror_id == ended.ror_id or exclude(held.verdict, ended.verdict)
                for held in holding
            )
        ],
    )


def _said(connection: Connection, ids: Collection[int]) -> set[tuple[str | None, Verdict, str]]:
    """What these overrides say, and who says it."""
    return {
        (override.ror_id, override.verdict, override.author)
        for override in overrides.of_ids(connection, ids)
    }


def decisions(
    engine: Engine, author: str | None = None, *, limit: int = 50, before: int | None = None
) -> list[Decision]:
    """Decisions of a person, or of all, the latest first; `before` is the id of the one before."""
    return review_decisions.latest(engine, author=author, limit=limit, before=before)


# What comes of decisions


def last_held(engine: Engine, author: str) -> Decision | None:
    """The latest decision of a person that holds: what undo would end."""
    return review_decisions.last_held(engine, author)


def today(engine: Engine, author: str) -> Today:
    """What a person decided today."""
    return Today(*review_decisions.today(engine, author))


def labels(engine: Engine) -> Iterator[Label]:
    """What people decided, one label a text, in the order of the deciding decisions.

    Left out are texts that were skipped, that are disputed, that were deleted, that somebody is
    unsure about without any organisation to be unsure of, and those of an organisation that the
    registry lacked and that are linked since.
    """
    for decision in review_decisions.deciding(engine):
        assert decision.affiliation is not None  # left out there
        if decision.action is not Action.UNSURE:
            yield Label(
                decision.affiliation, decision.ror_ids, decision.denied, (), decision.author
            )
        elif maybe := tuple(dict.fromkeys((*decision.ror_ids, *_candidates(decision)))):
            yield Label(decision.affiliation, (), (), maybe, decision.author)


def _candidates(decision: Decision) -> Iterator[str]:
    """The organisations that a person saw."""
    candidates = decision.shown.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        ror_id = candidate.get("ror_id") if isinstance(candidate, dict) else None
        if isinstance(ror_id, str):
            yield ror_id


def figures(engine: Engine, *, days: int = 30) -> Figures:
    """The figures of the state page; `days` of pace. It reads every item: keep it for a minute."""
    stock = review_items.stock(engine)
    linked = [count for count in stock if count.reason is None]
    effects = review_items.release_effects(engine)
    return Figures(
        texts=sum(count.items for count in stock),
        linked=sum(count.items for count in linked),
        records=sum(count.records for count in stock),
        linked_records=sum(count.records for count in linked),
        reasons={count.reason: count.items for count in stock if count.reason is not None},
        histogram=review_items.histogram(engine, bins=BINS),
        release=ReleaseEffects(*effects) if effects else None,
        pace=tuple(Pace(*row) for row in review_decisions.pace(engine, days=days)),
        remaining=remaining(engine, Filters()),
        agreement=review_decisions.agreement(engine),
        override_problems=tuple(overrides.problems(engine)),
    )


# Organisations that the registry lacks

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
        return _fields(connection, items[0])


def _fields(connection: Connection, item: Item) -> dict[str, str]:
    cluster = text_keys(item.text, linked=False).cluster
    if saved := review_decisions.lacking(connection, cluster=cluster):
        return dict(saved[0].fields)
    writings = review_items.writings(connection, cluster, limit=SIMILAR)
    rows = {
        writing.text: Unmatched(
            writing.text, writing.reason or "", writing.records, writing.sources,
            writing.external_ids,
        )
        for writing in writings
    }  # fmt: skip
    examples = review_items.examples(connection, item.affiliation_id, limit=EXAMPLES)
    rows.setdefault(
        item.text,
        Unmatched(
            item.text, item.reason or "", item.records, item.sources,
            tuple(external_id for _, external_id, _ in examples),
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


# Filling the queue


def text_keys(affiliation: Affiliation | str, *, linked: bool) -> TextKeys:
    """What an item is found by. Only what is not `linked` has a cluster: that of the others is
    empty, since it takes the longest."""
    if isinstance(affiliation, str):
        affiliation = Affiliation.stored(affiliation)
    if not 0 < len(affiliation.text) <= MAX_CHARACTERS:
        return TextKeys((), None, b"")
    words = tuple(dict.fromkeys(affiliation.units))
    if linked:
        return TextKeys(words, named_country(affiliation), b"")
    name = unmatched_name(affiliation.text)
    key = f"{name.key}\n{name.country or ''}".encode(errors="replace")
    return TextKeys(words, name.country, hashlib.blake2b(key, digest_size=16).digest())


def rebuild(
    engine: Engine,
    *,
    anew: bool = False,
    batch: int = 2_000,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Make the items of all stored answers again; returns how many texts have one.

    Leases, decisions and second looks stay. Words, country and cluster of a text are worked out
    where its item has none, or `anew` for all. `progress` gets (texts done, texts). One transaction
    a batch: it may be stopped, and done again, at any time.
    """
    total = review_items.answered_count(engine)
    done = after = 0
    while rows := review_items.answered(engine, after=after, limit=batch, anew=anew):
        keys = {
            affiliation_id: stored or text_keys(affiliation, linked=False)
            for affiliation_id, affiliation, stored in rows
        }
        with transaction(engine) as connection, driver(connection).cursor() as cursor:
            review_items.put(cursor, keys)
        done += len(rows)
        after = rows[-1][0]
        if progress:
            progress(done, max(done, total))
    return done
