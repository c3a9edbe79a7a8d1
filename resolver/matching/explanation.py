"""How the answer for an affiliation came about, for whatever shows it: a terminal, JSON, a page.

`candidates` has what became of each candidate and the words that it stands on, `remedy` what would
have to be otherwise for a link. Who shows them adds how this is done there: an option of the
command line, a button.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from resolver.matching import outcome_object, statement
from resolver.matching.candidate import Candidate
from resolver.matching.decision import ELSEWHERE, Decision, Fate, Scored, decisions
from resolver.matching.matcher import Judgement
from resolver.matching.outcome import CountryAgreement, Reason
from resolver.matching.place import NamedPlaces, place_names
from resolver.matching.policy import Policy
from resolver.matching.statement import JudgedStatement
from resolver.registry.document import Document
from resolver.registry.identifier import identifiers_in
from resolver.text.affiliation import MAX_CHARACTERS, unescaped
from resolver.text.damage import respaced, restored
from resolver.text.parts import Part
from resolver.text.text import registry_text
from resolver.text.words import fold

REASONS = {
    Reason.EMPTY: "there is no text",
    Reason.TOO_LONG: "it is too long for an affiliation",
    Reason.PLACE_ONLY: "it names places only",
    Reason.PERSON_OR_NOISE: "it names persons, or is a remark or a number",
    Reason.DEPARTMENT_ONLY: "it names a department, not what that is part of",
    Reason.NOT_IN_REGISTRY: "the registry has no organisation like this",
    Reason.AMBIGUOUS: "several organisations fit equally well",
    Reason.NOT_ADMITTED: "its organisation is of a type or in a country that was excluded",
    Reason.BELOW_THRESHOLD: "an organisation is similar, but not probable enough",
    Reason.OVERRIDDEN: "a curator decided against a link",
}
"""Each reason in plain words."""

FATES = {
    Fate.LINKED: "linked",
    Fate.NOT_ADMITTED: "of a type or in a country that was excluded",
    Fate.BELOW_THRESHOLD: "not probable enough",
    Fate.ONLY_PLACES: "the text names places and nothing else",
    Fate.ONLY_ROLES: "the text names roles of persons and nothing else",
    Fate.OTHER_COUNTRY: "the text names another country, and nothing of its place",
    Fate.WORDS_CLAIMED: "its words are taken by a better link",
    Fate.NAMESAKE_PLACED: "the text names the place of a namesake",
    Fate.TIED: "another organisation is equally good",
    Fate.BEYOND_MAX_LINKS: "there are as many links as were asked for",
}
"""What became of a candidate in plain words."""

REMEDIES = {
    Reason.EMPTY: f"a text of 1 to {MAX_CHARACTERS:,} characters",
    Reason.TOO_LONG: f"a text of 1 to {MAX_CHARACTERS:,} characters",
    Reason.PLACE_ONLY: "the name of an organisation",
    Reason.PERSON_OR_NOISE: "the name of an organisation",
    Reason.DEPARTMENT_ONLY: "the name of the organisation that the department is part of",
    Reason.NOT_IN_REGISTRY: "a record in the registry",
    Reason.AMBIGUOUS: "a place that tells which",
    Reason.NOT_ADMITTED: "other types or countries to link",
    Reason.BELOW_THRESHOLD: "a fuller name, or a lower threshold",
    Reason.OVERRIDDEN: "the end of the override",
}
"""What a link would take, by the reason for none."""


def in_words(reason: Reason) -> str:
    """ "ambiguous: several organisations fit equally well"."""
    return f"{reason}: {REASONS[reason]}"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What would have to be otherwise for a link.

    `organisations` are those that it is about: all that are equally good where that is the
    `reason`, else the nearest one where the reason is a matter of probability.
    """

    reason: Reason
    organisations: tuple[Scored, ...] = ()

    def __str__(self) -> str:
        """Without the organisations: "a fuller name, or a lower threshold"."""
        return REMEDIES[self.reason]


def remedy(judgement: Judgement, policy: Policy) -> Remedy | None:
    """What a link would take; None for a linked affiliation."""
    reason = judgement.outcome.reason
    match reason:
        case None:
            return None
        case Reason.AMBIGUOUS:
            return Remedy(reason, tuple(_equals(judgement, policy)))
        case Reason.BELOW_THRESHOLD | Reason.NOT_IN_REGISTRY:
            near = (
                decision.scored
                for decision in statement.decisions(judgement.statements, policy)
                if decision.fate in {Fate.BELOW_THRESHOLD, *ELSEWHERE}
            )
            return Remedy(reason, tuple(s for s in [next(near, None)] if s))
        case _:
            return Remedy(reason)


def _equals(judgement: Judgement, policy: Policy) -> list[Scored]:
    """Those that are tied, else the most probable one and its namesakes."""
    made = statement.decisions(judgement.statements, policy)
    by_id = {decision.ror_id: decision.scored for decision in made}
    for decision in made:
        if decision.fate is Fate.TIED and decision.rival in by_id:
            return [decision.scored, by_id[decision.rival]]
    best = fold(made[0].scored.document.name)
    return [d.scored for d in made if fold(d.scored.document.name) == best]


