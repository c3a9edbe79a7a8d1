"""One ROR record: from ROR's JSON (schema 2.x) to an `Organisation`, and to the form we store.

Two rules decide what is refused. A value of the wrong kind, or one that ROR's
schema requires and the record lacks, refuses the record. A word we do not know
in a vocabulary that may grow (name types, relation types, link types) is left
out, or kept where it is only passed on (organisation types, schemes of external
ids), so that a later schema version loses no organisation; `unfamiliar` names
it. A status we do not know refuses the record: whether it may be linked cannot
be told.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from resolver.errors import RecordError, RegistryError
from resolver.registry.organisation import (
    TYPES,
    Identifier,
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)
from resolver.registry.ror_id import read_ror_id
from resolver.text.affiliation import MAX_CHARACTERS, Affiliation, Refusal

LATEST_YEAR = 9999
LARGEST_GEONAMES_ID = 2**31 - 1
"""Bounds of what a four-digit year and a Postgres `integer` hold."""

_COUNTRY_CODE = re.compile(r"[A-Z]{2}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"\s+")

_STATUSES = {status.value: status for status in OrganisationStatus}
_NAME_KINDS = {kind.value: kind for kind in NameKind}
_RELATION_KINDS = {kind.value: kind for kind in RelationKind}
_LINK_KINDS = frozenset({"website", "wikipedia"})
_SCHEMES = frozenset({"fundref", "grid", "isni", "wikidata"})
"""ROR's schema 2.1, "links" and "external_ids"."""


class _FieldError(Exception):
    """Why a record is refused, before it is known which record it is."""

    def __init__(self, field: str, reason: str, *, unfamiliar: bool = False) -> None:
        self.field = field
        self.reason = reason
        self.unfamiliar = unfamiliar
        super().__init__(field, reason)


def is_schema_1(raw: Mapping[str, object]) -> bool:
    """Whether this is a record of ROR's schema 1, which had one `name` instead of `names`."""
    return "name" in raw and "names" not in raw


def parse(raw: object, *, index: int) -> Organisation:
    """The organisation of one ROR record, schema 2.0 to 2.2 and later ones that only add to it.

    Text comes out storable in Postgres: control characters become a space, lone
    surrogates U+FFFD, white space single. Names otherwise stay as ROR has them.

    Raises:
        RecordError: the record is refused; `index` is its place in the file.
    """
    ror_id: str | None = None
    try:
        record = _object(raw, "record")
        ror_id = _id(record.get("id"), "id")
        if is_schema_1(record):
            raise _FieldError("names", "missing; this is a record of schema 1")
        return Organisation(
            ror_id=ror_id,
            status=_status(record.get("status")),
            names=_names(record),
            types=_strings(record, "types", "types"),
            places=tuple(_places(record)),
            relations=tuple(_relations(record)),
            identifiers=tuple(_identifiers(record)),
            domains=_strings(record, "domains", "domains"),
            websites=tuple(_websites(record)),
            established=_integer(record.get("established"), "established", 0, LATEST_YEAR),
        )
    except _FieldError as fault:
        raise RecordError(
            index=index,
            ror_id=ror_id,
            field=fault.field,
            reason=fault.reason,
            unfamiliar=fault.unfamiliar,
        ) from None


def unfamiliar(record: Mapping[str, Any]) -> Iterator[str]:
    """What this version does not know of a record that `parse` took: "links.type 'x' is left out".

    Once for each place of the record.
    """
    for word in _strings(record, "types", "types"):
        if word not in TYPES:
            yield f"types {_shown(word)} is kept"
    for _, name in _objects(record, "names"):
        for word in _strings(name, "types", "types"):
            if word not in _NAME_KINDS:
                yield f"names.types {_shown(word)} is left out"
    for field, known, fate in (
        ("relationships", _RELATION_KINDS, "left out"),
        ("links", _LINK_KINDS, "left out"),
        ("external_ids", _SCHEMES, "kept"),
    ):
        for _, entry in _objects(record, field):
            word = _required(entry.get("type"), f"{field}.type")
            if word not in known:
                yield f"{field}.type {_shown(word)} is {fate}"


def _status(value: object) -> OrganisationStatus:
    text = _required(value, "status")
    status = _STATUSES.get(text)
    if status is None:
        reason = f"{_shown(text)} is none of {', '.join(_STATUSES)}"
        raise _FieldError("status", reason, unfamiliar=True)
    return status


