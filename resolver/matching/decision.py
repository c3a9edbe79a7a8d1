"""From scored candidates to the organisations that an affiliation names: none, one or several.

A pure function of its arguments. In order of probability, a candidate becomes a link when

1. the policy admits it, and its probability reaches the threshold,
2. the text does not place it in another country,
3. it has words of the affiliation to stand on that no better link has claimed: two
   organisations of like name compete for the same words, and the better one gets them, and
4. nothing as good stands on the same words: of two organisations of one name the text must say
   which, by a place, or neither is linked.

What became of each candidate is its `Verdict`.

Where a person has said what the affiliation is, nothing is decided: `as_said` makes these links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from heapq import nlargest
from operator import itemgetter

from resolver.matching.candidate import Candidate, order
from resolver.matching.outcome import (
    CountryAgreement,
    Link,
    LinkEvidence,
    Outcome,
    OverrideNote,
    Reason,
)
from resolver.matching.override import Override
from resolver.matching.place import NamedPlaces
from resolver.matching.policy import Policy
from resolver.matching.reading import competes
from resolver.matching.reason import why_none
from resolver.registry.document import Document
from resolver.registry.organisation import OrganisationStatus
from resolver.text.words import fold, ground, spans, units

FORM = 1
"""Form of the decision. Raise it with every change after which the same evidence and probabilities
could give other links, another reason, or links with other evidence: here, in
`resolver.matching.reason`, `resolver.matching.lineage`, or in what they rest on.

It is part of the resolver version, so that answers of another form are due.
``tests/matching/test_forms.py`` fails where decisions change and this does not."""

OWN_SHARE = 0.5
"""More than this share of a further link's name must stand on words no better link has claimed.
"York University" has only "York" left in "University of York, York"; a second university of
the same string has all its words."""

WEIGHED = 8
"""Kinds of evidence that a link keeps, those of the largest effect. The judge weighs 44, most of
them hardly, and a stored link would be thrice its size."""

NAMESAKE_PROBABILITY = 0.1
"""An organisation of the same name counts as a rival from this probability on. Without a place in
the text the better of two was wrong in 12 of 15 (strings that the judge was not fitted on); one
that has less than this has something else against it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with the reranker's logit and the judge's probability.

    `weighed` says what each kind of evidence added to the log odds.
    """

    candidate: Candidate
    score: float
    probability: float
    weighed: tuple[tuple[str, float], ...] = ()

    @property
    def document(self) -> Document:
        return self.candidate.document


class Step(StrEnum):
    """What became of a candidate, and at which step."""

    LINKED = "linked"
    NOT_ADMITTED = "not_admitted"
    """The policy links neither its type nor its country, or not both."""

    BELOW_THRESHOLD = "below_threshold"
    OTHER_COUNTRY = "other_country"
    """The text names other countries, and nothing of its place."""

    WORDS_CLAIMED = "words_claimed"
    """A better link stands on the words that its name needs."""

    NAMESAKE_PLACED = "namesake_placed"
    """The text names the place of another organisation of the same name."""

    TIED = "tied"
    """Another one is as good."""

    BEYOND_MAX_LINKS = "beyond_max_links"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a candidate; `rival` is the one that stood in its way, by ROR id."""

    scored: Scored
    step: Step
    rival: str | None = None


def decide(affiliation: str, scored: Sequence[Scored], policy: Policy) -> Outcome:
    """The outcome for one normalised affiliation; `scored` may come in any order."""
    found = verdicts(affiliation, scored, policy)
    accepted = [verdict.scored for verdict in found if verdict.step is Step.LINKED]
    if accepted:
        return Outcome(affiliation, links=_links(affiliation, accepted, scored))
    if any(verdict.step is Step.TIED for verdict in found):
        return Outcome(affiliation, reason=Reason.AMBIGUOUS)
    below = [verdict.scored for verdict in found if verdict.step is Step.BELOW_THRESHOLD]
    excluded = (verdict.scored for verdict in found if verdict.step is Step.NOT_ADMITTED)
    if any(s.probability >= policy.accept_probability for s in excluded):
        return Outcome(affiliation, reason=Reason.NOT_ADMITTED)
    # What is elsewhere is not near, however probable.
    near = [(s.document, s.probability) for s in below]
    return Outcome(affiliation, reason=why_none(affiliation, near, policy.accept_probability))


