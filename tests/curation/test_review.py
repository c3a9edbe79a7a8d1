"""Decisions about stored answers: what they leave, together and against each other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import Engine, event, text
from support.reviewing import ETH, GRAZ, OXFORD, PARIS, Answer, answer, new_version, send

from resolver.curation import review
from resolver.curation.review import (
    Action,
    Choice,
    Decided,
    Filters,
    LackingState,
    Late,
    ReviewError,
    ReviewState,
    Why,
    decide,
    is_sampled,
    item,
    take,
    undo,
)
from resolver.database import overrides
from resolver.database.connection import connect, transaction
from resolver.errors import DatabaseUnavailable
from resolver.evaluation.gold import read_gold
from resolver.matching.outcome import Reason
from resolver.matching.override import Override, Verdict
from resolver.text.affiliation import text_hash

NOT_THERE = Reason.NOT_IN_REGISTRY

WRONG = "Graz and Oxford"
"""It is linked to ETH too."""

KELMAR = "Kelmar Technical University, Oslo, Norway"
OTHER_KELMAR = "Dept. of Physics, Kelmar Technical Univ., Oslo, Norway"

TEXTS: dict[str, Answer] = {
    WRONG: {GRAZ: 0.9, ETH: 0.6},
    "ETH, Zurich": {ETH: 0.7},
    KELMAR: NOT_THERE,
    OTHER_KELMAR: NOT_THERE,
}


@pytest.fixture
def version(engine: Engine) -> int:
    return new_version(engine)


@pytest.fixture
def texts(engine: Engine, version: int) -> dict[str, int]:
    return answer(engine, version, TEXTS)


def choice(
    engine: Engine,
    of: int,
    action: Action,
    *ror_ids: str,
    author: str = "ada",
    second: bool = False,
    **options: object,
) -> Choice:
    """What a person sends from the page as it is now; `second` has it looked at again."""
    shown = item(engine, of)
    assert shown is not None
    requests = iter(range(10_000))
    texts = [shown.item.text, *(s.text for s in shown.similar)]
    request = next(
        made
        for number in requests
        if is_sampled(made := UUID(int=uuid4().int ^ number), text_hash(texts[0])) is second
        and not any(is_sampled(made, text_hash(other)) for other in texts[1:])
    )
    return Choice(request, of, action, author, ror_ids, seen=shown.seen, **options)  # type: ignore[arg-type]


def decided(engine: Engine, made: Choice) -> Decided:
    result = decide(engine, made)
    assert isinstance(result, Decided), result
    return result


def holding(engine: Engine, affiliation: str) -> set[tuple[str | None, str]]:
    return {
        (override.ror_id, override.verdict.value)
        for override in overrides.applying(engine, [affiliation]).get(affiliation, [])
    }


def state(engine: Engine, of: int) -> tuple[ReviewState, Why, set[str]]:
    found = item(engine, of)
    assert found is not None
    return found.item.state, found.item.why, set(found.item.barred)


def labelled(engine: Engine) -> dict[str, tuple[list[str], ...]]:
    return {
        label.affiliation: (
            sorted(label.ror_ids),
            sorted(label.ruled_out),
            sorted(label.maybe),
        )
        for label in review.labels(engine)
    }


def stored(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """All that a decision may write."""
    tables = ("review_decision", "link_override", "stale", "review_item", "review_lacking")
    with transaction(engine) as connection:
        return {
            table: [
                tuple(row)
                for row in connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1")
            ]
            for table in tables
        }


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


@pytest.mark.parametrize(
    ("problem", "change"),
    [
        ("no organisation is ticked", {"action": Action.CHANGE}),
        ("organisations are ticked", {"action": Action.NONE, "ror_ids": (ETH,)}),
        ("not a ROR id|ROR id", {"action": Action.CHANGE, "ror_ids": ("x",)}),
        ("author", {"author": " "}),
        ("author", {"author": "a" * 201}),
        ("note", {"note": "a" * 2_001}),
        ("note", {"note": "\x00"}),
    ],
)
def test_a_choice_that_contradicts_itself_is_refused(
    engine: Engine, texts: dict[str, int], problem: str, change: dict[str, object]
) -> None:
    before = stored(engine)
    with pytest.raises(ReviewError, match=problem):
        decide(engine, replace(choice(engine, texts[WRONG], Action.NONE), **change))  # type: ignore[arg-type]
    assert stored(engine) == before


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


# Double, late, broken off


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


# Undoing


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


# Second looks


def test_about_three_in_a_hundred_are_looked_at_again() -> None:
    drawn = sum(is_sampled(UUID(int=n), b"text") for n in range(20_000))
    assert 500 < drawn < 700


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


# Labels


def test_labels_are_read_as_gold(engine: Engine, texts: dict[str, int], tmp_path: Path) -> None:
    decided(engine, choice(engine, texts[WRONG], Action.CHANGE, GRAZ))
    decided(engine, choice(engine, texts[KELMAR], Action.NONE, author="bob"))
    decided(engine, choice(engine, texts["ETH, Zurich"], Action.UNSURE))
    file = tmp_path / "labels.jsonl"
    file.write_bytes(
        b"".join(orjson.dumps(one.as_object()) + b"\n" for one in review.labels(engine))
    )
    gold = {line.affiliation: line for line in read_gold(file)}
    assert gold[WRONG].ror_ids == (GRAZ,)
    assert gold[WRONG].ruled_out == (ETH,)
    assert gold[WRONG].source == "review:ada"
    assert gold[KELMAR].ror_ids == ()
    assert all(line.complete for line in gold.values())
    assert "ETH, Zurich" not in gold  # nobody said what it may be


# The registry lacks it


def test_the_request_is_filled_in_and_kept(engine: Engine, texts: dict[str, int]) -> None:
    fields = review.lacking_fields(engine, texts[KELMAR])
    assert fields["Name of organization"].startswith("Kelmar Technical")
    assert fields["Country"] == "Norway"
    assert not any(affiliation in value for affiliation in TEXTS for value in fields.values())
    fields["Website"] = "https://kelmar.example"
    (made,) = decided(engine, choice(engine, texts[KELMAR], Action.LACKING, lacking=fields)).ids
    (draft,) = review.lacking(engine)
    assert (draft.fields, draft.state, draft.records) == (fields, LackingState.DRAFT, 1)
    assert review.lacking_fields(engine, texts[OTHER_KELMAR]) == fields
    sent = review.update_lacking(
        engine, draft.cluster, "bob", state=LackingState.SENT, ror_issue="https://example.org/1"
    )
    assert (sent.state, sent.author, sent.fields) == (LackingState.SENT, "bob", fields)
    assert review.lacking(engine, LackingState.DRAFT) == []
    with pytest.raises(ReviewError):
        review.update_lacking(engine, b"x", "bob", state=LackingState.SENT)
    undo(engine, made, "ada")
    assert review.lacking(engine) != []  # it was sent


def test_a_draft_goes_with_its_decisions(engine: Engine, texts: dict[str, int]) -> None:
    (made,) = decided(engine, choice(engine, texts[KELMAR], Action.LACKING)).ids
    assert len(review.lacking(engine)) == 1
    undo(engine, made, "ada")
    assert review.lacking(engine) == []


# Figures


def test_figures(engine: Engine, version: int, texts: dict[str, int]) -> None:
    send(engine, version, WRONG, records=3, source="datacite")
    decided(engine, choice(engine, texts[KELMAR], Action.NONE, seconds=4.0))
    figures = review.figures(engine)
    assert (figures.texts, figures.linked) == (4, 2)
    assert (figures.records, figures.linked_records) == (7, 5)
    assert figures.reasons == {NOT_THERE: 2}
    assert sum(figures.histogram) == 3
    assert figures.histogram[18] == figures.histogram[12] == figures.histogram[14] == 1
    (pace,) = figures.pace
    assert (pace.author, pace.decisions, pace.seconds) == ("ada", 1, 4.0)
    assert figures.remaining.items == 3
    assert review.counts(engine) == {review.LINKED: 2, NOT_THERE: 1}