def _names(record: Mapping[str, Any]) -> tuple[Name, ...]:
    names = tuple(
        Name(
            value=_name_value(entry.get("value"), f"{field}.value"),
            kinds=frozenset(
                _NAME_KINDS[kind]
                for kind in _strings(entry, "types", f"{field}.types")
                if kind in _NAME_KINDS
            ),
            language=_string(entry.get("lang"), f"{field}.lang"),
        )
        for field, entry in _objects(record, "names")
    )
    if not names:
        raise _FieldError("names", "missing or empty")
    displayed = sum(NameKind.DISPLAY in name.kinds for name in names)
    if displayed != 1:
        raise _FieldError("names", f"{displayed} names are ror_display, it must be one")
    return names


def _name_value(value: object, field: str) -> str:
    text = _required(value, field)
    refused = Affiliation.of(text).refused
    if refused is Refusal.TOO_LONG:
        raise _FieldError(field, f"longer than {MAX_CHARACTERS:,} characters")
    if refused:
        raise _FieldError(field, "holds nothing visible")
    return text


def _places(record: Mapping[str, Any]) -> Iterator[Place]:
    for field, entry in _objects(record, "locations"):
        inner = f"{field}.geonames_details"
        details = _object(entry.get("geonames_details") or {}, inner)
        yield Place(
            country_code=_country_code(details.get("country_code"), f"{inner}.country_code"),
            country=_string(details.get("country_name"), f"{inner}.country_name"),
            city=_string(details.get("name"), f"{inner}.name"),
            region=_string(
                details.get("country_subdivision_name"), f"{inner}.country_subdivision_name"
            ),
            latitude=_degrees(details.get("lat"), f"{inner}.lat", 90.0),
            longitude=_degrees(details.get("lng"), f"{inner}.lng", 180.0),
            geonames_id=_integer(
                entry.get("geonames_id"), f"{field}.geonames_id", 1, LARGEST_GEONAMES_ID
            ),
        )


def _relations(record: Mapping[str, Any]) -> Iterator[Relation]:
    for field, entry in _objects(record, "relationships"):
        kind = _RELATION_KINDS.get(_required(entry.get("type"), f"{field}.type"))
        if kind is not None:
            yield Relation(
                kind=kind,
                ror_id=_id(entry.get("id"), f"{field}.id"),
                label=_string(entry.get("label"), f"{field}.label") or "",
            )


def _identifiers(record: Mapping[str, Any]) -> Iterator[Identifier]:
    for field, entry in _objects(record, "external_ids"):
        yield Identifier(
            scheme=_required(entry.get("type"), f"{field}.type"),
            values=_strings(entry, "all", f"{field}.all"),
            preferred=_string(entry.get("preferred"), f"{field}.preferred"),
        )


def _websites(record: Mapping[str, Any]) -> Iterator[str]:
    for field, entry in _objects(record, "links"):
        if _required(entry.get("type"), f"{field}.type") == "website":
            yield _required(entry.get("value"), f"{field}.value")


def _id(value: object, field: str) -> str:
    text = _required(value, field)
    try:
        return read_ror_id(text)
    except ValueError as error:
        raise _FieldError(field, str(error)) from None


def _country_code(value: object, field: str) -> str | None:
    text = _string(value, field)
    if text is not None and not _COUNTRY_CODE.fullmatch(text):
        raise _FieldError(field, f"{_shown(text)} is not an ISO 3166-1 alpha-2 code")
    return text


def _degrees(value: object, field: str, limit: float) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _FieldError(field, f"{_kind(value)}, not a number")
    # Compared before it is converted: float() raises on an integer of 400 digits.
    if not -limit <= value <= limit or not math.isfinite(value):
        raise _FieldError(field, f"not between -{limit:.0f} and {limit:.0f} degrees")
    return float(value)


