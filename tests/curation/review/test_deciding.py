"""Decisions about stored answers: what they leave, together and against each other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from uuid import UUID

import pytest
from sqlalchemy import Engine, event, text
from support.deciding import (
    KELMAR,
    OTHER_KELMAR,
    WRONG,
    choice,
    decided,
    holding,
    labelled,
    state,
    stored,
)
from support.reviewing import ETH, GRAZ, NOT_THERE, OXFORD, PARIS, Answer, answer, new_version

from resolver.curation import review
from resolver.curation.review import (
    Action,
    Decided,
    Filters,
    Late,
    ReviewState,
    Why,
    decide,
    item,
    take,
    undo,
)
from resolver.curation.review.deciding import is_sampled
from resolver.database import overrides
from resolver.database.connection import connect, transaction
from resolver.errors import DatabaseUnavailable
from resolver.matching.outcome import Reason
from resolver.matching.override import Override, Verdict

# What each decision does


@pytest.mark.parametrize(
    ("affiliation", "action", "ror_ids", "saved", "made", "after", "label"),
    [
        pytest.param(
            WRONG, Action.CHANGE, (GRAZ, OXFORD), Action.CHANGE,
            {(GRAZ, "is"), (OXFORD, "is")}, ReviewState.DONE, ([GRAZ, OXFORD], [ETH], []),
            id="one added, one taken away",
        ),
        pytest.param(
            WRONG, Action.CHANGE, (ETH, GRAZ), Action.CONFIRM,
            set(), ReviewState.DONE, ([GRAZ, ETH], [], []),
            id="the same organisations are a label and no override",
        ),
        pytest.param(
            "ETH, Zurich", Action.CONFIRM, (OXFORD,), Action.CHANGE,
            {(OXFORD, "is")}, ReviewState.DONE, ([OXFORD], [ETH], []),
            id="others are a change whatever the button says",
        ),
        pytest.param(
            WRONG, Action.NONE, (), Action.NONE,
            {(None, "none")}, ReviewState.DONE, ([], [GRAZ, ETH], []), id="names none",
        ),
        pytest.param(
            KELMAR, Action.NONE, (), Action.NONE,
            {(None, "none")}, ReviewState.DONE, ([], [], []), id="names none, not linked",
        ),
        pytest.param(
            KELMAR, Action.LACKING, (), Action.LACKING,
            set(), ReviewState.DONE, ([], [], []), id="the registry lacks it",
        ),
        pytest.param(
            "ETH, Zurich", Action.LACKING, (), Action.LACKING,
            {(ETH, "is not")}, ReviewState.DONE, ([], [ETH], []),
            id="the registry lacks it, and it is linked to another",
        ),
        pytest.param(
            "ETH, Zurich", Action.UNSURE, (OXFORD,), Action.UNSURE,
            set(), ReviewState.LATER, ([], [], [OXFORD, ETH]), id="unsure",
        ),
        pytest.param(
            "ETH, Zurich", Action.SKIP, (), Action.SKIP,
            set(), ReviewState.OPEN, None, id="skip",
        ),
    ],
)  # fmt: skip
def test_what_a_decision_leaves(
    engine: Engine,
    version: int,
    texts: dict[str, int],
    affiliation: str,
    action: Action,
    ror_ids: tuple[str, ...],
    saved: Action,
    made: set[tuple[str | None, str]],
    after: ReviewState,
    label: tuple[list[str], list[str], list[str]] | None,
) -> None:
    of = texts[affiliation]
    take(engine, Filters(), "ada")
    shown = {"candidates": [{"ror_id": ETH, "probability": 0.7, "ticked": True}]}
    result = decided(engine, choice(engine, of, action, *ror_ids, shown=shown, note="their site"))
    assert result.actions == (saved,)
    assert holding(engine, affiliation) == made
    # What is to be given again is due, and shown as pending until it was.
    assert result.due == (((of, 1),) if made else ())
    found = item(engine, of)
    assert found is not None
    assert found.pending is bool(made)
    assert found.item.state is after
    assert found.item.lease_by is None
    (decision,) = found.decisions
    assert (decision.action, decision.author, decision.note) == (saved, "ada", "their site")
    assert decision.shown == shown
    assert labelled(engine) == ({} if label is None else {affiliation: tuple(map(sorted, label))})


def test_a_change_ends_what_contradicts_it(engine: Engine, texts: dict[str, int]) -> None:
    with transaction(engine) as connection:
        overrides.add(
            connection,
            [
                Override(None, WRONG, OXFORD, Verdict.IS, "bob", "mine"),
                Override(None, WRONG, GRAZ, Verdict.IS, "bob", "mine"),
                Override(None, WRONG, PARIS, Verdict.IS_NOT, "bob"),
            ],
        )
    decided(engine, choice(engine, texts[WRONG], Action.CHANGE, GRAZ, PARIS))
    assert holding(engine, WRONG) == {(GRAZ, "is"), (PARIS, "is")}
    # What holds already stays as its author made it.
    (kept,) = (o for o in overrides.applying(engine, [WRONG])[WRONG] if o.ror_id == GRAZ)
    assert kept.author == "bob"
    decided(engine, choice(engine, texts[WRONG], Action.NONE))
    assert holding(engine, WRONG) == {(None, "none")}
    decided(engine, choice(engine, texts[WRONG], Action.CHANGE, OXFORD))
    assert holding(engine, WRONG) == {(OXFORD, "is")}


def test_a_skipped_item_is_for_others(engine: Engine, texts: dict[str, int]) -> None:
    first = take(engine, Filters(), "ada")
    assert first is not None
    decided(engine, choice(engine, first.affiliation_id, Action.SKIP))
    next_one = take(engine, Filters(), "ada")
    assert next_one is not None
    assert next_one.affiliation_id != first.affiliation_id
    others = take(engine, Filters(), "bob")
    assert others is not None
    assert others.affiliation_id == first.affiliation_id


# When the answer is given again


def test_the_item_is_done_when_the_answer_follows(
    engine: Engine, version: int, texts: dict[str, int]
) -> None:
    of = texts[WRONG]
    decided(engine, choice(engine, of, Action.CHANGE, GRAZ, OXFORD))
    answer(engine, version, {WRONG: {GRAZ: 1.0, OXFORD: 1.0}})
    assert state(engine, of) == (ReviewState.DONE, Why.DOUBT, set())
    found = item(engine, of)
    assert found is not None
    assert not found.pending


@pytest.mark.parametrize(
    ("action", "ror_ids", "affiliation", "later"),
    [
        (Action.CONFIRM, (ETH,), "ETH, Zurich", {ETH: 0.9}),
        (Action.CONFIRM, (ETH,), "ETH, Zurich", {OXFORD: 0.9}),
        (Action.CONFIRM, (ETH,), "ETH, Zurich", NOT_THERE),
        (Action.LACKING, (), KELMAR, Reason.BELOW_THRESHOLD),
        (Action.LACKING, (), KELMAR, {GRAZ: 0.9}),
    ],
)
def test_an_item_comes_back_when_its_answer_differs_from_the_decision(
    engine: Engine,
    version: int,
    texts: dict[str, int],
    action: Action,
    ror_ids: tuple[str, ...],
    affiliation: str,
    later: Answer,
) -> None:
    of = texts[affiliation]
    decided(engine, choice(engine, of, action, *ror_ids))
    answer(engine, new_version(engine, "v2.10"), {affiliation: later})
    differs = set(ror_ids) != (set() if isinstance(later, Reason) else set(later))
    expected = (ReviewState.OPEN, Why.RELEASE) if differs else (ReviewState.DONE, Why.DOUBT)
    assert state(engine, of)[:2] == expected
    # What the registry lacked is no label any more when it has it.
    assert (affiliation in labelled(engine)) is (action is Action.CONFIRM or not differs)


# Sent twice, late, broken off


def test_a_form_that_is_sent_twice_is_saved_once(engine: Engine, texts: dict[str, int]) -> None:
    made = choice(engine, texts[WRONG], Action.CHANGE, GRAZ)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: decide(engine, made), range(8)))
    assert len(set(results)) == 1
    assert isinstance(results[0], Decided)
    assert len(stored(engine)["review_decision"]) == 1
    assert len(stored(engine)["link_override"]) == 1


@pytest.mark.parametrize("how", ["decided", "leased", "second look", "gone"])
def test_who_is_late_saves_nothing(
    engine: Engine, version: int, texts: dict[str, int], how: str
) -> None:
    of = texts[WRONG]
    mine = choice(engine, of, Action.CHANGE, GRAZ)
    if how == "decided":
        decided(engine, choice(engine, of, Action.NONE, author="bob"))
    elif how == "leased":
        assert review.lease(engine, of, "bob")
    elif how == "second look":
        decided(engine, choice(engine, of, Action.NONE, author="bob", second=True))
    else:
        with transaction(engine) as connection:
            connection.execute(text("DELETE FROM review_item"))
    before = stored(engine)
    assert decide(engine, mine) == Late(None if how == "gone" else "bob")
    assert stored(engine) == before


def test_a_lease_that_expired_is_no_reason_to_lose_a_decision(
    engine: Engine, texts: dict[str, int]
) -> None:
    of = texts[WRONG]
    review.lease(engine, of, "ada")
    mine = choice(engine, of, Action.CHANGE, GRAZ)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE review_item SET lease_until = now() - interval '1 h'"))
    decided(engine, mine)


def test_two_people_never_get_the_same_item(engine: Engine, version: int) -> None:
    answer(engine, version, {f"Laboratory {n}, ETH": {ETH: 0.5 + n / 1_000} for n in range(120)})
    made: list[int] = []

    def work(author: str) -> None:
        while found := take(engine, Filters(), author):
            made.append(found.affiliation_id)
            if len(made) % 3:
                decided(engine, choice(engine, found.affiliation_id, Action.NONE, author=author))
            else:
                decided(
                    engine, choice(engine, found.affiliation_id, Action.CONFIRM, ETH, author=author)
                )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, ["ada", "bob", "cy", "dee"]))
    assert len(made) == len(set(made)) == 120
    assert len(stored(engine)["review_decision"]) == 120


STATEMENTS = range(40)


def test_a_session_that_dies_between_statements_leaves_nothing(
    engine: Engine, database_url: str, texts: dict[str, int]
) -> None:
    """The server ends the session before each statement of a decision in turn."""
    made = choice(engine, texts[KELMAR], Action.CHANGE, GRAZ, also=(texts[OTHER_KELMAR],))
    before = stored(engine)
    for fatal in STATEMENTS:
        victim = connect(database_url)
        statements = count()

        def kill(
            connection: object, cursor: object, statement: str, *_: object,
            fatal: int = fatal, statements: Iterator[int] = statements,
        ) -> None:  # fmt: skip
            if next(statements) == fatal:
                pid = cursor.connection.info.backend_pid  # type: ignore[attr-defined]
                with transaction(engine) as killing:
                    killing.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

        event.listen(victim, "before_cursor_execute", kill)
        try:
            decide(victim, made)
        except DatabaseUnavailable:
            assert stored(engine) == before, fatal
        else:
            break
        finally:
            victim.dispose()
    assert fatal > 10
    # Sent again, it is saved.
    assert len(stored(engine)["review_decision"]) == 2


# Similar items


def test_the_same_change_is_made_to_similar_items(
    engine: Engine, version: int, texts: dict[str, int]
) -> None:
    other = answer(engine, version, {"Paris and Graz": {PARIS: 0.9, ETH: 0.5}})["Paris and Graz"]
    result = decided(
        engine, choice(engine, texts[WRONG], Action.CHANGE, GRAZ, OXFORD, also=(other,))
    )
    assert result.actions == (Action.CHANGE, Action.CHANGE)
    assert holding(engine, "Paris and Graz") == {(PARIS, "is"), (OXFORD, "is")}
    assert set(result.due) == {(texts[WRONG], 1), (other, 1)}
    undone = undo(engine, result.ids[1], "ada")
    assert undone.item is not None
    assert undone.item.affiliation_id == other
    assert len(undone.decisions) == 2
    assert not holding(engine, WRONG)
    assert not holding(engine, "Paris and Graz")


def test_similar_items_that_others_have_are_left_out(engine: Engine, texts: dict[str, int]) -> None:
    review.lease(engine, texts[OTHER_KELMAR], "bob")
    made = choice(
        engine, texts[KELMAR], Action.LACKING, also=(texts[OTHER_KELMAR], texts["ETH, Zurich"])
    )
    result = decided(engine, made)
    assert len(result.ids) == 1
    assert set(result.left_out) == {texts[OTHER_KELMAR], texts["ETH, Zurich"]}
    assert state(engine, texts[OTHER_KELMAR])[0] is ReviewState.OPEN


# Second looks


def test_about_three_in_a_hundred_are_looked_at_again() -> None:
    drawn = sum(is_sampled(UUID(int=n), b"text") for n in range(20_000))
    assert 500 < drawn < 700
