"""What the page shows of an answer: the string with the words that candidates stand on, and the
candidates with what speaks for and against each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from resolver.doors.matching import Answered
from resolver.matching import explanation
from resolver.matching.decision import Decision, Fate, Scored
from resolver.matching.evidence import FEATURES
from resolver.matching.explanation import ExplainedCandidate
from resolver.matching.outcome import CountryAgreement, Link, Reason
from resolver.registry.organisation import (
    NameKind,
    Organisation,
    OrganisationStatus,
    Relation,
    RelationKind,
)
from resolver.registry.ror_id import ROR_URL

MOST_CANDIDATES = 9
"""Candidates that are shown: there is a key for each."""

IMPROBABLE = 0.02
"""Below this probability a candidate is folded away, but for the first `ALWAYS_SHOWN`."""

ALWAYS_SHOWN = 3

MOST_WEIGHED = 6
"""Kinds of evidence shown of a candidate, those of the largest effect."""

MOST_PARENTS = 2


def _evidence() -> dict[str, str]:
    """What each kind of evidence is, each in words that stand alone: the list that they come from
    says "the same" of the kind before."""
    words: dict[str, str] = {}
    before = ""
    for feature in FEATURES:
        says = feature.says.replace("`", "")
        if says.startswith("the same minus"):
            says = before.partition(";")[0] + says.removeprefix("the same")
        words[feature.name] = before = says
    return words


EVIDENCE = _evidence()

Span = tuple[int, int]
"""First character and the one after the last."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the string, all of which the same holds for: the numbers of the candidates that
    stand on it, and what part of the string it is (`resolver.text.parts.PartKind`, or "").
    `linked`: a link stands on it. `ends` are the links whose words end with it."""

    text: str
    candidates: tuple[int, ...]
    kind: str
    linked: bool
    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An organisation that may be ticked. `number` counts from 1 and is its key up to 9.

    `matched_name` is the name that fits the string best, None where it is the displayed one.
    `probability` is None where the models did not read the organisation. `why_not` says why it is
    not linked, "" where it is. `words` is what of the string it stands on.
    """

    number: int
    ror_id: str
    name: str
    matched_name: str | None
    ticked: bool
    linked: bool
    probability: float | None
    why_not: str
    words: str
    city_named: bool
    country_named: bool
    other_country_named: bool
    weighed: tuple[tuple[str, float], ...]
    organisation: Organisation | None

    @property
    def url(self) -> str:
        return ROR_URL + self.ror_id

    @property
    def website(self) -> str | None:
        """Its website, if the address is one of the web: the registry's text is not trusted."""
        websites = self.organisation.websites if self.organisation else ()
        return next((w for w in websites if w.startswith(("https://", "http://"))), None)

    @property
    def city(self) -> str:
        place = self.organisation.place if self.organisation else None
        return (place.city if place else None) or ""

    @property
    def country(self) -> str:
        place = self.organisation.place if self.organisation else None
        return (place.country if place else None) or ""

    @property
    def types(self) -> tuple[str, ...]:
        return self.organisation.types if self.organisation else ()

    @property
    def acronyms(self) -> list[str]:
        names = self.organisation.names if self.organisation else ()
        shown = (self.name, self.matched_name)
        return [n.value for n in names if NameKind.ACRONYM in n.kinds and n.value not in shown][:2]

    @property
    def parents(self) -> list[str]:
        return [r.label for r in self._related(RelationKind.PARENT)][:MOST_PARENTS]

    @property
    def status(self) -> str:
        """ "" of an active organisation."""
        status = self.organisation.status if self.organisation else OrganisationStatus.ACTIVE
        return "" if status is OrganisationStatus.ACTIVE else status.value

    @property
    def successors(self) -> list[Relation]:
        return self._related(RelationKind.SUCCESSOR)

    def _related(self, kind: RelationKind) -> list[Relation]:
        relations = self.organisation.relations if self.organisation else ()
        return [relation for relation in relations if relation.kind is kind]

    @property
    def improbable(self) -> bool:
        """Whether it is folded away."""
        return (
            not self.ticked
            and self.number > ALWAYS_SHOWN
            and (self.probability is None or self.probability < IMPROBABLE)
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer as it is shown. `nearest` is the best candidate where there is no link."""

    pieces: tuple[Piece, ...]
    candidates: tuple[Candidate, ...]
    reason: str | None
    why: str
    advice: str

    @property
    def near(self) -> list[Candidate]:
        return [candidate for candidate in self.candidates if not candidate.improbable]

    @property
    def far(self) -> list[Candidate]:
        return [candidate for candidate in self.candidates if candidate.improbable]


def organisations_of(answered: Answered) -> set[str]:
    """The organisations that `shown` describes, by ROR id."""
    return {link.ror_id for link in answered.outcome.links} | {
        scored.ror_id for scored in _best(answered)[:MOST_CANDIDATES]
    }


def _best(answered: Answered) -> list[Scored]:
    return sorted(answered.judgement.scored, key=lambda s: -s.probability)


def shown(
    text: str,
    answered: Answered,
    organisations: Mapping[str, Organisation],
    ticked: Sequence[str],
    *,
    before: Sequence[str] = (),
    blind: bool = False,
) -> Shown:
    """An answer to the normalised `text`, with these organisations ticked. Of those that are ticked
    all are shown; those that were seen `before` come first, in their order. `blind`: nothing shows
    what the models think, not even the order.

    `organisations` has those of `organisations_of` and all that are ticked or were seen before.
    """
    judged = _judged(answered)
    links = {link.ror_id: link for link in answered.outcome.links}
    ranked = sorted(judged, key=lambda ror_id: -judged[ror_id].scored.probability)
    order = dict.fromkeys([*before, *(r for r in links if r in ticked), *ticked, *links])
    for ror_id in ranked:
        if len(order) >= MOST_CANDIDATES:
            break
        order.setdefault(ror_id)
    names = {ror_id: _name(ror_id, organisations, judged, links) for ror_id in [*order, *judged]}
    if blind:
        order = dict.fromkeys(sorted(order, key=lambda ror_id: names[ror_id].casefold()))
    words = [_words(judged.get(ror_id), links.get(ror_id)) for ror_id in order]
    candidates = [
        _candidate(
            number,
            ror_id,
            judged.get(ror_id),
            links.get(ror_id),
            names,
            organisations.get(ror_id),
            ticked=ror_id in ticked,
            words=" … ".join(text[start:end] for start, end in spans),
            blind=blind,
            accepted=answered.policy.accept_probability,
        )
        for number, (ror_id, spans) in enumerate(zip(order, words, strict=True), start=1)
    ]
    reason = answered.outcome.reason
    return Shown(
        pieces=tuple(_pieces(text, answered, words, candidates, blind=blind)),
        candidates=tuple(candidates),
        reason=None if blind else reason and reason.value,
        why="" if blind or reason is None else explanation.REASONS[reason],
        advice="" if blind else _advice(answered),
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """A candidate on the shortlist."""

    explained: ExplainedCandidate
    decision: Decision

    @property
    def scored(self) -> Scored:
        return self.decision.scored


def _judged(answered: Answered) -> dict[str, _Judged]:
    """Each candidate once, by ROR id: as it is linked, else as it is most probable."""
    made = [
        _Judged(explained, explained.decision)
        for explained in explanation.candidates(answered.judgement, answered.policy)
        if explained.decision is not None
    ]
    made.sort(key=lambda j: (j.decision.fate is not Fate.LINKED, -j.scored.probability))
    best: dict[str, _Judged] = {}
    for judged in made:
        best.setdefault(judged.explained.ror_id, judged)
    return best


def _name(
    ror_id: str,
    organisations: Mapping[str, Organisation],
    judged: Mapping[str, _Judged],
    links: Mapping[str, Link],
) -> str:
    if ror_id in organisations:
        return organisations[ror_id].display_name
    if ror_id in judged:
        return judged[ror_id].scored.document.display_name
    return links[ror_id].name if ror_id in links else ror_id


def _candidate(
    number: int,
    ror_id: str,
    judged: _Judged | None,
    link: Link | None,
    names: Mapping[str, str],
    organisation: Organisation | None,
    *,
    ticked: bool,
    words: str,
    blind: bool,
    accepted: float,
) -> Candidate:
    explained = judged.explained if judged else None
    matched_name = explained.candidate.document.name if explained else names[ror_id]
    probability = link.probability if link else judged.scored.probability if judged else None
    return Candidate(
        number=number,
        ror_id=ror_id,
        name=names[ror_id],
        matched_name=matched_name if matched_name != names[ror_id] else None,
        ticked=ticked,
        linked=link is not None and not blind,
        probability=None if blind else probability,
        why_not=_why_not(judged.decision, names, accepted)
        if judged and not link and not blind
        else "",
        words=words,
        city_named=bool(explained and explained.city_named),
        country_named=bool(explained and explained.country is CountryAgreement.NAMED),
        other_country_named=bool(explained and explained.country is CountryAgreement.OTHER_NAMED),
        weighed=_weighed(judged.scored) if judged and not blind else (),
        organisation=organisation,
    )


def _why_not(decision: Decision, names: Mapping[str, str], accepted: float) -> str:
    """Why a candidate is not linked, where links need the probability `accepted`. One that the
    models would link is not because of a curator."""
    if decision.fate is Fate.LINKED:
        return "a curator decided otherwise"
    if decision.fate is Fate.BELOW_THRESHOLD:
        return f"{explanation.FATES[decision.fate]} (links need {accepted:.2f})"
    rival = names.get(decision.rival or "")
    return explanation.FATES[decision.fate] + (f": “{rival}”" if rival else "")


def _weighed(scored: Scored) -> tuple[tuple[str, float], ...]:
    heaviest = sorted(scored.weighed, key=lambda entry: -abs(entry[1]))[:MOST_WEIGHED]
    return tuple((EVIDENCE.get(name, name), added) for name, added in heaviest)


def _words(judged: _Judged | None, link: Link | None) -> Sequence[Span]:
    """Where in the text the words are that an organisation stands on, in order."""
    if judged is not None:
        return judged.explained.stands_on
    evidence = link.evidence if link else None
    return [(evidence.start, evidence.end)] if evidence and evidence.text else []


def _pieces(
    text: str,
    answered: Answered,
    words: Sequence[Sequence[Span]],
    candidates: Sequence[Candidate],
    *,
    blind: bool,
) -> Iterator[Piece]:
    """The text cut wherever the words of a candidate or a part of it begin or end."""
    parts = explanation.parts(answered.judgement)
    cuts = {0, len(text)}
    for start, end in [*(s for spans in words for s in spans), *((p.start, p.end) for p in parts)]:
        cuts |= {start, end}
    numbered = list(zip(candidates, words, strict=True))
    last = {} if blind else {c.number: spans[-1][1] for c, spans in numbered if spans and c.linked}
    for start, end in pairwise(sorted(cuts)):
        on = [c for c, spans in numbered if any(s <= start and end <= e for s, e in spans)]
        yield Piece(
            text=text[start:end],
            candidates=tuple(c.number for c in on),
            kind=next((p.kind.value for p in parts if p.start <= start and end <= p.end), ""),
            linked=any(c.linked for c in on),
            ends=tuple(number for number, at in last.items() if at == end),
        )


def _advice(answered: Answered) -> str:
    """What to look at where there is no link."""
    remedy = explanation.remedy(answered.judgement, answered.policy)
    if remedy is None:
        return ""
    match remedy.reason:
        case Reason.BELOW_THRESHOLD | Reason.NOT_IN_REGISTRY:
            near = [s for s in remedy.organisations if s.probability >= IMPROBABLE]
            return "".join(
                f"the nearest is {s.document.display_name} ({s.probability:.2f})" for s in near
            )
        case Reason.AMBIGUOUS:
            return "if you know which one is meant, tick it"
        case Reason.DEPARTMENT_ONLY:
            return "if a place or an acronym tells which organisation it is, tick that"
    return ""
