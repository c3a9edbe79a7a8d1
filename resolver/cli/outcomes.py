"""Outcomes as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from rich.console import Group
from rich.text import Text

from resolver.cli.tables import Table
from resolver.index import Index
from resolver.matching.outcome import LinkEvidence, Outcome, Reason
from resolver.registry.document import Document

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


def in_words(reason: Reason) -> str:
    """ "ambiguous: several organisations fit equally well"."""
    return f"{reason}: {REASONS[reason]}"


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


def for_a_person(outcome: Outcome, number: str = "") -> Group:
    """An affiliation and its links, or the reason for none; `number` is the id of its record."""
    heading = Text(outcome.affiliation, style="bold")
    if number:
        heading = Text(f"{number}  ", style="dim").append_text(heading)
    if outcome.reason:
        return Group(
            heading, Text("  no match: ", style="yellow").append(in_words(outcome.reason)), ""
        )
    table = Table(box=None, padding=(0, 2), pad_edge=True, show_header=False)
    for link in outcome.links:
        name = Text(link.name)
        if link.matched_name != link.name:
            name.append(f"  as “{link.matched_name}”", style="dim")
        if link.stands_for:
            name.append(f"  for {', '.join(link.stands_for)}", style="dim")
        table.add_row(Text(link.ror_id, style="green"), f"{link.probability:.3f}", name)
    return Group(heading, table, "")