@dataclass(frozen=True, slots=True)
class ExplainedCandidate:
    """A candidate of the `statement`th statement, from 1, at this rank of its first stage, from 1.

    `stands_on` are the words of the affiliation that match its name: first character, and the one
    after the last, in the normalised text of the whole affiliation, in order. Words are whole, with
    an article that is written as part of them, and neighbours are joined. It is empty where the
    name is written in another way, as in another script.

    `text_share` is the share of the statement's words that match. `decision`, with the scores, says
    what became of it; that, `country` and `city_named` are None where it is not on the shortlist.
    """

    statement: int
    candidate: Candidate
    rank: int
    stands_on: tuple[tuple[int, int], ...]
    text_share: float
    decision: Decision | None = None
    country: CountryAgreement | None = None
    city_named: bool | None = None

    @property
    def ror_id(self) -> str:
        return self.candidate.ror_id


def candidates(judgement: Judgement, policy: Policy) -> list[ExplainedCandidate]:
    """The candidates of each statement in turn, in the first stage's order."""
    return [
        explained
        for number, judged in enumerate(judgement.statements, start=1)
        for explained in _candidates_of(judged, number, policy)
    ]


def _candidates_of(
    judged: JudgedStatement, number: int, policy: Policy
) -> Iterator[ExplainedCandidate]:
    affiliation = judged.affiliation
    places = NamedPlaces.of(affiliation, [s.document for s in judged.scored])
    made = {d.ror_id: d for d in decisions(affiliation, judged.scored, policy)}
    for rank, candidate in enumerate(judged.candidates, start=1):
        document, decision = candidate.document, made.get(candidate.ror_id)
        matched = affiliation.matched(registry_text(document.name))
        # A link stands on those that no better link has claimed.
        on = decision.matched if decision and decision.matched else matched
        yield ExplainedCandidate(
            number,
            candidate,
            rank,
            tuple(
                (judged.start + start, judged.start + end)
                for start, end in affiliation.stretches(on)
            ),
            len(matched) / len(affiliation.units) if affiliation.units else 0.0,
            decision,
            places.country(document, matched) if decision else None,
            places.city(document) if decision else None,
        )


def parts(judgement: Judgement) -> list[Part]:
    """What each part of the text is, given the places of the candidates."""
    return judgement.affiliation.parts(place_names(s.document for s in judgement.scored))


def changes(raw: str) -> list[str]:
    """What normalisation did to a text, in words."""
    # What is longer was not read.
    raw = raw[: MAX_CHARACTERS + 1]
    plain = unescaped(raw)
    mended = restored(plain)
    categories = {unicodedata.category(character) for character in raw}
    made = {
        "HTML entities resolved": plain != raw,
        "tags removed": bool(re.search(r"</?[A-Za-z][^<>]{0,200}>", mended)),
        "damage mended": mended != plain or respaced(plain) != plain,
        "compatibility characters folded": not unicodedata.is_normalized("NFKC", mended),
        "invisible characters removed": "Cf" in categories,
        "control characters replaced": any(
            unicodedata.category(c) == "Cc" and not c.isspace() for c in raw
        ),
        "broken characters replaced": "Cs" in categories,
        "white space made single": bool(re.search(r"\s\s|[^\S ]|^\s|\s$", raw)),
    }
    return [change for change, is_made in made.items() if is_made]


def as_object(
    judgement: Judgement, policy: Policy, organisations: Mapping[str, Document]
) -> dict[str, object]:
    """The JSON form, with all candidates. `organisations` are those that are linked
    (`outcome_object.linked_organisations`)."""
    affiliation = judgement.affiliation
    wanted = remedy(judgement, policy)
    return {
        **outcome_object.as_object(judgement.outcome, organisations),
        "normalised": affiliation.text,
        "changes": changes(judgement.outcome.affiliation),
        "statements": [
            {
                "text": judged.affiliation.text,
                "start": judged.start,
                "segments": list(judged.affiliation.searched),
            }
            for judged in judgement.statements
        ],
        "identifiers": sorted(identifiers_in(affiliation.text)),
        "parts": [asdict(part) for part in parts(judgement)],
        "policy": policy.as_object(),
        "overrides": [asdict(override) for override in judgement.overrides],
        "candidates": [_object(explained) for explained in candidates(judgement, policy)],
        "would_change": wanted and str(wanted),
    }


def _object(explained: ExplainedCandidate) -> dict[str, object]:
    candidate, decision = explained.candidate, explained.decision
    always: dict[str, object] = {
        "statement": explained.statement,
        "ror_id": candidate.ror_id,
        "name": candidate.document.display_name,
        "matched_name": candidate.document.name,
        "city": candidate.document.city,
        "country_code": candidate.document.country_code,
        "first_stage_rank": explained.rank,
        "sparse": candidate.sparse.score if candidate.sparse else None,
        "dense": candidate.dense.score if candidate.dense else None,
        "stands_on": explained.stands_on,
    }
    if decision is None:
        return always
    return always | {
        "score": decision.scored.score,
        "forecast": decision.scored.forecast,
        "probability": decision.scored.probability,
        "text_share": explained.text_share,
        "country": explained.country,
        "city_named": explained.city_named,
        "weighed": dict(decision.scored.weighed),
        "step": decision.fate,
        "rival": decision.rival,
    }
