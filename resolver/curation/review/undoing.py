"""Decisions are undone, with the overrides that they made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resolver.curation.review.standing import Standing
from resolver.database import due_answers, overrides, review_decisions, review_items
from resolver.database.connection import transaction
from resolver.database.review_decisions import Decision
from resolver.database.review_items import Item
from resolver.database.tables import ReviewState, Why
from resolver.errors import ReviewError
from resolver.matching.override import Verdict, exclude
from resolver.text.affiliation import text_hash

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


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


def undo(engine: Engine, decision_id: int, author: str, note: str = "undone") -> Undone:
    """End a decision of this person, and those that were saved with it. Its overrides that still
    hold end, and those that it had ended hold again; where another decision has been made about the
    text since, its overrides stay. What was undone before stays so.

    Raises:
        ReviewError: there is no such decision of this person, or its text was deleted.
    """
    with transaction(engine) as connection:
        overrides.lock_with_answers(connection)
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
    before = Standing.of(review_decisions.of_text(connection, hashed))
    review_decisions.end(connection, [decision.id], author, note)
    if before.first is not None and before.first.id == decision.id:
        _undo_overrides(connection, decision, author, note)
        due_answers.mark_texts(connection, [hashed])
    if decision.affiliation_id is None:
        return
    standing = Standing.of(review_decisions.of_text(connection, hashed))
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
    )


def _undo_overrides(connection: Connection, decision: Decision, author: str, note: str) -> None:
    """End the overrides that a decision made, and make those again that it ended, but for those
    that contradict what holds now, and those of decisions that were undone meanwhile.

    An override that was made again has another id: it is known by what it says and who says it.
    """
    assert decision.affiliation is not None
    hashed = text_hash(decision.affiliation)
    made = _statements(connection, decision.override_ids)
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
    undone = _statements(connection, [id for d in others if d.ended for id in d.override_ids])
    undone -= _statements(connection, [id for d in others if not d.ended for id in d.override_ids])
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


def _statements(
    connection: Connection, ids: Collection[int]
) -> set[tuple[str | None, Verdict, str]]:
    """What these overrides say, and who says it."""
    return {
        (override.ror_id, override.verdict, override.author)
        for override in overrides.of_ids(connection, ids)
    }
