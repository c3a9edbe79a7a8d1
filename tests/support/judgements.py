"""Judgements of an affiliation, made of candidates with given probabilities."""

from __future__ import annotations

from resolver.matching.candidate import Candidate, Ranked
from resolver.matching.decision import Scored, decide
from resolver.matching.matcher import Judgement
from resolver.matching.outcome import Outcome
from resolver.matching.policy import Policy
from resolver.matching.statement import JudgedStatement
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation

PLACES = {"GB": "United Kingdom", "CA": "Canada", "SA": "Saudi Arabia", "JP": "Japan"}


def scored(name: str, probability: float, city: str, code: str, rank: int) -> Scored:
    document = Document(name, name, name, False, city, None, code, PLACES[code])
    candidate = Candidate(document, Ranked(rank, 3.0 / rank), None, 1 / rank)
    weighed = (("logit", 2.0), ("city", 0.5), ("country", -0.25))
    return Scored(candidate, 1.5, probability, weighed)


YORK = scored("University of York", 0.9, "York", "GB", 1)
TORONTO = scored("York University", 0.6, "Toronto", "CA", 2)


def judged(raw: str, *candidates: Scored, policy: Policy | None = None) -> Judgement:
    """Of an affiliation that is one statement."""
    affiliation = Affiliation.of(raw)
    outcome = decide(affiliation, candidates, policy or Policy())
    outcome = Outcome(raw, outcome.links, outcome.reason)
    statement = JudgedStatement(affiliation, [s.candidate for s in candidates], candidates)
    return Judgement(outcome, affiliation, [statement])