def _integer(value: object, field: str, least: int, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _FieldError(field, f"{_kind(value)}, not an integer")
    if not least <= value <= most:
        raise _FieldError(field, f"not between {least} and {most}")
    return value


def _string(value: object, field: str) -> str | None:
    """The cleaned text, or None where there is none."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise _FieldError(field, f"{_kind(value)}, not a string")
    return _cleaned(value) or None


def _required(value: object, field: str) -> str:
    text = _string(value, field)
    if text is None:
        raise _FieldError(field, "missing or empty")
    return text


def _strings(parent: Mapping[str, Any], key: str, field: str) -> tuple[str, ...]:
    return tuple(
        _required(value, f"{field}[{position}]")
        for position, value in enumerate(_list(parent.get(key), field))
    )


def _objects(parent: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each object of a list, with its dotted field."""
    for position, value in enumerate(_list(parent.get(key), key)):
        field = f"{key}[{position}]"
        yield field, _object(value, field)


def _list(value: object, field: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _FieldError(field, f"{_kind(value)}, not an array")
    return value


def _object(value: object, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _FieldError(field, f"{_kind(value)}, not an object")
    return value


def _kind(value: object) -> str:
    """What JSON calls this value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:60] + "…")


def _cleaned(text: str) -> str:
    if text.isprintable() and "  " not in text:
        return text.strip()
    text = _CONTROL.sub(" ", text)
    text = _LONE_SURROGATE.sub("\ufffd", text)
    return _SPACE.sub(" ", text).strip()


def dump_record(organisation: Organisation) -> dict[str, object]:
    """The organisation as JSON values, for storage; what is empty is left out.

    Nothing is lost: `load_record` gives back an equal organisation.
    """
    return _without_empty(
        {
            "id": organisation.ror_id,
            "status": organisation.status.value,
            "names": [
                _without_empty(
                    {
                        "value": name.value,
                        "kinds": sorted(kind.value for kind in name.kinds),
                        "language": name.language,
                    }
                )
                for name in organisation.names
            ],
            "types": list(organisation.types),
            "places": [
                _without_empty(
                    {
                        "country_code": place.country_code,
                        "country": place.country,
                        "city": place.city,
                        "region": place.region,
                        "latitude": place.latitude,
                        "longitude": place.longitude,
                        "geonames_id": place.geonames_id,
                    }
                )
                for place in organisation.places
            ],
            "relations": [
                {"kind": relation.kind.value, "id": relation.ror_id, "label": relation.label}
                for relation in organisation.relations
            ],
            "identifiers": [
                _without_empty(
                    {
                        "scheme": identifier.scheme,
                        "values": list(identifier.values),
                        "preferred": identifier.preferred,
                    }
                )
                for identifier in organisation.identifiers
            ],
            "domains": list(organisation.domains),
            "websites": list(organisation.websites),
            "established": organisation.established,
        }
    )


def _without_empty(values: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None and value != []}


def load_record(stored: Mapping[str, Any]) -> Organisation:
    """The organisation that `dump_record` wrote.

    Raises:
        RegistryError: it was written by something else, or by an incompatible version.
    """
    try:
        return Organisation(
            ror_id=stored["id"],
            status=_STATUSES[stored["status"]],
            names=tuple(
                Name(
                    value=name["value"],
                    kinds=frozenset(_NAME_KINDS[kind] for kind in name.get("kinds", ())),
                    language=name.get("language"),
                )
                for name in stored["names"]
            ),
            types=tuple(stored.get("types", ())),
            places=tuple(
                Place(
                    country_code=place.get("country_code"),
                    country=place.get("country"),
                    city=place.get("city"),
                    region=place.get("region"),
                    latitude=_stored_degrees(place.get("latitude")),
                    longitude=_stored_degrees(place.get("longitude")),
                    geonames_id=place.get("geonames_id"),
                )
                for place in stored.get("places", ())
            ),
            relations=tuple(
                Relation(
                    kind=_RELATION_KINDS[relation["kind"]],
                    ror_id=relation["id"],
                    label=relation["label"],
                )
                for relation in stored.get("relations", ())
            ),
            identifiers=tuple(
                Identifier(
                    scheme=identifier["scheme"],
                    values=tuple(identifier.get("values", ())),
                    preferred=identifier.get("preferred"),
                )
                for identifier in stored.get("identifiers", ())
            ),
            domains=tuple(stored.get("domains", ())),
            websites=tuple(stored.get("websites", ())),
            established=stored.get("established"),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RegistryError(
            f"a stored organisation cannot be read back ({type(error).__name__}: {error})",
            remedy="load the release again",
        ) from error


def _stored_degrees(value: float | None) -> float | None:
    # A JSON store may write 52.0 as 52.
    return None if value is None else float(value)
