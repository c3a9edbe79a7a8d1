"""The mistakes on labelled affiliations: what each is, and where what is missed was lost.

A mistake is a pair of affiliation and organisation that is labelled and not linked
(`Side.MISSED`), or linked and not labelled (`Side.WRONG`). Links to a "maybe" of the label are no
mistakes. A mistake has one kind, the first of `MistakeKind` that applies, so the counts of all
kinds add up to the number of mistakes. The kind says how labels and links differ; the stage at
which a missed organisation was lost says where to look for the cause.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from resolver.evaluation.gold import Gold
from resolver.evaluation.stage import Stage
from resolver.matching import statement
from resolver.matching.candidate import Candidate
from resolver.matching.decision import Decision, Fate
from resolver.matching.outcome import Outcome
from resolver.matching.place import NamedPlaces
from resolver.matching.policy import Policy
from resolver.matching.statement import Statements
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation
from resolver.text.country import family
from resolver.text.text import Text, registry_text
from resolver.text.words import CJK, same, script

SHORT = 3
"""Words of so many letters or fewer tell little: "of", "the", "und"."""


class Side(StrEnum):
    """Whether the organisation is in the label (missed) or in the links (wrong)."""

    MISSED = "missed"
    WRONG = "wrong"


class MistakeKind(StrEnum):
    """In order of precedence: a mistake has the first kind that applies."""

    LABEL_DOUBTFUL = "label_doubtful"
    """Wrong: the full name is one part of the string, its city or country stands in another part,
    the name is not within a labelled name, and the label does not rule it out. Missed: the string
    has no word of the name, nor its initials."""

    NO_ORGANISATION_LABELLED = "no_organisation_labelled"
    """Wrong: the label has no organisation at all."""

    PREDECESSOR_OR_SUCCESSOR = "predecessor_or_successor"
    """A labelled and a linked organisation are predecessor and successor."""

    PARENT_OR_CHILD = "parent_or_child"
    """A labelled and a linked organisation are parent and child."""

    SAME_NAME_ELSEWHERE = "same_name_elsewhere"
    """A labelled organisation was missed, and one of the same name was linked or preferred."""

    WRONG_COUNTRY = "wrong_country"
    """The string names a country, and the wrongly linked organisation is in another. Missed: so is
    a wrong link that matches the same words."""

    OUTRANKED = "outranked"
    """Missed: a wrong link matches the same words, or a rival stood in its way. Wrong: it matches
    words of a missed label."""

    OMITTED = "omitted"
    """Missed: none of the above."""

    EXTRA = "extra"
    """Wrong: none of the above."""


@dataclass(frozen=True, slots=True)
class Named:
    """An organisation; `name` is None where the registry at hand has none of this id, and
    `probability` where it was not reranked."""

    ror_id: str
    name: str | None
    probability: float | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistaken pair, with what is known of it.

    `name`, `city` and `country_code` are the organisation's, None where the registry at hand has
    no such organisation or place. `lost_at` is the stage at which a missed organisation was lost,
    None for a wrong link. `fate` is what became of it in the decision, before level and
    succession, and `rival` the candidate that stood in its way there. `probability` and `logit`
    are None where it was not reranked; ranks count from 1, by the first stage, by the reranker's
    score and by the judge's probability, None where it has none. `against` holds the other
    organisations that the kind refers to: the parent, the namesake, the rival. `labels`, `maybe`
    and `links` are all those of the string.
    """

    affiliation: str
    side: Side
    kind: MistakeKind
    ror_id: str
    name: str | None
    city: str | None
    country_code: str | None
    lost_at: Stage | None
    fate: Fate | None
    rival: Named | None
    probability: float | None
    logit: float | None
    first_stage_rank: int | None
    reranker_rank: int | None
    judge_rank: int | None
    against: tuple[Named, ...]
    labels: tuple[Named, ...]
    maybe: tuple[Named, ...]
    links: tuple[Named, ...]


