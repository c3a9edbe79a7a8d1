"""Decisions about items, with the overrides that they make."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from resolver.curation.review.choice import Choice, read
from resolver.curation.review.items import SIMILAR
from resolver.curation.review.keys import text_keys
from resolver.curation.review.lacking_organisations import filled_in
from resolver.curation.review.standing import Standing
from resolver.database import due_answers, overrides, review_decisions, review_items
from resolver.database.connection import transaction
from resolver.database.review_decisions import Decision, NewDecision
from resolver.database.review_items import Item
from resolver.database.tables import Action, ReviewState, Why
from resolver.matching.override import Override, Verdict
from resolver.text.affiliation import text_hash

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SECOND_LOOKS = 0.03
"""The share of decisions that a second person makes again without seeing the first."""

DIFFERS = "decided otherwise in a review"
"""The note at the end of an override that a decision contradicts."""


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


def decide(engine: Engine, choice: Choice) -> Decided | Late:
    """Save a decision about an item and those similar ones that were ticked, in one transaction.

    About a similar item it is the same change: the organisations that the person added to the
    answer shown are added to the similar one's own, and those that they took away are taken away.

    Raises:
        ReviewError: the choice contradicts itself, or a ROR id, author or note cannot be read.
        DatabaseUnavailable: no answer; send the same choice again.
    """
    choice = read(choice)
    try:
        return _decided(engine, choice, alone=False)
    except _ChangesOverrides:
        return _decided(engine, choice, alone=True)


def is_sampled(request: UUID, text_hash: bytes) -> bool:
    """Whether a second person is to look at what this form decides about a text. By the request, so
    that nobody knows beforehand, and the same form always comes to the same."""
    digest = hashlib.blake2b(request.bytes + text_hash, digest_size=8).digest()
    return int.from_bytes(digest) < SECOND_LOOKS * 2**64


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


def _decided(engine: Engine, choice: Choice, *, alone: bool) -> Decided | Late:
    """As `decide`; `alone` keeps others from changing overrides and from storing answers.

    Raises:
        _ChangesOverrides: this is needed, and `alone` is not set; nothing was saved.
    """
    with transaction(engine) as connection:
        if alone:
            overrides.lock_with_answers(connection)
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
            fields = choice.lacking or filled_in(connection, item)
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
    standing = Standing.of(review_decisions.of_text(connection, text_hash(item.text)))
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
    standing = Standing.of(review_decisions.of_text(connection, hashed))
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
