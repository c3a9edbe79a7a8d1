"""One ROR record: from ROR's JSON (schema 2.x) to an `Organisation`, and to the form we store.

A record is refused when a value is of the wrong kind, or when a value is missing that ROR's schema
requires. Vocabularies may grow, and no organisation may be lost to a later version of the schema.
So an unknown name type, relation type or link type is left out, and an unknown organisation type or
scheme of external ids is kept, for these are only passed on; `unfamiliar` lists such words. A
record with an unknown status is refused, for nothing shows whether it may be linked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from resolver.errors import RecordError, RegistryError
from resolver.registry.organisation import (
    TYPES,
    Edit,
    Identifier,
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)
from resolver.registry.ror_id import RorId, read_ror_id
from resolver.text.affiliation import MAX_CHARACTERS, Affiliation, Refusal
from resolver.validation import first_problem, json_kind

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


class _UnknownWord(ValueError):
    """Nothing is wrong with the record, but this version does not know a word of it."""


def _cleaned(text: str) -> str:
    if text.isprintable() and "  " not in text:
        return text.strip()
    text = _CONTROL.sub(" ", text)
    text = _LONE_SURROGATE.sub("\ufffd", text)
    return _SPACE.sub(" ", text).strip()


def _word(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"is {json_kind(value)}, not a string")
    if not value or not (text := _cleaned(value)):
        raise ValueError("missing or empty")
    return text


def _status(value: object) -> OrganisationStatus:
    word = _word(value)
    if word not in _STATUSES:
        raise _UnknownWord(f"{_shown(word)} is none of {', '.join(_STATUSES)}")
    return _STATUSES[word]


def _name(text: str) -> str:
    refused = Affiliation.of(text).refused
    if refused is Refusal.TOO_LONG:
        raise ValueError(f"longer than {MAX_CHARACTERS:,} characters")
    if refused:
        raise ValueError("holds nothing visible")
    return text


def _country_code(text: str) -> str:
    if text and not _COUNTRY_CODE.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not an ISO 3166-1 alpha-2 code")
    return text


T = TypeVar("T")

Text = Annotated[str, AfterValidator(_cleaned)]
Word = Annotated[str, AfterValidator(_word)]
"""A text that is not empty."""
Array = Annotated[list[T], BeforeValidator(lambda value: [] if value is None else value)]
Degrees = Annotated[float, Field(allow_inf_nan=False)]


class _Entry(BaseModel):
    """A part of ROR's record as ROR writes it; keys that are not named here are ignored."""

    model_config = ConfigDict(strict=True)


class _Name(_Entry):
    value: Annotated[Word, AfterValidator(_name)]
    types: Array[Word] = Field(default=[], fail_fast=True)
    lang: Text | None = None


class _GeonamesDetails(_Entry):
    continent_code: Text | None = None
    continent_name: Text | None = None
    country_code: Annotated[Text, AfterValidator(_country_code)] | None = None
    country_name: Text | None = None
    name: Text | None = None
    country_subdivision_code: Text | None = None
    country_subdivision_name: Text | None = None
    lat: Degrees | None = Field(default=None, ge=-90, le=90)
    lng: Degrees | None = Field(default=None, ge=-180, le=180)


class _Location(_Entry):
    geonames_details: _GeonamesDetails | None = None
    geonames_id: int | None = Field(default=None, ge=1, le=LARGEST_GEONAMES_ID)


class _Relationship(_Entry):
    type: Word
    id: object = Field(default=None, validate_default=True)
    label: Text | None = None

    @field_validator("id")
    @classmethod
    def _read(cls, value: object, entry: ValidationInfo) -> str | None:
        return read_ror_id(value) if entry.data.get("type") in _RELATION_KINDS else None


class _ExternalId(_Entry):
    type: Word
    all: Array[Word] = Field(default=[], fail_fast=True)
    preferred: Text | None = None


class _Link(_Entry):
    type: Word
    value: object = Field(default=None, validate_default=True)

    @field_validator("value")
    @classmethod
    def _read(cls, value: object, entry: ValidationInfo) -> str | None:
        return _word(value) if entry.data.get("type") in _LINK_KINDS else None


class _Edit(_Entry):
    date: Text | None = None
    schema_version: Text | None = None


class _Admin(_Entry):
    created: _Edit | None = None
    last_modified: _Edit | None = None


class _Record(_Entry):
    id: RorId
    status: Annotated[OrganisationStatus, BeforeValidator(_status)]
    names: list[_Name] = Field(fail_fast=True)
    types: Array[Word] = Field(default=[], fail_fast=True)
    locations: Array[_Location] = Field(default=[], fail_fast=True)
    relationships: Array[_Relationship] = Field(default=[], fail_fast=True)
    external_ids: Array[_ExternalId] = Field(default=[], fail_fast=True)
    domains: Array[Word] = Field(default=[], fail_fast=True)
    links: Array[_Link] = Field(default=[], fail_fast=True)
    established: int | None = Field(default=None, ge=0, le=LATEST_YEAR)
    admin: _Admin | None = None

    @field_validator("names")
    @classmethod
    def _one_is_displayed(cls, names: list[_Name]) -> list[_Name]:
        if not names:
            raise ValueError("missing or empty")
        displayed = sum(NameKind.DISPLAY in name.types for name in names)
        if displayed != 1:
            raise ValueError(f"{displayed} names are ror_display, it must be one")
        return names


