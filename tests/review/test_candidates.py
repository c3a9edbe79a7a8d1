"""What the page shows of an answer: pieces of the string, candidates, what is hidden."""

from __future__ import annotations

import pytest
from support.judgements import TORONTO, YORK, judged, scored

from resolver.doors.matching import Answered
from resolver.matching.decision import Scored
from resolver.matching.policy import Policy
from resolver.registry.organisation import (
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)
from resolver.review.candidates import (
    ALWAYS_SHOWN,
    EVIDENCE,
    MOST_CANDIDATES,
    Shown,
    organisations_of,
    shown,
)

TEXT = "Dept. of Sociology, University of York, York, United Kingdom"


def answered(text: str, *candidates: Scored) -> Answered:
    return Answered(text, judged(text, *candidates), Policy(), 1, 1, "v1")


def shown_of(text: str, *candidates: Scored, ticked: tuple[str, ...] = (), **how: object) -> Shown:
    return shown(text, answered(text, *candidates), {}, ticked, **how)  # type: ignore[arg-type]


def test_the_pieces_are_the_string() -> None:
    answer = shown_of(TEXT, YORK, TORONTO, ticked=(YORK.ror_id,))
    assert "".join(piece.text for piece in answer.pieces) == TEXT
    linked = [piece for piece in answer.pieces if piece.linked]
    assert "".join(piece.text for piece in linked) == "University of York"
    assert linked[-1].ends == (1,)
    assert all(1 in piece.candidates for piece in linked)
    assert {piece.kind for piece in answer.pieces} >= {"organisation", "unit", "place"}


def test_candidates_say_what_speaks_for_and_against_them() -> None:
    york, toronto = shown_of(TEXT, YORK, TORONTO, ticked=(YORK.ror_id,)).candidates
    assert (york.number, york.ticked, york.linked, york.why_not) == (1, True, True, "")
    assert (york.city_named, york.country_named, york.other_country_named) == (True, True, False)
    assert york.words == "University of York"
    assert (toronto.number, toronto.ticked, toronto.linked) == (2, False, False)
    assert toronto.other_country_named
    assert toronto.why_not


def test_words_that_are_apart_are_shown_apart() -> None:
    text = "University, Dept. of Sociology, Toronto"
    [candidate] = shown_of(
        text, scored("University of Toronto", 0.3, "Toronto", "CA", 1)
    ).candidates
    assert candidate.words == "University … of … Toronto"
    assert candidate.why_not == "not probable enough (links need 0.50)"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("sparse_gap", "the first stage's score by words minus the best of its rivals'"),
        ("dense_gap", "the first stage's score by meaning minus the best of its rivals'"),
        ("city", "the text names the organisation's city"),
    ],
)
def test_evidence_is_described_in_words_that_stand_alone(kind: str, words: str) -> None:
    assert EVIDENCE[kind] == words


MANY = [scored(f"University of Town {n}", 0.4 / 2**n, "York", "GB", n + 1) for n in range(14)]


def test_most_candidates_and_those_that_are_improbable() -> None:
    answer = shown_of("University of Town", *MANY)
    assert [c.number for c in answer.candidates] == list(range(1, MOST_CANDIDATES + 1))
    assert len(answer.near) >= ALWAYS_SHOWN
    assert [*answer.near, *answer.far] == list(answer.candidates)
    assert answer.far


def test_all_that_are_ticked_are_shown() -> None:
    ids = tuple(candidate.ror_id for candidate in MANY[2:])
    answer = shown_of("University of Town", *MANY, ticked=ids)
    assert {c.ror_id for c in answer.candidates if c.ticked} == set(ids)


def test_what_was_seen_before_comes_first() -> None:
    before = [MANY[3].ror_id, "05gqaka33", MANY[0].ror_id]
    answer = shown_of("University of Town", *MANY, before=before)
    assert [c.ror_id for c in answer.candidates[:3]] == before
    assert answer.candidates[1].name == "05gqaka33"


def test_a_blind_look_shows_nothing_of_the_answer() -> None:
    answer = shown_of(TEXT, YORK, TORONTO, blind=True)
    assert [c.name for c in answer.candidates] == ["University of York", "York University"]
    for candidate in answer.candidates:
        assert candidate.probability is None
        assert not candidate.linked
        assert not candidate.why_not
        assert candidate.weighed == ()
    assert not any(piece.linked or piece.ends for piece in answer.pieces)
    assert (answer.reason, answer.why, answer.advice) == (None, "", "")


@pytest.mark.parametrize(
    ("candidates", "reason", "advice"),
    [
        ([scored("York University", 0.3, "Toronto", "CA", 1)], "below_threshold", "(0.30)"),
        ([scored("York University", 0.001, "Toronto", "CA", 1)], "not_in_registry", ""),
        ([], "not_in_registry", ""),
    ],
)
def test_why_there_is_no_link(candidates: list[Scored], reason: str, advice: str) -> None:
    answer = shown_of("York University", *candidates)
    assert answer.reason == reason
    assert answer.why
    assert advice in answer.advice
    assert bool(answer.advice) == bool(advice)


ENDED = Organisation(
    YORK.ror_id,
    OrganisationStatus.INACTIVE,
    (
        Name("The University of York", frozenset({NameKind.DISPLAY})),
        Name("UoY", frozenset({NameKind.ACRONYM})),
    ),
    types=("education",),
    places=(Place("GB", "United Kingdom", "York"),),
    relations=(
        Relation(RelationKind.PARENT, "a", "White Rose"),
        Relation(RelationKind.SUCCESSOR, "b", "New York"),
    ),
    websites=("javascript:alert(1)", "https://york.example"),
)


def test_what_the_registry_says_of_a_candidate() -> None:
    answer = answered(TEXT, YORK)
    assert organisations_of(answer) == {YORK.ror_id}
    [candidate] = shown(TEXT, answer, {YORK.ror_id: ENDED}, [YORK.ror_id]).candidates
    assert candidate.name == "The University of York"
    assert candidate.matched_name == "University of York"
    assert candidate.status == "inactive"
    assert [relation.label for relation in candidate.successors] == ["New York"]
    assert candidate.parents == ["White Rose"]
    assert candidate.acronyms == ["UoY"]
    assert (candidate.city, candidate.country) == ("York", "United Kingdom")
    assert candidate.website == "https://york.example"