def mistakes(
    affiliation: Affiliation,
    gold: Gold,
    outcome: Outcome,
    statements: Statements,
    *,
    policy: Policy,
    known: Mapping[str, Document | None] | None = None,
) -> list[Mistake]:
    """The mistakes of one string, missed ones first.

    `statements` are those of the affiliation, with candidates and scores. `known` has documents of
    labels and links that are not among the candidates, where there are any: without them less is
    known of what the first stage missed.
    """
    labels = tuple(dict.fromkeys(gold.ror_ids))
    links = tuple(link.ror_id for link in outcome.links)
    missed = [ror_id for ror_id in labels if ror_id not in links]
    wrong = [ror_id for ror_id in gold.counted(links) if ror_id not in labels]
    if not missed and not wrong:
        return []
    candidates = statement.candidates(statements)
    scored = statement.scored(statements)
    documents = {c.ror_id: c.document for c in candidates}
    for ror_id in (*labels, *gold.maybe, *links):
        if ror_id not in documents and (document := (known or {}).get(ror_id)):
            documents[ror_id] = document
    story = _Story(affiliation, labels, links, documents, candidates)
    first_stage = {c.ror_id: rank for rank, c in enumerate(candidates, start=1)}
    probability = {s.ror_id: s.probability for s in scored}
    scores = statement.scores(scored)
    reranked = {ror_id: rank for rank, ror_id in enumerate(scores, start=1)}

    decided = {decision.ror_id: decision for decision in statement.decisions(statements, policy)}
    judged = {ror_id: rank for rank, ror_id in enumerate(decided, start=1)}

    def named(ror_ids: Iterable[str]) -> tuple[Named, ...]:
        return tuple(
            Named(
                ror_id,
                documents[ror_id].display_name if ror_id in documents else None,
                probability.get(ror_id),
            )
            for ror_id in ror_ids
        )

    def described(ror_id: str, side: Side) -> Mistake:
        decision = decided.get(ror_id)
        rival = decision.rival if decision else None
        if side is Side.WRONG:
            kind, against = _kind_of_wrong(story, ror_id, missed, gold.ruled_out)
        else:
            kind, against = _kind_of_missed(story, ror_id, wrong, rival)
        document = documents.get(ror_id)
        return Mistake(
            affiliation=outcome.affiliation,
            side=side,
            kind=kind,
            ror_id=ror_id,
            name=document.display_name if document else None,
            city=document.city if document else None,
            country_code=document.country_code if document else None,
            lost_at=_lost_at(decision, is_candidate=ror_id in first_stage)
            if side is Side.MISSED
            else None,
            fate=decision.fate if decision else None,
            rival=named([rival])[0] if rival else None,
            probability=probability.get(ror_id),
            logit=scores.get(ror_id),
            first_stage_rank=first_stage.get(ror_id),
            reranker_rank=reranked.get(ror_id),
            judge_rank=judged.get(ror_id),
            against=named(against),
            labels=named(labels),
            maybe=named(gold.maybe),
            links=named(links),
        )

    return [
        *(described(ror_id, Side.MISSED) for ror_id in missed),
        *(described(ror_id, Side.WRONG) for ror_id in wrong),
    ]


def unknown(gold: Gold, outcome: Outcome) -> set[str]:
    """The organisations whose documents `mistakes` needs; none where nothing is mistaken."""
    links = {link.ror_id for link in outcome.links}
    labels = set(gold.ror_ids)
    return set() if labels == set(gold.counted(links)) else labels | links | set(gold.maybe)


def _lost_at(decision: Decision | None, *, is_candidate: bool) -> Stage:
    """The stage at which a labelled organisation was lost that is not linked."""
    if decision is None:
        return Stage.SIEVE if is_candidate else Stage.FIRST_STAGE
    match decision.fate:
        case Fate.BELOW_THRESHOLD:
            return Stage.JUDGE
        case Fate.LINKED:
            return Stage.LINEAGE
    return Stage.DECISION


_Finding = tuple[MistakeKind, Sequence[str]]


def _kind_of_wrong(
    story: _Story, ror_id: str, missed: Sequence[str], ruled_out: Collection[str]
) -> _Finding:
    if ror_id not in ruled_out and story.stands_in_full(ror_id):
        return MistakeKind.LABEL_DOUBTFUL, ()
    if not story.labels:
        return MistakeKind.NO_ORGANISATION_LABELLED, ()
    related = story.related(ror_id, story.labels) or story.namesake(ror_id, missed)
    if related:
        return related
    if story.abroad(ror_id):
        return MistakeKind.WRONG_COUNTRY, ()
    displaced = [label for label in missed if story.compete(ror_id, label)]
    return (MistakeKind.OUTRANKED, displaced) if displaced else (MistakeKind.EXTRA, ())


def _kind_of_missed(
    story: _Story, ror_id: str, wrong: Sequence[str], rival: str | None
) -> _Finding:
    if story.stranger(ror_id):
        return MistakeKind.LABEL_DOUBTFUL, ()
    preferred = [rival] if rival else []
    related = story.related(ror_id, story.links) or story.namesake(ror_id, [*wrong, *preferred])
    if related:
        return related
    rivals = [link for link in wrong if story.compete(ror_id, link)]
    abroad = [link for link in rivals if story.abroad(link) and not story.abroad(ror_id)]
    if abroad:
        return MistakeKind.WRONG_COUNTRY, abroad
    outranking = rivals or preferred
    return (MistakeKind.OUTRANKED if outranking else MistakeKind.OMITTED), outranking


