"""From scored candidates to the organisations that an affiliation names: none, one or several.

A pure function of its arguments. In order of probability, a candidate becomes a link when

1. the policy admits it, and its probability reaches the threshold,
2. the text names more than places or roles of persons, and does not place it in another country,
   where a rival for the same words is,
3. words of the affiliation match its name that no better link has claimed: two organisations with
   similar names compete for the same words, and the better one gets them, with all of its names
   and acronyms in the text, while parent and child that are both written share theirs, and
4. no other candidate for the same words is equally good: of two organisations of one name the text
   must say which, by a place, or neither is linked.

An organisation whose identifier stands in the text needs only the first: the number names it, and
not the words. What becomes of each candidate is its `Decision`.

Where a curator has decided what the affiliation is, `curated` makes these links instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from heapq import nlargest
from operator import itemgetter

from resolver.matching.acronym import Acronyms
from resolver.matching.candidate import Candidate, order
from resolver.matching.outcome import (
    CountryAgreement,
    Link,
    LinkEvidence,
    Nearest,
    Outcome,
    OverrideNote,
    Reason,
)
from resolver.matching.override import Override
from resolver.matching.place import Agreement, NamedPlaces
from resolver.matching.policy import Policy
from resolver.matching.reading import competes, identifier_positions
from resolver.matching.reason import why_none
from resolver.registry.document import Document
from resolver.registry.identifier import numbers_in
from resolver.registry.organisation import OrganisationStatus
from resolver.text import vocabulary
from resolver.text.affiliation import Affiliation
from resolver.text.cached_property import cached_property
from resolver.text.parts import only_roles
from resolver.text.text import registry_text

FORM = 3
"""Form of the decision. Raise it with every change after which the same evidence and probabilities
could give other links, another reason, or links with other evidence: here, in
`resolver.matching.reason`, `resolver.matching.lineage`, or in what they rest on.

It is part of the resolver version, so that answers of another form are due.
``tests/matching/test_forms.py`` fails where decisions change and this does not."""

OWN_SHARE = 0.5
"""More than this share of the words that match a further link must not be claimed by a better one.
"York University" has only "York" left in "University of York, York"; a second university of the
same string has all its words."""

WEIGHED = 8
"""Kinds of evidence that a link keeps, those of the largest effect. The judge weighs 70, most of
them hardly, and with all of them a stored link would be three times its size."""

NAMESAKE_SHARE = 0.25
"""An organisation of the same name counts as a rival from this share of a candidate's probability
on. The probabilities were fitted to complete labels: of two namesakes one that is four times as
probable as the other is the better known, or other evidence speaks against the other."""

RIVAL_PROBABILITY = 0.1
"""An organisation for the same words that is where the text says counts as a rival from this
probability on; with a lower one other evidence speaks against it."""

_JOINT = re.compile(r"\s*[-‐–—/&]\s*|\s+(?:and|et|und|y|e)\s+")
"""What stands between two names that have the rest of their words in common."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with the reranker's logit, `score`, and the judge's probability.

    `score` is None where the reranker has not read the candidate. `forecast` is the logit that the
    judge went by in place of the score (`resolver.matching.forecast`); None where it went by the
    score. `weighed` has what each kind of evidence added to the log odds.
    """

    candidate: Candidate
    score: float | None
    probability: float
    weighed: tuple[tuple[str, float], ...] = ()
    forecast: float | None = None

    def __post_init__(self) -> None:
        if self.score is None and self.forecast is None:
            raise ValueError(f"{self.ror_id}: neither a score nor a forecast")

    @property
    def logit(self) -> float:
        """The logit that the judge went by."""
        logit = self.score if self.forecast is None else self.forecast
        assert logit is not None
        return logit

    @property
    def document(self) -> Document:
        return self.candidate.document

    @property
    def ror_id(self) -> str:
        return self.candidate.ror_id


class Fate(StrEnum):
    """What became of a candidate: linked, or why not."""

    LINKED = "linked"
    NOT_ADMITTED = "not_admitted"
    """The policy excludes its type or its country."""

    BELOW_THRESHOLD = "below_threshold"
    OTHER_COUNTRY = "other_country"
    """The text names other countries and nothing of its place, and a rival is where it says."""

    ONLY_PLACES = "only_places"
    """The text names places and nothing else, and its name is not that of a town there."""

    ONLY_ROLES = "only_roles"
    """The text names roles of persons and nothing else, and is not the organisation's name."""

    WORDS_CLAIMED = "words_claimed"
    """A better link has claimed the words that match its name."""

    NAMESAKE_PLACED = "namesake_placed"
    """The text names the place of another organisation of the same name."""

    TIED = "tied"
    """Another candidate is equally good."""

    BEYOND_MAX_LINKS = "beyond_max_links"


