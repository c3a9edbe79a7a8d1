"""What the page shows of an answer: the string with the words that candidates stand on, and the
candidates with what speaks for and against each."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from resolver.doors.matching import Answered
from resolver.matching.decision import Decision, Fate, Scored
from resolver.matching.decision import decisions as decisions_of
from resolver.matching.evidence import FEATURES
from resolver.matching.outcome import CountryAgreement, Link, Reason
from resolver.matching.place import NamedPlaces, place_names
from resolver.matching.statement import JudgedStatement
from resolver.registry.organisation import (
    NameKind,
    Organisation,
    OrganisationStatus,
    Relation,
    RelationKind,
)
from resolver.registry.ror_id import ROR_URL
from resolver.text.text import registry_text
from resolver.text.words import CJK

MOST_CANDIDATES = 9
"""Candidates that are shown: there is a key for each."""

IMPROBABLE = 0.02
"""Below this probability a candidate is folded away, but for the first `ALWAYS_SHOWN`."""

ALWAYS_SHOWN = 3

MOST_WEIGHED = 6
"""Kinds of evidence shown of a candidate, those of the largest effect."""

MOST_PARENTS = 2

FATES = {
    Fate.NOT_ADMITTED: "of a type or in a country that the policy leaves out",
    Fate.BELOW_THRESHOLD: "not probable enough",
    Fate.ONLY_PLACES: "the string names places and nothing else",
    Fate.ONLY_ROLES: "the string names roles of persons and nothing else",
    Fate.OTHER_COUNTRY: "the string names another country",
    Fate.WORDS_CLAIMED: "its words belong to {rival}",
    Fate.NAMESAKE_PLACED: "the string names the place of its namesake {rival}",
    Fate.TIED: "exactly as good as {rival}",
    Fate.BEYOND_MAX_LINKS: "there are as many links as the policy allows",
}
"""Why a candidate is not linked."""

REASONS = {
    Reason.EMPTY: "there is no text",
    Reason.TOO_LONG: "the text is too long for an affiliation",
    Reason.PLACE_ONLY: "it names only places",
    Reason.PERSON_OR_NOISE: "it names persons or roles, or is a remark or a number",
    Reason.DEPARTMENT_ONLY: "it names a department, but not what that is part of",
    Reason.NOT_IN_REGISTRY: "the registry has no organisation like this",
    Reason.AMBIGUOUS: "several organisations fit equally well, and nothing tells them apart",
    Reason.NOT_ADMITTED: "its organisation is of a type or in a country that the policy leaves out",
    Reason.BELOW_THRESHOLD: "an organisation is similar, but not probable enough",
    Reason.OVERRIDDEN: "a curator decided that it is not what it would be linked to",
}
"""Why there is no link, in words that need no knowledge of this program."""

EVIDENCE = {feature.name: feature.says.replace("`", "") for feature in FEATURES}
"""What each kind of evidence is."""

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


@dataclass(frozen=True, slots=True)
class _Judged:
    """A candidate with the statement that it was judged in."""

    decision: Decision
    statement: JudgedStatement

    @property
    def scored(self) -> Scored:
        return self.decision.scored


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
    ranked = sorted(judged.values(), key=lambda j: -j.scored.probability)
    order = dict.fromkeys([*before, *(r for r in links if r in ticked), *ticked, *links])
    for candidate in ranked:
        if len(order) >= MOST_CANDIDATES:
            break
        order.setdefault(candidate.scored.ror_id)
    names = {ror_id: _name(ror_id, organisations, judged, links) for ror_id in order}
    names |= {ror_id: one.scored.document.display_name for ror_id, one in judged.items()}
    if blind:
        order = dict.fromkeys(sorted(order, key=lambda ror_id: names[ror_id].casefold()))
    places = {
        id(statement): NamedPlaces.of(statement.affiliation, [s.document for s in statement.scored])
        for statement in answered.judgement.statements
    }
    words: list[list[Span]] = []
    candidates: list[Candidate] = []
    for number, ror_id in enumerate(order, start=1):
        one, link = judged.get(ror_id), links.get(ror_id)
        spans = _words(text, one, link)
        words.append(spans)
        candidates.append(
            _candidate(
                number,
                ror_id,
                one,
                link,
                places,
                names,
                organisations.get(ror_id),
                ticked=ror_id in ticked,
                words=" … ".join(text[start:end] for start, end in spans),
                blind=blind,
            )
        )
    reason = answered.outcome.reason
    return Shown(
        pieces=tuple(_pieces(text, answered, words, candidates, blind=blind)),
        candidates=tuple(candidates),
        reason=None if blind else reason and reason.value,
        why="" if blind or reason is None else REASONS[reason],
        advice="" if blind or reason is None else _advice(reason, ranked),
    )


def _judged(answered: Answered) -> dict[str, _Judged]:
    """Each candidate once: as it is linked, else as it is most probable."""
    made = [
        _Judged(decision, statement)
        for statement in answered.judgement.statements
        for decision in decisions_of(statement.affiliation, statement.scored, answered.policy)
    ]
    made.sort(key=lambda j: (j.decision.fate is not Fate.LINKED, -j.scored.probability))
    best: dict[str, _Judged] = {}
    for one in made:
        best.setdefault(one.scored.ror_id, one)
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
    one: _Judged | None,
    link: Link | None,
    places: Mapping[int, NamedPlaces],
    names: Mapping[str, str],
    organisation: Organisation | None,
    *,
    ticked: bool,
    words: str,
    blind: bool,
) -> Candidate:
    matched_name, why_not = None, ""
    country, city = CountryAgreement.NONE_NAMED, False
    weighed: tuple[tuple[str, float], ...] = ()
    if one is not None:
        document, affiliation = one.scored.document, one.statement.affiliation
        matched_name = document.name if document.name != names[ror_id] else None
        named = places[id(one.statement)]
        country = named.country(document, affiliation.matched(registry_text(document.name)))
        city = named.city(document)
        if link is None:
            rival = names.get(one.decision.rival or "", "a better one")
            why_not = FATES.get(one.decision.fate, "").format(rival=f"“{rival}”")
        weighed = tuple(
            (EVIDENCE.get(name, name), added)
            for name, added in sorted(one.scored.weighed, key=lambda entry: -abs(entry[1]))
        )[:MOST_WEIGHED]
    probability = link.probability if link else one.scored.probability if one else None
    return Candidate(
        number=number,
        ror_id=ror_id,
        name=names[ror_id],
        matched_name=matched_name,
        ticked=ticked,
        linked=link is not None and not blind,
        probability=None if blind else probability,
        why_not="" if blind else why_not,
        words=words,
        city_named=city,
        country_named=country is CountryAgreement.NAMED,
        other_country_named=country is CountryAgreement.OTHER_NAMED,
        weighed=() if blind else weighed,
        organisation=organisation,
    )


def _words(text: str, one: _Judged | None, link: Link | None) -> list[Span]:
    """Where in the whole text the words are that an organisation stands on, in order."""
    if one is None:
        evidence = link.evidence if link else None
        return [(evidence.start, evidence.end)] if evidence and evidence.text else []
    affiliation, start = one.statement.affiliation, one.statement.start
    matched = one.decision.matched or affiliation.matched(registry_text(one.scored.document.name))
    spans = [affiliation.spans[position] for position in sorted(matched)]
    whole = [_whole_word(text, first + start, last + start) for first, last in spans]
    return list(_joined(text, whole))


def _whole_word(text: str, start: int, end: int) -> Span:
    """The word that some letters are of: a name is compared without the Arabic article, and is
    shown with it."""
    if CJK.search(text[start:end]):
        return start, end
    while start and _in_word(text[start - 1]):
        start -= 1
    while end < len(text) and _in_word(text[end]):
        end += 1
    return start, end


def _in_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" and not CJK.search(character)


def _joined(text: str, spans: Sequence[Span]) -> Iterator[Span]:
    """Neighbours as one: what is between two words of a name belongs to it."""
    current: Span | None = None
    for start, end in sorted(spans):
        if current and not text[current[1] : start].strip(" -‐–'’.&/"):
            current = current[0], max(current[1], end)
            continue
        if current:
            yield current
        current = start, end
    if current:
        yield current


def _pieces(
    text: str,
    answered: Answered,
    words: Sequence[Sequence[Span]],
    candidates: Sequence[Candidate],
    *,
    blind: bool,
) -> Iterator[Piece]:
    """The text cut wherever the words of a candidate or a part of it begin or end."""
    documents = [scored.document for scored in answered.judgement.scored]
    parts = answered.judgement.affiliation.parts(place_names(documents))
    if answered.judgement.affiliation.text != text:
        parts = []
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


def _advice(reason: Reason, ranked: Sequence[_Judged]) -> str:
    """What to look at."""
    nearest = ranked[0].scored if ranked and ranked[0].scored.probability >= IMPROBABLE else None
    near = (
        f"nearest is {nearest.document.display_name} ({nearest.probability:.2f})" if nearest else ""
    )
    match reason:
        case Reason.BELOW_THRESHOLD:
            return near
        case Reason.NOT_IN_REGISTRY:
            return near
        case Reason.AMBIGUOUS:
            return "if you know which one is meant, tick it"
        case Reason.DEPARTMENT_ONLY:
            return "if a place or an acronym tells which organisation it is, tick that"
    return ""
