"""How the statements of an affiliation are joined."""

from __future__ import annotations

import pytest

from resolver.matching import statement
from resolver.matching.candidate import Candidate, Ranked
from resolver.matching.decision import Fate, Scored, decide
from resolver.matching.outcome import Nearest, Reason
from resolver.matching.policy import Policy
from resolver.matching.statement import JudgedStatement
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation

OSLO = ("University of Oslo", "Oslo", "NO", "Norway")
BERGEN = ("University of Bergen", "Bergen", "NO", "Norway")
TURKU = ("University of Turku", "Turku", "FI", "Finland")
TEXT = "University of Oslo, Oslo, Norway; University of Turku, Turku, Finland"


def scored(named: tuple[str, str, str, str], probability: float, score: float = 1.0) -> Scored:
    name, city, code, country = named
    document = Document(name, name, name, False, city, None, code, country)
    return Scored(Candidate(document, Ranked(1, score), None, score), score, probability)


def judged(text: str, *of_each: list[Scored]) -> tuple[Affiliation, list[JudgedStatement]]:
    affiliation = Affiliation.of(text)
    assert len(affiliation.statements) == len(of_each)
    return affiliation, [
        JudgedStatement(stated, [s.candidate for s in its], its, start)
        for (start, stated), its in zip(affiliation.statements, of_each, strict=True)
    ]


def test_links_are_joined_with_positions_in_the_whole_text() -> None:
    affiliation, statements = judged(TEXT, [scored(OSLO, 0.8)], [scored(TURKU, 0.9)])
    outcome = statement.outcome(affiliation, statements, Policy())
    assert outcome.affiliation == TEXT
    assert [(link.name, link.rank) for link in outcome.links] == [
        ("University of Turku", 1),
        ("University of Oslo", 2),
    ]
    for link in outcome.links:
        assert link.evidence is not None
        assert TEXT[link.evidence.start : link.evidence.end] == link.evidence.text == link.name


def test_an_organisation_of_two_statements_is_linked_once() -> None:
    text = "University of Oslo, Oslo, Norway; Institute of X, University of Oslo, Oslo, Norway"
    affiliation, statements = judged(text, [scored(OSLO, 0.7)], [scored(OSLO, 0.9)])
    (link,) = statement.outcome(affiliation, statements, Policy()).links
    assert link.probability == 0.9
    assert link.evidence is not None
    assert link.evidence.start > text.index(";")
    assert [s.probability for s in statement.scored(statements)] == [0.9]
    assert len(statement.candidates(statements)) == 1


def test_the_most_links_are_those_of_the_whole() -> None:
    affiliation, statements = judged(TEXT, [scored(OSLO, 0.8)], [scored(TURKU, 0.9)])
    policy = Policy(max_links=1)
    (link,) = statement.outcome(affiliation, statements, policy).links
    assert link.name == "University of Turku"
    fates = [decision.fate for decision in statement.decisions(statements, policy)]
    assert fates == [Fate.LINKED, Fate.BEYOND_MAX_LINKS]


def test_one_reason_is_given_for_the_whole() -> None:
    affiliation, statements = judged(TEXT, [scored(OSLO, 0.2)], [scored(TURKU, 0.1)])
    outcome = statement.outcome(affiliation, statements, Policy())
    assert (outcome.links, outcome.reason) == ((), Reason.BELOW_THRESHOLD)
    assert outcome.nearest == Nearest(statements[0].scored[0].ror_id, 0.2)


def test_candidates_come_by_rank() -> None:
    _, statements = judged(
        TEXT, [scored(OSLO, 0.8, 3.0), scored(BERGEN, 0.1, -1.0)], [scored(TURKU, 0.9, 2.0)]
    )
    names = [candidate.document.name for candidate in statement.candidates(statements)]
    assert names == ["University of Oslo", "University of Turku", "University of Bergen"]
    assert [s.score for s in statement.scored(statements)] == [3.0, 2.0, -1.0]


def test_what_is_denied_is_left_out() -> None:
    oslo, bergen = scored(OSLO, 0.8), scored(BERGEN, 0.1)
    _, (judged_one,) = judged("University of Oslo", [oslo, bergen])
    left = judged_one.without({oslo.ror_id})
    assert (list(left.scored), list(left.candidates)) == ([bergen], [bergen.candidate])


@pytest.mark.parametrize("probability", [0.9, 0.2])
def test_one_statement_is_decided_as_it_is(probability: float) -> None:
    affiliation, statements = judged("University of Oslo, Norway", [scored(OSLO, probability)])
    outcome = statement.outcome(affiliation, statements, Policy())
    assert outcome == decide(affiliation, statements[0].scored, Policy())


def test_scores_are_those_that_the_reranker_gave() -> None:
    forecast = Scored(scored(TURKU, 0.1).candidate, None, 0.1, forecast=9.0)
    explained = Scored(scored(BERGEN, 0.2).candidate, 3.0, 0.2, forecast=-1.0)
    found = statement.scores([forecast, scored(OSLO, 0.9, score=2.0), explained])
    assert list(found.items()) == [(BERGEN[0], 3.0), (OSLO[0], 2.0)]
