from __future__ import annotations

import pytest
from sqlalchemy import Engine
from support.deciding import WRONG, choice, decided, holding, labelled
from support.reviewing import ETH, GRAZ, OXFORD, PARIS

from resolver.curation import review
from resolver.curation.review import Action, ReviewError, ReviewState, undo
from resolver.database import overrides
from resolver.database.connection import transaction
from resolver.matching.override import Override, Verdict


def test_undo_gives_back_overrides_and_the_item(engine: Engine, texts: dict[str, int]) -> None:
    of = texts[WRONG]
    before = Override(None, WRONG, OXFORD, Verdict.IS, "bob", "I asked them")
    with transaction(engine) as connection:
        overrides.add(connection, [before])
    shown = {"candidates": [{"ror_id": GRAZ, "probability": 0.9, "ticked": True}]}
    (made,) = decided(engine, choice(engine, of, Action.CHANGE, GRAZ, shown=shown)).ids
    assert holding(engine, WRONG) == {(GRAZ, "is")}
    with pytest.raises(ReviewError, match="bob has made no decision"):
        undo(engine, made, "bob")
    undone = undo(engine, made, "ada")
    assert (undone.ticks, undone.shown, undone.decisions) == ((GRAZ,), shown, (made,))
    assert undone.item is not None
    assert (undone.item.state, undone.item.lease_by) == (ReviewState.OPEN, "ada")
    (restored,) = overrides.applying(engine, [WRONG])[WRONG]
    assert (restored.ror_id, restored.author, restored.note) == (OXFORD, "bob", "I asked them")
    assert len(overrides.history(engine, WRONG)) == 3
    # A second time there is nothing to undo, and nothing is lost.
    assert undo(engine, made, "ada").decisions == ()
    assert holding(engine, WRONG) == {(OXFORD, "is")}
    (kept,) = review.decisions(engine, "ada")
    assert kept.ended is not None
    assert kept.ended.author == "ada"
    assert labelled(engine) == {}


def test_undo_leaves_what_was_decided_since(engine: Engine, texts: dict[str, int]) -> None:
    of = texts[WRONG]
    (first,) = decided(engine, choice(engine, of, Action.CHANGE, GRAZ)).ids
    (second,) = decided(engine, choice(engine, of, Action.CHANGE, OXFORD, author="bob")).ids
    undo(engine, first, "ada")
    assert holding(engine, WRONG) == {(OXFORD, "is")}
    assert labelled(engine)[WRONG][0] == [OXFORD]
    undo(engine, second, "bob")
    # Not the first one's, which was undone.
    assert holding(engine, WRONG) == set()


def test_undo_in_the_order_back_gives_all_back(engine: Engine, texts: dict[str, int]) -> None:
    of = texts[WRONG]
    made = [
        decided(engine, choice(engine, of, action, *ids)).ids[0]
        for action, ids in (
            (Action.CHANGE, (GRAZ,)), (Action.NONE, ()), (Action.CHANGE, (OXFORD, PARIS)),
            (Action.LACKING, ()), (Action.CONFIRM, (GRAZ, ETH)),
        )
    ]  # fmt: skip
    expected = [
        set(), {(GRAZ, "is")}, {(None, "none")}, {(OXFORD, "is"), (PARIS, "is")},
        {(ETH, "is not"), (GRAZ, "is not")},
    ]  # fmt: skip
    for decision, before in reversed(list(zip(made, expected, strict=True))):
        undo(engine, decision, "ada")
        assert holding(engine, WRONG) == before
