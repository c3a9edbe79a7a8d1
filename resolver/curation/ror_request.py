"""A request for a new ROR record, filled as far as affiliations tell.

The fields and their order are those of ROR's issue form "Add a new organization to ROR"
(github.com/ror-community/ror-updates, as of its issue 38890 of August 2026). Lists are separated by
semicolons there. The fields in small letters are for whoever reviews the requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from resolver.curation.unmatched import UnmatchedOrganisation
from resolver.registry.document import Document
from resolver.registry.ror_id import ROR_URL
from resolver.text.country import ENGLISH_NAMES

_PUBLICATION = "https://doi.org/"


def request(group: UnmatchedOrganisation, nearest: Document | None = None) -> dict[str, object]:
    """The request for a group; `nearest` is the record whose name is most like its own."""
    name = group.name
    of = _by_scheme(group.identifiers)
    others = [writing for writing, _ in group.names.most_common() if writing != name]
    country = ENGLISH_NAMES.get(group.country or "", "")
    seen = f"sent {group.count:,} times in {group.affiliations:,} different affiliations"
    return {
        "Summary of request": "Add a new organization to ROR",
        "Name of organization": name,
        "Website": "",
        "Domains": _listed(_longest(of.get("domain", ()))),
        "Link to publications": _listed(
            _PUBLICATION + record for record in group.records if record.startswith("10.")
        ),
        "Organization type": "",
        "Organization status": "",
        "Wikipedia page": "",
        "Wikidata ID": _listed(of.get("wikidata", ())),
        "ISNI ID": _listed(of.get("isni", ())),
        "GRID ID": _listed(of.get("grid", ())),
        "Crossref Funder ID": _listed(of.get("fundref", ())),
        "Aliases": _listed(others),
        "Labels": "",
        "Acronym/abbreviation": _listed(acronym for acronym, _ in group.acronyms.most_common(1)),
        "Related organizations": "",
        "City": _listed(city for city, _ in group.cities.most_common(1)),
        "Country": country,
        "Geonames ID": "",
        "Year established": "",
        "How will a ROR ID for this organization be used?": "To identify author affiliations",
        "Other information about this request": f"{seen}: {_listed(group.examples)}",
        "count": group.count,
        "affiliations": group.affiliations,
        "sources": len(group.sources),
        "reason": group.reasons.most_common(1)[0][0],
        "nearest": f"{nearest.display_name} {ROR_URL}{nearest.ror_id}" if nearest else "",
    }


def _listed(values: Iterable[str]) -> str:
    return "; ".join(values)


def _by_scheme(identifiers: Iterable[str]) -> Mapping[str, Sequence[str]]:
    by_scheme: dict[str, list[str]] = {}
    for identifier in sorted(identifiers):
        scheme, _, value = identifier.partition(":")
        by_scheme.setdefault(scheme, []).append(value)
    return by_scheme


def _longest(domains: Sequence[str]) -> list[str]:
    """Domains without those above them: "geo.uni-bonn.de" without "uni-bonn.de"."""
    return [
        domain for domain in domains if not any(other.endswith(f".{domain}") for other in domains)
    ]


FIELDS = tuple(request(UnmatchedOrganisation("", None, names=Counter([""]), reasons=Counter([""]))))
"""The names of the fields, in their order."""
