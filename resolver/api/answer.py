"""The answer for one affiliation, with what the registry says of each organisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resolver.matching.outcome import Link, Outcome, Reason
from resolver.registry.document import Document
from resolver.registry.ror_id import ROR_URL


@dataclass(frozen=True, slots=True)
class LinkedOrganisation:
    """An organisation that an affiliation names.

    `ror_id` is the nine characters of the ROR id, `ror_url` the id in full. `name` is the
    organisation's display name, `matched_name` the one of its names that fits the text best.
    `probability`, 0 to 1, is how sure the link is; `score` the cross-encoder's logit. `rank` counts
    from 1, the most probable first.

    `country_code` (ISO 3166-1 alpha-2), `country`, `city`, `types` and `website` are the
    registry's, None or empty where it has none.

    `matched_text` is the part of `Answer.text` that the name stands on, from character `start` to
    before `end`; "", 0 and 0 where the name is written otherwise, as in another script.

    `stands_for` has the ROR ids of what the affiliation names where this organisation was put in
    their place: a successor or a top parent, as `level` and `succession` ask for.
    """

    ror_id: str
    name: str
    matched_name: str
    probability: float
    score: float | None
    rank: int
    country_code: str | None
    country: str | None
    city: str | None
    types: tuple[str, ...]
    matched_text: str
    start: int
    end: int
    stands_for: tuple[str, ...] = ()
    website: str | None = None

    @property
    def ror_url(self) -> str:
        """The ROR id in full: ``https://ror.org/052gg0110``."""
        return ROR_URL + self.ror_id


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one affiliation: its links, most probable first, or the reason for none.

    `affiliation` is the text as it was given, "" for a missing value. `text` is the same as it was
    read: entities, tags and white space resolved, damage mended; "" where nothing is left of it.
    `links` is empty exactly when `reason` is set.
    """

    affiliation: str
    text: str
    links: tuple[LinkedOrganisation, ...]
    reason: Reason | None


def answer_of(outcome: Outcome, text: str, documents: Mapping[str, Document]) -> Answer:
    """The answer that an outcome is; `text` is the normalised affiliation, `documents` has the
    index's documents of the linked organisations, by ROR id."""
    links = tuple(_linked(link, documents.get(link.ror_id)) for link in outcome.links)
    return Answer(outcome.affiliation, text, links, outcome.reason)


def _linked(link: Link, document: Document | None) -> LinkedOrganisation:
    evidence = link.evidence
    return LinkedOrganisation(
        ror_id=link.ror_id,
        name=link.name,
        matched_name=link.matched_name,
        probability=link.probability,
        score=link.score,
        rank=link.rank,
        country_code=document.country_code if document else None,
        country=document.country if document else None,
        city=document.city if document else None,
        types=document.types if document else (),
        matched_text=evidence.text if evidence else "",
        start=evidence.start if evidence else 0,
        end=evidence.end if evidence else 0,
        stands_for=link.stands_for,
        website=document.website if document else None,
    )
