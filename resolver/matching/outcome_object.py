"""An outcome as JSON values, for the command line and whatever else prints answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from resolver.index import Index
from resolver.matching.outcome import LinkEvidence, Outcome
from resolver.registry.document import Document


def linked_organisations(index: Index, outcomes: Iterable[Outcome]) -> Mapping[str, Document]:
    """What the index says of the organisations that are linked, by ROR id."""
    return index.organisations({link.ror_id for outcome in outcomes for link in outcome.links})


def as_object(outcome: Outcome, organisations: Mapping[str, Document]) -> dict[str, object]:
    """The JSON form of an outcome. `organisations` are those of `linked_organisations`."""
    return {
        # JSON has no lone surrogates.
        "affiliation": outcome.affiliation.encode("utf-8", "replace").decode(),
        "status": outcome.status,
        "reason": outcome.reason,
        "links": [
            {
                "ror_id": link.ror_id,
                "name": link.name,
                **place_of(organisations.get(link.ror_id)),
                "matched_name": link.matched_name,
                "probability": round(link.probability, 4),
                "score": None if link.score is None else round(link.score, 4),
                "rank": link.rank,
                "stands_for": link.stands_for,
                "evidence": link.evidence and _evidence(link.evidence),
            }
            for link in outcome.links
        ],
    }


def place_of(organisation: Document | None) -> dict[str, str | None]:
    """Country, city and website; null where the registry has none."""
    return {
        name: getattr(organisation, name, None)
        for name in ("country", "country_code", "city", "website")
    }


def _evidence(evidence: LinkEvidence) -> dict[str, object]:
    rounded = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(evidence).items()
    }
    return rounded | {"weighed": {name: round(added, 4) for name, added in evidence.weighed}}