class _Story:
    """What the string says about the labelled and the linked organisations."""

    def __init__(
        self,
        affiliation: Affiliation,
        labels: Sequence[str],
        links: Sequence[str],
        documents: Mapping[str, Document],
        candidates: Sequence[Candidate],
    ) -> None:
        self.labels, self.links = labels, links
        self._documents = documents
        self._script = script(affiliation.text)
        self._affiliation = affiliation
        self._parts = [piece.words for piece in affiliation.pieces if piece.words]
        self._places = [candidate.document for candidate in candidates]
        self._places += [documents[label] for label in labels if label in documents]
        self._countries = {family(c) for c in NamedPlaces.of(affiliation, self._places).countries}

    def related(self, ror_id: str, others: Sequence[str]) -> _Finding | None:
        """By the registry's relations, which may be recorded on one side only."""

        def has(relation: str, other: str) -> bool:
            here, there = self._documents.get(ror_id), self._documents.get(other)
            return bool(
                (here and other in getattr(here, relation))
                or (there and ror_id in getattr(there, relation))
            )

        for kind, relation in (
            (MistakeKind.PREDECESSOR_OR_SUCCESSOR, "successors"),
            (MistakeKind.PARENT_OR_CHILD, "parents"),
        ):
            related = [other for other in others if other != ror_id and has(relation, other)]
            if related:
                return kind, related
        return None

    def namesake(self, ror_id: str, others: Sequence[str]) -> _Finding | None:
        names = self._names(ror_id)
        namesakes = [other for other in others if names & self._names(other)]
        return (MistakeKind.SAME_NAME_ELSEWHERE, namesakes) if namesakes else None

    def abroad(self, ror_id: str) -> bool:
        """The string names a country, and not this organisation's; territories are their
        country's."""
        document = self._documents.get(ror_id)
        return bool(
            document
            and document.country_code
            and self._countries
            and family(document.country_code) not in self._countries
        )

    def compete(self, ror_id: str, rival: str) -> bool:
        """Both match a common word of the string."""
        return bool(self._matched(ror_id) & self._matched(rival))

    def stands_in_full(self, ror_id: str) -> bool:
        """The name is one part of the string, its place another, and no label matches both."""
        document = self._documents.get(ror_id)
        if document is None or document.is_acronym or len(registry_text(document.name).units) < 2:
            return False
        name = registry_text(document.name).words
        parts = [part for part in self._parts if part != name]
        if len(parts) == len(self._parts):
            return False
        stands = self._matched(ror_id)
        if any(stands <= self._label_matched(label) for label in self.labels):
            return False
        beside = NamedPlaces.of(Text(" , ".join(map(" ".join, parts))), [document])
        return beside.city(document) or bool(beside.countries)

    def stranger(self, ror_id: str) -> bool:
        """No word of its names is there, nor their initials; other scripts cannot be compared."""
        document = self._documents.get(ror_id)
        if document is None:
            return False
        for name in (document.name, document.display_name):
            name_units = registry_text(name).units
            if script(name) != self._script or self._abbreviates(name_units):
                return False
            # Short words are mostly "of" and its like; the first one is not.
            telling = [
                word
                for place, word in enumerate(name_units)
                if place == 0 or len(word) > SHORT or CJK.fullmatch(word)
            ]
            if any(same(unit, word) for word in telling for unit in self._affiliation.units):
                return False
        return True

    def _abbreviates(self, name: Sequence[str]) -> bool:
        """A word of the string and the initials of the name begin alike: "CNOOC" and "China
        National Offshore Oil Corporation (China)", "INRAE" and "INRA"."""
        every = "".join(word[0] for word in name)
        long = "".join(word[0] for word in name if len(word) > SHORT)
        return any(
            min(len(initials), len(unit)) >= SHORT
            and (unit.startswith(initials) or initials.startswith(unit))
            for initials in (every, long)
            for unit in self._affiliation.units
        )

    def _names(self, ror_id: str) -> set[str]:
        document = self._documents.get(ror_id)
        names = (document.name, document.display_name) if document else ()
        return {" ".join(registry_text(name).words) for name in names}

    def _label_matched(self, ror_id: str) -> frozenset[int]:
        """Words that the matched or the display name matches: a label may be written by both."""
        document = self._documents.get(ror_id)
        if document is None:
            return frozenset()
        display = self._affiliation.matched(registry_text(document.display_name))
        return self._matched(ror_id) | display

    def _matched(self, ror_id: str) -> frozenset[int]:
        document = self._documents.get(ror_id)
        if document is None:
            return frozenset()
        return self._affiliation.matched(registry_text(document.name))
