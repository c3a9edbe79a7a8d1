"""From scored candidates to the organisations that an affiliation names: none, one or several.

A pure function of its arguments. In order of probability, a candidate becomes a link when

1. its probability reaches the threshold, and
2. it has words of the affiliation to stand on that no better link has claimed: two
   organisations of like name compete for the same words, and the better one gets them.

When the two best stand on the same words and are equally probable, nothing tells them
apart, and the answer is `Reason.AMBIGUOUS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resolver.domain.affiliation import MAX_CHARACTERS
from resolver.domain.candidate import Candidate
from resolver.domain.outcome import Link, Outcome, Reason
from resolver.domain.words import ground, units

OWN_SHARE = 0.5
"""More than this share of a further link's name must stand on words no better link has claimed.
"York University" has only "York" left in "University of York, York"; a second university of
the same string has all its words."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with the reranker's logit and the judge's probability."""

    candidate: Candidate
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class Policy:
    """What the caller chooses.

    `ambiguity_margin` is the difference of probability below which two rivals are equal.
    """

    accept_probability: float = 0.5
    max_links: int = 10
    ambiguity_margin: float = 0.01


def refusal(raw: str, normalised: str) -> Reason | None:
    """Why an affiliation is not worth a search, if so."""
    if len(raw) > MAX_CHARACTERS:
        return Reason.TOO_LONG
    return None if normalised else Reason.EMPTY


def decide(affiliation: str, scored: Sequence[Scored], policy: Policy) -> Outcome:
    """The outcome for one affiliation; `scored` may come in any order."""
    if not scored:
        return Outcome(affiliation, reason=Reason.NO_CANDIDATE)
    ordered = sorted(scored, key=lambda s: (-s.probability, -s.score, s.candidate.ror_id))
    probable = [s for s in ordered if s.probability >= policy.accept_probability]
    if not probable:
        return Outcome(affiliation, reason=Reason.BELOW_THRESHOLD)
    text = units(affiliation)
    best, *rest = probable
    names = {s.candidate.ror_id: units(s.candidate.document.name) for s in probable}
    accepted = [best]
    claimed = ground(text, names[best.candidate.ror_id])
    if any(
        best.probability - s.probability < policy.ambiguity_margin
        and ground(text, names[s.candidate.ror_id]) == claimed
        for s in rest
    ):
        return Outcome(affiliation, reason=Reason.AMBIGUOUS)
    for s in rest:
        name = names[s.candidate.ror_id]
        stands = ground(text, name, claimed)
        if len(stands) > OWN_SHARE * len(name):
            accepted.append(s)
            claimed |= stands
    return Outcome(
        affiliation,
        links=tuple(
            Link(
                ror_id=s.candidate.ror_id,
                name=s.candidate.document.display_name,
                matched_name=s.candidate.document.name,
                score=s.score,
                probability=s.probability,
                rank=rank,
            )
            for rank, s in enumerate(accepted[: policy.max_links], start=1)
        ),
    )