ELSEWHERE = frozenset({Fate.OTHER_COUNTRY, Fate.NAMESAKE_PLACED})
"""Fates of what is probable enough, but not where the text says."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a candidate; `rival` is the ROR id of the candidate that stood in its way.

    `matched` are the positions of the text's units that a link or a tied candidate stands on.
    """

    scored: Scored
    fate: Fate
    rival: str | None = None
    matched: frozenset[int] = frozenset()

    @property
    def ror_id(self) -> str:
        return self.scored.ror_id


def decide(affiliation: Affiliation, scored: Sequence[Scored], policy: Policy) -> Outcome:
    """The outcome for an affiliation that was searched; `scored` may come in any order."""
    comparison = _Comparison(affiliation, scored)
    made = _decisions(comparison, policy)
    accepted = [decision for decision in made if decision.fate is Fate.LINKED]
    if accepted:
        return Outcome(affiliation.text, links=_links(comparison, accepted))
    why = reason(affiliation, made, policy)
    return Outcome(affiliation.text, reason=why, nearest=nearest(scored))


def nearest(scored: Iterable[Scored]) -> Nearest | None:
    """The most probable candidate, whatever became of it; None without candidates."""
    best = min(scored, key=_by_probability, default=None)
    return Nearest(best.ror_id, best.probability) if best else None


def _by_probability(s: Scored) -> tuple[float, float, str]:
    return -s.probability, -s.logit, s.ror_id


def decisions(affiliation: Affiliation, scored: Sequence[Scored], policy: Policy) -> list[Decision]:
    """What becomes of each candidate, most probable first."""
    return _decisions(_Comparison(affiliation, scored), policy)


def reason(affiliation: Affiliation, made: Sequence[Decision], policy: Policy) -> Reason:
    """Why an affiliation has no link, when nothing was linked in these decisions, most probable
    first."""
    fates = {decision.fate for decision in made}
    if Fate.TIED in fates:
        return Reason.AMBIGUOUS
    if Fate.ONLY_PLACES in fates:
        return Reason.PLACE_ONLY
    threshold = policy.accept_probability
    excluded = (decision.scored for decision in made if decision.fate is Fate.NOT_ADMITTED)
    if any(s.probability >= threshold for s in excluded):
        return Reason.NOT_ADMITTED
    below = (decision.scored for decision in made if decision.fate is Fate.BELOW_THRESHOLD)
    return why_none(
        affiliation,
        [(s.document, s.probability) for s in below],
        threshold,
        [decision.scored.document for decision in made if decision.fate in ELSEWHERE],
    )


Claims = Sequence[tuple[Scored, frozenset[int]]]
"""What was linked or tied so far, with the positions that match any of its names."""


