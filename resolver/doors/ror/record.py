"""An organisation as ROR's API gives it (schema 2.1): every key is there, and lists are sorted."""

from __future__ import annotations

from typing import Any

from resolver.registry.organisation import Edit, Organisation, Place
from resolver.registry.ror_id import ROR_URL


def published(organisation: Organisation) -> dict[str, Any]:
    """The record; what is not known is null, or an empty list.

    Names are sorted by value; links, identifiers and relations by type. What ROR's record had in
    words that this version does not know is not there (`resolver.registry.record`).
    """
    return {
        "id": ROR_URL + organisation.ror_id,
        "admin": {
            "created": _edit(organisation.created),
            "last_modified": _edit(organisation.last_modified),
        },
        "domains": sorted(organisation.domains),
        "established": organisation.established,
        "external_ids": [
            {"type": entry.scheme, "preferred": entry.preferred, "all": list(entry.values)}
            for entry in sorted(organisation.identifiers, key=lambda entry: entry.scheme)
        ],
        "links": [
            {"type": kind, "value": value}
            for kind, values in (
                ("website", organisation.websites),
                ("wikipedia", organisation.wikipedia),
            )
            for value in values
        ],
        "locations": [_location(place) for place in organisation.places],
        "names": [
            {"value": name.value, "lang": name.language, "types": sorted(name.kinds)}
            for name in sorted(organisation.names, key=lambda name: name.value)
        ],
        "relationships": [
            {
                "type": relation.kind.value,
                "label": relation.label,
                "id": ROR_URL + relation.ror_id,
            }
            for relation in sorted(organisation.relations, key=lambda relation: relation.kind)
        ],
        "status": organisation.status.value,
        "types": sorted(organisation.types),
    }


def _edit(edit: Edit | None) -> dict[str, str | None]:
    return {
        "date": edit.date if edit else None,
        "schema_version": edit.schema_version if edit else None,
    }


def _location(place: Place) -> dict[str, Any]:
    return {
        "geonames_id": place.geonames_id,
        "geonames_details": {
            "continent_code": place.continent_code,
            "continent_name": place.continent,
            "country_code": place.country_code,
            "country_name": place.country,
            "country_subdivision_code": place.region_code,
            "country_subdivision_name": place.region,
            "lat": place.latitude,
            "lng": place.longitude,
            "name": place.city,
        },
    }
