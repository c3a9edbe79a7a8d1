"""Queries → candidates, whatever version of the interface they came by.

A query is read as an affiliation. What a client says beside the name is added to the text, as an
author would write it: so the matcher reads a country, a city, a web address or an identifier as it
always does.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resolver.doors.backend import Backend
from resolver.doors.batching import TextFailed
from resolver.doors.matching import Answered
from resolver.matching.decision import Scored
from resolver.matching.outcome import CountryAgreement, Link
from resolver.registry.organisation import TYPES, Organisation, OrganisationStatus
from resolver.registry.ror_id import read_ror_id
from resolver.text.country import ENGLISH_NAMES
from resolver.text.words import fold

ORGANIZATION = "Organization"
"""The type that every organisation has."""

CANDIDATES = 5
"""Candidates of a query that asks for no number."""

MOST_CANDIDATES = 100

LEAST_PROBABILITY = 0.01
"""Candidates below are no help to a person who chooses."""

BEHIND_LINK = 0.1
"""How far below a link's score, of 100, the others are kept: clients look at the highest."""


@dataclass(frozen=True, slots=True)
class Query:
    """A name or an id, with what else is known: hints by property, ROR types to choose from."""

    text: str
    types: frozenset[str] = frozenset()
    limit: int = CANDIDATES
    hints: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An organisation that a query may mean.

    `score` is 100 times the probability. `match` holds for the one organisation that is linked;
    where several are, none matches. `features` are numbers and truth values by name.
    """

    ror_id: str
    name: str
    description: str
    types: Sequence[str]
    score: float
    match: bool
    features: Mapping[str, float | bool]


async def candidates(
    backend: Backend, queries: Sequence[Query]
) -> list[list[Candidate] | TextFailed]:
    """The candidates of each query, best first.

    Raises:
        ResolverError: nothing can be answered now.
    """
    found: list[list[Candidate] | TextFailed] = [[] for _ in queries]
    by_types: dict[frozenset[str], list[int]] = {}
    ids: dict[int, str] = {}
    for number, query in enumerate(queries):
        try:
            ids[number] = read_ror_id(query.text)
        except ValueError:
            by_types.setdefault(query.types, []).append(number)

    async def ask(types: frozenset[str], numbers: Sequence[int]) -> None:
        choices = backend.choices({"types": sorted(types)} if types else {})
        texts = [affiliation(queries[number]) for number in numbers]
        answers = await backend.answers(texts, choices)
        for number, answer in zip(numbers, answers, strict=True):
            if isinstance(answer, TextFailed):
                found[number] = answer
                continue
            read = {candidate.ror_id for candidate in answer.candidates}
            # Curators' links, and successors and parents, the reranker need not have read.
            unread = {link.ror_id for link in answer.outcome.links} - read
            organisations = await backend.organisations(answer.release_id, unread)
            found[number] = _of_answer(queries[number], answer, organisations)

    async with asyncio.TaskGroup() as asking:
        for types, numbers in by_types.items():
            asking.create_task(ask(types, numbers))
    known = await backend.organisations(backend.release_id, set(ids.values()))
    for number, ror_id in ids.items():
        if organisation := known.get(ror_id):
            found[number] = [of_id(organisation)]
    return found


def affiliation(query: Query) -> str:
    """The query and its hints as one text."""
    text = query.text.strip()
    hints = query.hints
    added: list[str] = []
    for city in hints.get("city", ()):
        added += _unless_named(city, text)
    for value in [*hints.get("country", ()), *hints.get("country_code", ())]:
        name = ENGLISH_NAMES.get(value.strip().upper(), value)
        # A country may be given as both, its code and its name.
        added += _unless_named(name, f"{text}, {', '.join(added)}")
    for value in [*hints.get("website", ()), *hints.get("domain", ())]:
        if "." in value:
            added.append(value if "://" in value else f"https://{value.strip().lstrip('@')}")
    for scheme, marked in _MARKED.items():
        added += [marked.format(value.strip()) for value in hints.get(scheme, ())]
    return ", ".join(filter(None, [text, *added]))


_MARKED = {
    "grid": "{}",
    "isni": "ISNI {}",
    "wikidata": "Wikidata {}",
    "fundref": "Funder ID {}",
    "ror_url": "{}",
}
"""How an identifier is written for `resolver.registry.identifier` to read it."""


def _unless_named(value: str, text: str) -> list[str]:
    value = value.strip()
    return [] if not value or f" {fold(value)} " in f" {fold(text)} ".replace(",", " ") else [value]


def _of_answer(
    query: Query, answer: Answered, organisations: Mapping[str, Organisation]
) -> list[Candidate]:
    links = {link.ror_id: link for link in answer.outcome.links}
    scored = {candidate.ror_id: candidate for candidate in answer.candidates}
    last = min((link.probability for link in links.values()), default=2.0) * 100 - BEHIND_LINK
    note = f"one of {len(links)} organisations that are named" if len(links) > 1 else ""
    best = [
        _candidate(
            query,
            scored.get(link.ror_id),
            link,
            organisation=organisations.get(link.ror_id),
            match=len(links) == 1,
            note=note,
        )
        for link in links.values()
    ]
    others = [
        _candidate(query, candidate, None, match=False, most=max(last, 0.0))
        for candidate in answer.candidates
        if candidate.ror_id not in links
        and candidate.probability >= LEAST_PROBABILITY
        and candidate.document.status is OrganisationStatus.ACTIVE
        and answer.policy.admits(candidate.document)
    ]
    return [*best, *others][: query.limit]


def _candidate(
    query: Query,
    scored: Scored | None,
    link: Link | None,
    *,
    match: bool,
    organisation: Organisation | None = None,
    note: str = "",
    most: float = 100.0,
) -> Candidate:
    document = scored.document if scored else None
    probability = link.probability if link else scored.probability if scored else 0.0
    matched_name = link.matched_name if link else document.name if document else ""
    features: dict[str, float | bool] = {
        "probability": round(probability, 4),
        "name_similarity": similarity(query.text, matched_name),
    }
    agrees = _country_agrees(query, scored, link)
    if agrees is not None:
        features["country_agrees"] = agrees
    features["matched_as_acronym"] = bool(document and document.is_acronym)
    place = ""
    types: Sequence[str] = ()
    if document:
        place = ", ".join(filter(None, [document.city, document.country]))
        types = document.types
    elif organisation:
        place, types = place_of(organisation), organisation.types
    return Candidate(
        ror_id=link.ror_id if link else scored.ror_id if scored else "",
        name=link.name if link else document.display_name if document else "",
        description="; ".join(filter(None, [place, note])),
        types=types,
        score=round(min(100 * probability, most), 2),
        match=match,
        features=features,
    )


def _country_agrees(query: Query, scored: Scored | None, link: Link | None) -> bool | None:
    """Whether the client or the text names the organisation's country; None where neither names
    one."""
    if link and link.evidence and link.evidence.country is not CountryAgreement.NONE_NAMED:
        return link.evidence.country is CountryAgreement.NAMED
    hinted = [*query.hints.get("country", ()), *query.hints.get("country_code", ())]
    if not hinted or scored is None:
        return None
    document = scored.document
    own = {fold(value) for value in (document.country_code, document.country) if value}
    return any(fold(value) in own for value in hinted)


def similarity(text: str, name: str) -> float:
    """How alike a text and a name are, case and accents aside, 0 to 100."""
    return round(100 * difflib.SequenceMatcher(None, fold(text), fold(name)).ratio(), 1)


def of_id(organisation: Organisation) -> Candidate:
    """The candidate of a query that is a ROR id."""
    return Candidate(
        organisation.ror_id,
        organisation.display_name,
        place_of(organisation),
        organisation.types,
        100.0,
        match=True,
        features={"probability": 1.0},
    )


def place_of(organisation: Organisation) -> str:
    """ "York, United Kingdom"."""
    place = organisation.place
    return ", ".join(filter(None, [place.city, place.country])) if place else ""


def bare_id(value: object) -> str | None:
    """The nine characters of an id in either form; None where it is none."""
    try:
        return read_ror_id(value)
    except ValueError:
        return None


async def beginning(backend: Backend, text: str, skip: int, limit: int) -> Sequence[Organisation]:
    """The active organisations with a name whose words begin as those of a text."""
    release_id, search = await backend.search()
    matches = search.beginning(text).having("status", {"active"})
    ror_ids = matches.ror_ids(skip, skip + limit)
    known = await backend.organisations(release_id, ror_ids)
    return [known[ror_id] for ror_id in ror_ids if ror_id in known]


KNOWN_TYPES: Mapping[str, str] = {
    ORGANIZATION: "Organization",
    **{kind: kind.capitalize() for kind in sorted(TYPES)},
}
"""Names of the types by id: the general one, and ROR's nine."""