class _Comparison:
    """An affiliation and its scored candidates, most probable first. Each thing is worked out once,
    when it is asked for."""

    def __init__(self, affiliation: Affiliation, scored: Sequence[Scored]) -> None:
        self.affiliation = affiliation
        self.scored = sorted(scored, key=_by_probability)
        self._matched: dict[tuple[str, frozenset[int]], frozenset[int]] = {}
        self._in_identifiers = identifier_positions(affiliation)

    @cached_property
    def numbers(self) -> set[str]:
        """The identifiers in the text that are no domains."""
        return numbers_in(self.affiliation.text)

    @cached_property
    def places(self) -> NamedPlaces:
        """The places that the text names."""
        return NamedPlaces.of(self.affiliation, [s.document for s in self.scored])

    @cached_property
    def acronyms(self) -> Acronyms:
        """The text's acronyms."""
        return Acronyms(self.affiliation)

    @cached_property
    def part_of_unit(self) -> list[int]:
        """The number of the part between commas that each unit of the text stands in."""
        pieces = self.affiliation.pieces
        return [number for number, piece in enumerate(pieces) for _ in piece.units]

    def matched(self, s: Scored, claimed: frozenset[int] = frozenset()) -> frozenset[int]:
        """Positions of the text's units that match the candidate's name and are not claimed."""
        key = s.document.name, claimed
        if key not in self._matched:
            name = registry_text(s.document.name)
            taken = claimed | self._in_identifiers
            self._matched[key] = self.affiliation.matched(name, taken)
        return self._matched[key]

    def unclaimed(self, s: Scored, claims: Claims) -> frozenset[int]:
        """The same without those that better links claimed and do not share with it."""
        claimed = (positions for owner, positions in claims if not self._share(s, owner, positions))
        return self.matched(s, frozenset().union(*claimed))

    def _share(self, s: Scored, owner: Scored, claimed: frozenset[int]) -> bool:
        """Whether a candidate may stand on the words that a better link claimed.

        It may where its name has these words and more, where it stands in parts of its own, where
        the link's name stands elsewhere too, and where it stands in full and has words of its own.
        Parent and child share their words where the parent's name stands in full, or the child's
        has a word of its own.
        """
        mine, theirs = self.matched(s), self.matched(owner)
        stands = self._stands(s)
        has_more = not mine <= claimed
        if stands and len(mine) > 1 and self._apart(mine, claimed - mine):
            # "University of Oslo, Oslo University Hospital": each has a part of its own.
            return True
        shares_one_part = has_more and mine & claimed and self._in_one_part(mine)
        if shares_one_part and self._stands_without(owner, mine):
            # "CNRS, Centre de Recherche Paul Pascal CNRS": the link has its name elsewhere too.
            return True
        if mine & (claimed - theirs) and not has_more:
            # An acronym or another name of the link.
            return False
        if mine > theirs:
            return True
        has_own = not mine <= theirs
        if owner.ror_id in s.document.parents and has_own:
            return True
        if has_own or s.ror_id in owner.document.parents:
            # "Herlev and Gentofte Hospital": two names with their last words in common.
            return stands or self._joined(mine - theirs, theirs - mine)
        if mine == theirs:
            # The whole name of the one, and a piece of the other's.
            return stands and not self._stands(owner)
        name = registry_text(s.document.name).padded
        return mine < theirs and any(piece.padded == name for piece in self.affiliation.pieces)

    def _stands(self, s: Scored) -> bool:
        """Whether the candidate's whole name stands in the text, one word after the other."""
        alike = self.affiliation.matching(registry_text(s.document.name))
        return bool(alike) and any(
            all(start + offset in positions for offset, positions in enumerate(alike))
            for start in alike[0]
        )

    def _stands_without(self, s: Scored, positions: frozenset[int]) -> bool:
        """Whether all words of the candidate's name stand at other positions too."""
        return len(self.matched(s, positions)) == len(registry_text(s.document.name).units)

    def _in_one_part(self, positions: frozenset[int]) -> bool:
        """Whether no comma or the like is between the words at these positions."""
        return len({self.part_of_unit[position] for position in positions}) == 1

    def _apart(self, positions: frozenset[int], others: frozenset[int]) -> bool:
        """Whether the words at these positions and the others are in different parts of the text,
        between commas. Words that join others ("of") do not count."""
        part, units = self.part_of_unit, self.affiliation.units
        elsewhere = {part[p] for p in others if units[p] not in vocabulary.LINK}
        return bool(elsewhere) and elsewhere.isdisjoint(part[p] for p in positions)

    def _joined(self, own: frozenset[int], theirs: frozenset[int]) -> bool:
        """Whether the text joins the words that are the candidate's alone with those that are the
        link's alone, as in "Herlev-Gentofte Hospital"."""
        text, spans = self.affiliation.text, self.affiliation.spans
        return any(
            _JOINT.fullmatch(text, spans[first][1], spans[second][0])
            for one, other in ((own, theirs), (theirs, own))
            for first in one
            for second in other
            if 0 < second - first <= 2
        )

    def contradicts(self, s: Scored) -> bool:
        """Whether the text places the candidate in another country than the registry does."""
        return self.places.contradict(s.document, self.matched(s))

    def only_a_place(self, s: Scored) -> bool:
        """Whether the text names places alone, and the candidate's name is not that of a town."""
        matched = self.matched(s)
        is_whole = len(matched) == len(registry_text(s.document.name).units)
        return self.places.only and not (is_whole and self.places.is_town(matched))

    def only_a_role(self, s: Scored) -> bool:
        """Whether the text names roles of persons alone, and is not the candidate's name."""
        return (
            self.names_only_roles
            and self.affiliation.padded != registry_text(s.document.name).padded
        )

    @cached_property
    def names_only_roles(self) -> bool:
        """Whether the text has nothing but words for roles."""
        return only_roles(self.affiliation)