def verdicts(affiliation: str, scored: Sequence[Scored], policy: Policy) -> list[Verdict]:
    """What becomes of each candidate, most probable first."""
    ordered = sorted(scored, key=lambda s: (-s.probability, -s.score, s.candidate.ror_id))
    text = _Text(affiliation, [s.document for s in ordered])
    rivals = [s for s in ordered if policy.admits(s.document)]
    accepted: list[Scored] = []
    # Ground of everything that was linked or tied, with its owner.
    claims: list[tuple[Scored, frozenset[int]]] = []
    tied: dict[str, str] = {}
    found = []
    for s in ordered:
        verdict = _verdict(s, text, rivals, claims, policy)
        if verdict.step in _WOULD_STAND and (first := tied.get(fold(s.document.name))):
            # The namesakes of a tie are in it; they take no further words.
            found.append(Verdict(s, Step.TIED, first))
            continue
        if verdict.step is Step.LINKED and len(accepted) == policy.max_links:
            verdict = Verdict(s, Step.BEYOND_MAX_LINKS)
        if verdict.step is Step.LINKED:
            accepted.append(s)
        if verdict.step is Step.TIED:
            tied[fold(s.document.name)] = s.candidate.ror_id
        if verdict.step in {Step.LINKED, Step.TIED}:
            claims.append((s, text.ground(s, _claimed(claims))))
        found.append(verdict)
    return found


_WOULD_STAND = frozenset({Step.LINKED, Step.TIED, Step.WORDS_CLAIMED, Step.NAMESAKE_PLACED})
"""Steps that are only reached with a sufficient probability."""


class _Text:
    """An affiliation, with what is found out about it on the way; each thing when it is asked."""

    def __init__(self, affiliation: str, documents: Sequence[Document]) -> None:
        self.affiliation = affiliation
        self._documents = documents

    @cached_property
    def places(self) -> NamedPlaces:
        return NamedPlaces.of(self.affiliation, self._documents)

    def ground(self, s: Scored, claimed: frozenset[int] = frozenset()) -> frozenset[int]:
        return _ground(self.affiliation, s.document.name, claimed)

    def places_beside(self, s: Scored) -> NamedPlaces:
        """The places of the text without the organisation's name, which may hold its city's."""
        where = spans(self.affiliation)
        characters = list(self.affiliation)
        for unit in self.ground(s):
            start, end = where[unit]
            characters[start:end] = " " * (end - start)
        return NamedPlaces.of("".join(characters), self._documents)


@lru_cache(maxsize=1024)
def _ground(affiliation: str, name: str, claimed: frozenset[int]) -> frozenset[int]:
    """`ground` of texts: asked again for the same ones by each threshold of an evaluation."""
    return ground(_units(affiliation), _units(name), claimed)


_units = lru_cache(maxsize=1024)(units)


def _verdict(
    s: Scored,
    text: _Text,
    rivals: Sequence[Scored],
    claims: Sequence[tuple[Scored, frozenset[int]]],
    policy: Policy,
) -> Verdict:
    if not policy.admits(s.document):
        return Verdict(s, Step.NOT_ADMITTED)
    if s.probability < policy.accept_probability:
        return Verdict(s, Step.BELOW_THRESHOLD)
    if text.places.contradict(s.document):
        return Verdict(s, Step.OTHER_COUNTRY)
    whole = text.ground(s)
    if claims:
        name = units(s.document.name)
        if len(text.ground(s, _claimed(claims))) <= OWN_SHARE * len(name):
            owner = max(claims, key=lambda claim: len(claim[1] & whole))[0]
            return Verdict(s, Step.WORDS_CLAIMED, owner.candidate.ror_id)
    return _among_namesakes(s, text, rivals, policy) or _beside_equals(
        s, text, whole, rivals, policy
    )


def _among_namesakes(
    s: Scored, text: _Text, rivals: Sequence[Scored], policy: Policy
) -> Verdict | None:
    """Another organisation of this name takes the place, or ties, if so."""
    namesakes = [
        rival
        for rival in rivals
        if rival is not s
        and rival.probability >= NAMESAKE_PROBABILITY
        and fold(rival.document.name) == fold(s.document.name)
        and rival.document.status is OrganisationStatus.ACTIVE
        and not text.places.contradict(rival.document)
    ]
    if not namesakes:
        return None
    places = text.places_beside(s)
    own = places.agreement(s.document)
    best = max(namesakes, key=lambda rival: (places.agreement(rival.document), rival.probability))
    placed = places.agreement(best.document)
    if placed > own and best.probability >= policy.accept_probability:
        return Verdict(s, Step.NAMESAKE_PLACED, best.candidate.ror_id)
    if not any(own) and not any(placed):
        return Verdict(s, Step.TIED, best.candidate.ror_id)
    return None


