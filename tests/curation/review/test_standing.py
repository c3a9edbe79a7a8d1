"""What two decisions about a text come to, the second made without seeing the first."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine
from support.deciding import WRONG, choice, decided, holding, labelled, state
from support.reviewing import GRAZ, OXFORD, PARIS, answer

from resolver.curation import review
from resolver.curation.review import Action, Filters, ReviewState, Why, take, undo


def second_look(engine: Engine, of: int, *second: str) -> None:
    """Ada decides for Graz, and Bob without seeing it."""
    decided(engine, choice(engine, of, Action.CHANGE, GRAZ, second=True))
    assert state(engine, of) == (ReviewState.OPEN, Why.SECOND, {"ada"})
    assert take(engine, Filters(why=Why.SECOND), "ada") is None
    found = take(engine, Filters(why=Why.SECOND), "bob")
    assert found is not None
    assert found.blind
    action = Action.CHANGE if second else Action.NONE
    decided(engine, choice(engine, of, action, *second, author="bob"))
    assert holding(engine, WRONG) == {(GRAZ, "is")}


def test_two_who_agree(engine: Engine, texts: dict[str, int]) -> None:
    second_look(engine, texts[WRONG], GRAZ)
    assert state(engine, texts[WRONG])[0] is ReviewState.DONE
    assert review.figures(engine).agreement == (1, 1)
    assert labelled(engine)[WRONG][0] == [GRAZ]


@pytest.mark.parametrize("second", [(OXFORD,), (GRAZ, OXFORD), ()])
def test_two_who_disagree_leave_it_to_a_third(
    engine: Engine, version: int, texts: dict[str, int], second: tuple[str, ...]
) -> None:
    of = texts[WRONG]
    second_look(engine, of, *second)
    disputed = (ReviewState.OPEN, Why.DISAGREEMENT, {"ada", "bob"})
    assert state(engine, of) == disputed
    assert WRONG not in labelled(engine)
    assert review.figures(engine).agreement == (0, 1)
    # The answer that follows from the first decision does not end the dispute.
    answer(engine, version, {WRONG: {GRAZ: 1.0}})
    assert state(engine, of) == disputed
    for author in ("ada", "bob"):
        assert take(engine, Filters(why=Why.DISAGREEMENT), author) is None
    found = take(engine, Filters(why=Why.DISAGREEMENT), "cy")
    assert found is not None
    assert not found.blind
    (third,) = decided(engine, choice(engine, of, Action.CHANGE, PARIS, author="cy")).ids
    assert state(engine, of)[0] is ReviewState.DONE
    assert holding(engine, WRONG) == {(PARIS, "is")}
    assert labelled(engine)[WRONG][0] == [PARIS]
    undo(engine, third, "cy")
    assert state(engine, of) == disputed
    assert holding(engine, WRONG) == {(GRAZ, "is")}


def test_a_blind_decision_is_undone_to_a_blind_one(engine: Engine, texts: dict[str, int]) -> None:
    of = texts[WRONG]
    second_look(engine, of, OXFORD)
    blind = review.decisions(engine, "bob")[0]
    assert blind.blind
    undo(engine, blind.id, "bob")
    assert state(engine, of) == (ReviewState.OPEN, Why.SECOND, {"ada"})
    assert labelled(engine)[WRONG][0] == [GRAZ]