def _decisions(comparison: _Comparison, policy: Policy) -> list[Decision]:
    rivals = [s for s in comparison.scored if policy.admits(s.document)]
    claims: list[tuple[Scored, frozenset[int]]] = []
    tied: dict[str, str] = {}
    linked = 0
    made = []
    for s in comparison.scored:
        decision = _decision(s, comparison, rivals, claims, policy)
        name = registry_text(s.document.name).folded
        if decision.fate in _PROBABLE_ENOUGH and (first := tied.get(name)):
            # The namesakes of a tie are in it; they claim no further words.
            made.append(Decision(s, Fate.TIED, first))
            continue
        if decision.fate is Fate.LINKED and linked == policy.max_links:
            decision = Decision(s, Fate.BEYOND_MAX_LINKS)
        if decision.fate is Fate.LINKED:
            linked += 1
        if decision.fate is Fate.TIED:
            tied[name] = s.ror_id
        if decision.fate in {Fate.LINKED, Fate.TIED}:
            decision = replace(decision, matched=comparison.unclaimed(s, claims))
            claims.append((s, comparison.acronyms.claimed(s.document, decision.matched)))
        made.append(decision)
    return made


_PROBABLE_ENOUGH = frozenset({Fate.LINKED, Fate.TIED, Fate.WORDS_CLAIMED, Fate.NAMESAKE_PLACED})
"""Fates that only a candidate with a sufficient probability has."""


def _decision(
    s: Scored, comparison: _Comparison, rivals: Sequence[Scored], claims: Claims, policy: Policy
) -> Decision:
    if not policy.admits(s.document):
        return Decision(s, Fate.NOT_ADMITTED)
    if s.probability < policy.accept_probability:
        return Decision(s, Fate.BELOW_THRESHOLD)
    if not comparison.numbers.isdisjoint(s.document.identifiers):
        return Decision(s, Fate.LINKED)
    if comparison.only_a_place(s):
        return Decision(s, Fate.ONLY_PLACES)
    if comparison.only_a_role(s):
        return Decision(s, Fate.ONLY_ROLES)
    if rival := _at_home(s, comparison, rivals):
        return Decision(s, Fate.OTHER_COUNTRY, rival.ror_id)
    matched = comparison.matched(s)
    if claims and len(comparison.unclaimed(s, claims)) <= OWN_SHARE * len(matched):
        owner = max(claims, key=lambda claim: len(claim[1] & matched))[0]
        return Decision(s, Fate.WORDS_CLAIMED, owner.ror_id)
    return _among_namesakes(s, comparison, rivals, policy) or _beside_equals(
        s, comparison, rivals, policy
    )


def _at_home(s: Scored, comparison: _Comparison, rivals: Sequence[Scored]) -> Scored | None:
    """Of a candidate that the text places abroad, the best rival for the same words that is where
    the text says. Without one it may be a branch or a site of its own there."""
    if not comparison.contradicts(s):
        return None
    matched = comparison.matched(s)
    for rival in rivals:
        if (
            rival is not s
            and rival.probability >= RIVAL_PROBABILITY
            and not comparison.contradicts(rival)
            and any(comparison.places.beside(rival.document, comparison.matched(rival)))
            and competes(matched, comparison.matched(rival))
        ):
            return rival
    return None


def _among_namesakes(
    s: Scored, comparison: _Comparison, rivals: Sequence[Scored], policy: Policy
) -> Decision | None:
    """A namesake wins or ties; None if neither."""
    name = registry_text(s.document.name).folded
    namesakes = [
        rival
        for rival in rivals
        if rival is not s
        and rival.probability >= NAMESAKE_SHARE * s.probability
        and registry_text(rival.document.name).folded == name
        and rival.document.status is OrganisationStatus.ACTIVE
        and not comparison.contradicts(rival)
    ]
    if not namesakes:
        return None
    matched = comparison.matched(s)

    def beside(one: Scored) -> Agreement:
        return comparison.places.beside(one.document, matched)

    own = beside(s)
    best = max(namesakes, key=lambda rival: (beside(rival), rival.probability))
    theirs = beside(best)
    if theirs > own and best.probability >= policy.accept_probability:
        return Decision(s, Fate.NAMESAKE_PLACED, best.ror_id)
    if not any(own) and not any(theirs):
        return Decision(s, Fate.TIED, best.ror_id)
    return None


