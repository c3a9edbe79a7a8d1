"""The statements of an affiliation, each judged by itself, and what they come to together.

A statement (`resolver.text.statements`) is searched, reranked, judged and decided as if it were an
affiliation of its own. Here their candidates, decisions and links are joined. An affiliation that
is one statement, as nearly all are, gets what its statement gets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from resolver.matching.candidate import Candidate
from resolver.matching.decision import Decision, Fate, Scored, decide, nearest, reason
from resolver.matching.decision import decisions as decisions_of_one
from resolver.matching.outcome import Link, Outcome
from resolver.matching.policy import Policy
from resolver.text.affiliation import Affiliation


@dataclass(frozen=True, slots=True)
class JudgedStatement:
    """A statement with the first stage's candidates and the shortlist of them, with probabilities.
    Both are best first, by the first stage and by the logits that the judge went by.

    It begins at character `start` of the whole text; its `affiliation` is its own text.
    """

    affiliation: Affiliation
    candidates: Sequence[Candidate]
    scored: Sequence[Scored]
    start: int = 0

    def without(self, ror_ids: Collection[str]) -> JudgedStatement:
        """The same without some organisations."""
        return replace(
            self,
            candidates=[c for c in self.candidates if c.ror_id not in ror_ids],
            scored=[s for s in self.scored if s.ror_id not in ror_ids],
        )


Statements = Sequence[JudgedStatement]


def outcome(affiliation: Affiliation, statements: Statements, policy: Policy) -> Outcome:
    """The outcome for the whole text: the links of all its statements, else one reason.

    An organisation that several statements name has the link of the highest probability. The
    policy's `max_links` holds for the whole; ranks count over all links, and positions in the
    evidence are those in the whole text.
    """
    if len(statements) == 1:
        return decide(affiliation, statements[0].scored, policy)
    links = _best_links(
        _shifted(link, statement.start)
        for statement in statements
        for link in decide(statement.affiliation, statement.scored, policy).links
    )
    if links:
        ranked = enumerate(links[: policy.max_links], start=1)
        return Outcome(affiliation.text, tuple(replace(link, rank=rank) for rank, link in ranked))
    made = decisions(statements, policy)
    every = (s for statement in statements for s in statement.scored)
    why = reason(affiliation, made, policy)
    return Outcome(affiliation.text, reason=why, nearest=nearest(every))


def _best_links(links: Iterable[Link]) -> list[Link]:
    """Each organisation once, the most probable first."""
    best: dict[str, Link] = {}
    for link in sorted(links, key=lambda link: -link.probability):
        best.setdefault(link.ror_id, link)
    return list(best.values())


def _shifted(link: Link, start: int) -> Link:
    evidence = link.evidence
    if not evidence or not evidence.text:
        return link
    shifted = replace(evidence, start=evidence.start + start, end=evidence.end + start)
    return replace(link, evidence=shifted)


def decisions(statements: Statements, policy: Policy) -> list[Decision]:
    """What becomes of each candidate of the whole text, most probable first.

    A candidate of several statements has the decision that links it, else the one with the highest
    probability.
    """
    if len(statements) == 1:
        return decisions_of_one(statements[0].affiliation, statements[0].scored, policy)
    made = [
        decision
        for statement in statements
        for decision in decisions_of_one(statement.affiliation, statement.scored, policy)
    ]
    made.sort(key=lambda d: (d.fate is not Fate.LINKED, -d.scored.probability))
    best: dict[str, Decision] = {}
    for decision in made:
        best.setdefault(decision.ror_id, decision)
    linked = [decision for decision in best.values() if decision.fate is Fate.LINKED]
    if policy.max_links is not None:
        for decision in linked[policy.max_links :]:
            best[decision.ror_id] = Decision(decision.scored, Fate.BEYOND_MAX_LINKS)
    return sorted(best.values(), key=lambda decision: -decision.scored.probability)


def candidates(statements: Statements) -> list[Candidate]:
    """The candidates of all statements, each organisation once: first the first of each statement,
    then the second."""
    if len(statements) == 1:
        return list(statements[0].candidates)
    best: dict[str, Candidate] = {}
    for of_rank in zip_longest(*(statement.candidates for statement in statements)):
        for candidate in filter(None, of_rank):
            best.setdefault(candidate.ror_id, candidate)
    return list(best.values())


def scores(scored: Iterable[Scored]) -> dict[str, float]:
    """The reranker's scores of those that it has read, by ROR id, best first."""
    read = ((s.score, s.ror_id) for s in scored if s.score is not None)
    return {ror_id: score for score, ror_id in sorted(read, key=lambda one: (-one[0], one[1]))}


def scored(statements: Statements) -> list[Scored]:
    """The shortlists of all statements, each organisation once with its highest probability, in the
    order of the logits that the judge went by."""
    if len(statements) == 1:
        return list(statements[0].scored)
    best: dict[str, Scored] = {}
    every = [s for statement in statements for s in statement.scored]
    for s in sorted(every, key=lambda s: (-s.probability, -s.logit)):
        best.setdefault(s.ror_id, s)
    return sorted(best.values(), key=lambda s: (-s.logit, s.ror_id))