def _beside_equals(
    s: Scored, text: _Text, whole: frozenset[int], rivals: Sequence[Scored], policy: Policy
) -> Verdict:
    """Linked, unless another one on the same ground is as probable."""
    for rival in rivals:
        if (
            rival is not s
            and policy.accept_probability <= rival.probability
            and abs(s.probability - rival.probability) < policy.ambiguity_margin
            and not text.places.contradict(rival.document)
            and text.ground(rival) == whole
        ):
            return Verdict(s, Step.TIED, rival.candidate.ror_id)
    return Verdict(s, Step.LINKED)


def _claimed(claims: Sequence[tuple[Scored, frozenset[int]]]) -> frozenset[int]:
    return frozenset().union(*(positions for _, positions in claims))


def as_said(
    affiliation: str,
    overrides: Sequence[Override],
    candidates: Sequence[Candidate],
    scored: Sequence[Scored],
    known: Mapping[str, Document | None],
) -> tuple[Link, ...]:
    """The links that persons made, in the order of `overrides`; each is of another organisation.

    `candidates` are the first stage's in its order, `scored` those of them that the reranker read.
    An organisation that is not among them is looked up in `known` (ROR id → a document of it; None
    or missing: the index does not have it). The policy has no say here.
    """
    documents = [candidate.document for candidate in candidates]
    text = _Text(affiliation, [*documents, *filter(None, known.values())])
    found = {c.ror_id: (rank, c) for rank, c in enumerate(candidates, start=1)}
    read = {s.candidate.ror_id: s for s in scored}
    links = []
    for place, override in enumerate(overrides, start=1):
        rank, candidate = found.get(override.ror_id, (None, None))
        document = candidate.document if candidate else known.get(override.ror_id)
        s = read.get(override.ror_id)
        stands = _stands(affiliation, document.name) if document else frozenset()
        evidence = _evidence(text, stands, document, candidate, rank)
        name = document.display_name if document else override.name or override.ror_id
        links.append(
            Link(
                ror_id=override.ror_id,
                name=name,
                matched_name=document.name if document else name,
                score=s.score if s else None,
                probability=1.0,
                rank=place,
                evidence=replace(
                    evidence,
                    weighed=_heaviest(s.weighed) if s else (),
                    override=OverrideNote(
                        override.id, override.author, override.note, override.date
                    ),
                ),
            )
        )
    return tuple(links)


def _stands(affiliation: str, name: str) -> frozenset[int]:
    """The ground of a name that nothing vouches for: the "of" that it has in common with another
    one is none."""
    found = _ground(affiliation, name, frozenset())
    return found if len(found) > OWN_SHARE * len(_units(name)) else frozenset()


def _links(
    affiliation: str, accepted: Sequence[Scored], scored: Sequence[Scored]
) -> tuple[Link, ...]:
    text = _Text(affiliation, [s.document for s in scored])
    ranks = {
        s.candidate.ror_id: rank
        for rank, s in enumerate(sorted(scored, key=lambda s: order(s.candidate)), start=1)
    }
    others = sorted(
        (s for s in scored if s not in accepted),
        key=lambda s: (-s.probability, -s.score, s.candidate.ror_id),
    )
    links = []
    claimed: frozenset[int] = frozenset()
    for rank, s in enumerate(accepted, start=1):
        stands = text.ground(s, claimed)
        claimed |= stands
        rival = next((other for other in others if competes(stands, text.ground(other))), None)
        evidence = _evidence(text, stands, s.document, s.candidate, ranks[s.candidate.ror_id])
        links.append(
            Link(
                ror_id=s.candidate.ror_id,
                name=s.document.display_name,
                matched_name=s.document.name,
                score=s.score,
                probability=s.probability,
                rank=rank,
                evidence=replace(
                    evidence,
                    runner_up=rival.candidate.ror_id if rival else None,
                    runner_up_name=rival.document.display_name if rival else None,
                    margin=s.probability - rival.probability if rival else None,
                    weighed=_heaviest(s.weighed),
                ),
            )
        )
    return tuple(links)


def _evidence(
    text: _Text,
    stands: frozenset[int],
    document: Document | None,
    candidate: Candidate | None,
    rank: int | None,
) -> LinkEvidence:
    """What the text and the first stage say of an organisation that stands on these words."""
    where = spans(text.affiliation)
    start, end = (where[min(stands)][0], where[max(stands)][1]) if stands else (0, 0)
    return LinkEvidence(
        text=text.affiliation[start:end],
        start=start,
        end=end,
        country=text.places.country(document) if document else CountryAgreement.NONE_NAMED,
        city_named=text.places.city(document) if document else False,
        first_stage_rank=rank,
        sparse=candidate.sparse.score if candidate and candidate.sparse else None,
        dense=candidate.dense.score if candidate and candidate.dense else None,
    )


def _heaviest(weighed: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    made = filter(itemgetter(1), weighed)
    return tuple(nlargest(WEIGHED, made, key=lambda part: abs(part[1])))