def _beside_equals(
    s: Scored, comparison: _Comparison, rivals: Sequence[Scored], policy: Policy
) -> Decision:
    """Linked, unless another candidate for the same words is as probable."""
    matched = comparison.matched(s)
    for rival in rivals:
        if (
            rival is not s
            and policy.accept_probability <= rival.probability
            and abs(s.probability - rival.probability) < policy.ambiguity_margin
            and not comparison.contradicts(rival)
            and comparison.matched(rival) == matched
            and rival.ror_id not in s.document.parents
            and s.ror_id not in rival.document.parents
        ):
            return Decision(s, Fate.TIED, rival.ror_id)
    return Decision(s, Fate.LINKED)


def curated(
    affiliation: Affiliation,
    overrides: Mapping[str, Override],
    candidates: Sequence[Candidate],
    scored: Sequence[Scored],
    known: Mapping[str, Document | None],
) -> tuple[Link, ...]:
    """The links that curators made, one for each organisation in `overrides`, which has what was
    decided by ROR id, in that order.

    `candidates` are the first stage's in its order, `scored` the shortlist of them.
    An organisation that is not among them is looked up in `known` (ROR id → a document of it; None
    or missing: the index does not have it). The policy does not apply.
    """
    documents = [candidate.document for candidate in candidates]
    places = NamedPlaces.of(affiliation, [*documents, *filter(None, known.values())])
    ranked = {c.ror_id: (rank, c) for rank, c in enumerate(candidates, start=1)}
    by_id = {s.ror_id: s for s in scored}
    links = []
    for link_rank, (ror_id, override) in enumerate(overrides.items(), start=1):
        rank, candidate = ranked.get(ror_id, (None, None))
        document = candidate.document if candidate else known.get(ror_id)
        s = by_id.get(ror_id)
        matched = _telling(affiliation, document) if document else frozenset()
        evidence = _evidence(affiliation, places, matched, document, candidate, rank)
        name = document.display_name if document else override.name or ror_id
        links.append(
            Link(
                ror_id=ror_id,
                name=name,
                matched_name=document.name if document else name,
                score=s.score if s else None,
                probability=1.0,
                rank=link_rank,
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


def _telling(affiliation: Affiliation, document: Document) -> frozenset[int]:
    """Positions that match a name which no probability speaks for: none if they are few, like the
    "of" that it has in common with another name."""
    name = registry_text(document.name)
    matched = affiliation.matched(name)
    return matched if len(matched) > OWN_SHARE * len(name.units) else frozenset()


def _links(comparison: _Comparison, accepted: Sequence[Decision]) -> tuple[Link, ...]:
    by_first_stage = sorted(comparison.scored, key=lambda s: order(s.candidate))
    ranks = {s.ror_id: rank for rank, s in enumerate(by_first_stage, start=1)}
    linked = [decision.scored for decision in accepted]
    others = [s for s in comparison.scored if s not in linked]
    links = []
    for rank, decision in enumerate(accepted, start=1):
        s, matched = decision.scored, decision.matched
        rival = next((o for o in others if competes(matched, comparison.matched(o))), None)
        evidence = _evidence(
            comparison.affiliation,
            comparison.places,
            matched,
            s.document,
            s.candidate,
            ranks[s.ror_id],
        )
        links.append(
            Link(
                ror_id=s.ror_id,
                name=s.document.display_name,
                matched_name=s.document.name,
                score=s.score,
                probability=s.probability,
                rank=rank,
                evidence=replace(
                    evidence,
                    runner_up=rival.ror_id if rival else None,
                    runner_up_name=rival.document.display_name if rival else None,
                    margin=s.probability - rival.probability if rival else None,
                    weighed=_heaviest(s.weighed),
                ),
            )
        )
    return tuple(links)


def _evidence(
    affiliation: Affiliation,
    places: NamedPlaces,
    matched: frozenset[int],
    document: Document | None,
    candidate: Candidate | None,
    rank: int | None,
) -> LinkEvidence:
    """What the text and the first stage say about an organisation whose name these words match."""
    spans = affiliation.spans
    start, end = (spans[min(matched)][0], spans[max(matched)][1]) if matched else (0, 0)
    return LinkEvidence(
        text=affiliation.text[start:end],
        start=start,
        end=end,
        country=places.country(document, matched) if document else CountryAgreement.NONE_NAMED,
        city_named=places.city(document) if document else False,
        first_stage_rank=rank,
        sparse=candidate.sparse.score if candidate and candidate.sparse else None,
        dense=candidate.dense.score if candidate and candidate.dense else None,
    )


def _heaviest(weighed: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """The kinds of evidence with the largest effect, the largest first."""
    effective = filter(itemgetter(1), weighed)
    return tuple(nlargest(WEIGHED, effective, key=lambda added: abs(added[1])))