def is_schema_1(raw: Mapping[str, object]) -> bool:
    """Whether this is a record of ROR's schema 1, which had one `name` instead of `names`."""
    return "name" in raw and "names" not in raw


def parse(raw: object, *, index: int) -> Organisation:
    """The organisation of one ROR record, schema 2.0 to 2.2 and later ones that only add to it.

    Text is made storable in Postgres: control characters become a space, lone surrogates U+FFFD,
    and runs of white space a single space. Otherwise names stay as ROR has them.

    Raises:
        RecordError: the record is refused; `index` is its place in the file.
    """
    try:
        record = _Record.model_validate(raw)
    except ValidationError as error:
        raise _refused(raw, error, index) from None
    admin = record.admin or _Admin()
    places = [(entry, entry.geonames_details or _GeonamesDetails()) for entry in record.locations]
    return Organisation(
        ror_id=record.id,
        status=record.status,
        names=tuple(
            Name(
                value=name.value,
                kinds=frozenset(_NAME_KINDS[kind] for kind in name.types if kind in _NAME_KINDS),
                language=name.lang or None,
            )
            for name in record.names
        ),
        types=tuple(record.types),
        places=tuple(
            Place(
                country_code=details.country_code or None,
                country=details.country_name or None,
                city=details.name or None,
                region=details.country_subdivision_name or None,
                latitude=details.lat,
                longitude=details.lng,
                geonames_id=location.geonames_id,
                region_code=details.country_subdivision_code or None,
                continent_code=details.continent_code or None,
                continent=details.continent_name or None,
            )
            for location, details in places
        ),
        relations=tuple(
            Relation(_RELATION_KINDS[entry.type], entry.id, entry.label or "")
            for entry in record.relationships
            if isinstance(entry.id, str)
        ),
        identifiers=tuple(
            Identifier(entry.type, tuple(entry.all), entry.preferred or None)
            for entry in record.external_ids
        ),
        domains=tuple(record.domains),
        websites=_links(record, "website"),
        established=record.established,
        wikipedia=_links(record, "wikipedia"),
        created=_edit(admin.created),
        last_modified=_edit(admin.last_modified),
    )


def _links(record: _Record, kind: str) -> tuple[str, ...]:
    return tuple(
        entry.value for entry in record.links if entry.type == kind and isinstance(entry.value, str)
    )


def _edit(entry: _Edit | None) -> Edit | None:
    return Edit(entry.date or None, entry.schema_version or None) if entry else None


def _refused(raw: object, error: ValidationError, index: int) -> RecordError:
    field, reason = first_problem(error)
    ror_id = None
    if isinstance(raw, dict):
        with suppress(ValueError):
            ror_id = read_ror_id(raw.get("id"))
        if field == "names" and is_schema_1(raw):
            reason = "missing; this is a record of schema 1"
    cause = error.errors()[0].get("ctx", {}).get("error")
    return RecordError(
        index=index,
        ror_id=ror_id,
        field=field or "record",
        reason=reason,
        unfamiliar=isinstance(cause, _UnknownWord),
    )


def unfamiliar(record: Mapping[str, Any]) -> Iterator[str]:
    """The words of a record that this version does not know, with what `parse` did about them:
    "links.type 'x' is left out". Each is listed as often as it is there.
    """
    name_types = chain.from_iterable(name.get("types") or () for name in record["names"])
    for field, words, known, fate in (
        ("types", record.get("types") or (), TYPES, "kept"),
        ("names.types", name_types, _NAME_KINDS, "left out"),
        ("relationships.type", _types(record, "relationships"), _RELATION_KINDS, "left out"),
        ("links.type", _types(record, "links"), _LINK_KINDS, "left out"),
        ("external_ids.type", _types(record, "external_ids"), _SCHEMES, "kept"),
    ):
        for word in map(_cleaned, words):
            if word not in known:
                yield f"{field} {_shown(word)} is {fate}"


def _types(record: Mapping[str, Any], field: str) -> Iterator[str]:
    return (entry["type"] for entry in record.get(field) or ())


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:60] + "…")


_STORED = TypeAdapter(Organisation)


def dump_record(organisation: Organisation) -> dict[str, Any]:
    """The organisation as JSON values, for storage; what is empty is left out.

    The keys are the names of the fields, but "id" for `ror_id`. Nothing is lost: `load_record`
    gives back an equal organisation.
    """
    return _compact(orjson.loads(orjson.dumps(organisation, default=sorted)))


def _compact(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "id" if name == "ror_id" else name: _compact_value(value)
        for name, value in fields.items()
        if value is not None and value != []
    }


def _compact_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_compact_value(item) for item in value]
    return _compact(value) if isinstance(value, dict) else value


def load_record(stored: Mapping[str, Any]) -> Organisation:
    """The organisation that `dump_record` wrote.

    Raises:
        RegistryError: it was written by something else, or by an incompatible version.
    """
    relations = [{**entry, "ror_id": entry.get("id")} for entry in stored.get("relations", ())]
    try:
        return _STORED.validate_python(
            {**stored, "ror_id": stored.get("id"), "relations": relations}
        )
    except ValidationError as error:
        raise RegistryError(
            "a stored organisation cannot be read back ({}: {})".format(*first_problem(error)),
            remedy="load the release again",
        ) from error
