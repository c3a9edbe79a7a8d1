"""Works as Crossref, DataCite and OpenAlex publish them: a record → the affiliations in it.
Articles in JATS XML are read by `resolver.intake.jats`.

The fields are those of Crossref's REST API and public data file, of DataCite's REST API and public
data file, and of the work object of OpenAlex's API and snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resolver.intake.format import Format
from resolver.validation import json_kind

Json = Mapping[str, Any]

ROLES = ("author", "editor", "chair", "translator")
"""Lists of contributors in a record of Crossref, in the order in which affiliations are counted."""

_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)?\s*(10\.[^\s/]+/\S.*)", re.IGNORECASE)
_OPENALEX = re.compile(r"(?:https?://(?:api\.)?openalex\.org/(?:works/)?)?(W\d+)", re.IGNORECASE)

_SHOWN = 60
"""Characters of a value that an error quotes."""


@dataclass(frozen=True, slots=True)
class StatedAffiliation:
    """An affiliation of a contributor. `text` is "" where the record has only an id of the
    organisation. `asserted` are the ROR ids that the record has beside the text, as written."""

    text: str
    asserted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """The id of a record, and all its affiliations in order: contributor by contributor."""

    id: str
    affiliations: tuple[StatedAffiliation, ...]


def work_of(record: object, form: Format) -> Work:
    """The work that a record of `form`, one of JSON, describes.

    Raises:
        ValueError: the record has no id, or a field of another type than it should have; names the
            field.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"not an object but {json_kind(record)}")
    return _WORKS[form](record)


def _crossref(record: Json) -> Work:
    affiliations = (
        StatedAffiliation(_crossref_text(affiliation), _crossref_ids(affiliation))
        for role in ROLES
        for person in _objects(record, role)
        for affiliation in _objects(person, "affiliation")
    )
    return Work(doi("DOI", record.get("DOI")), tuple(affiliations))


def _crossref_text(affiliation: Json) -> str:
    """Department, name and place as one text, without what another of them repeats."""
    parts = [part for key in ("department", "name", "place") for part in _strings(affiliation, key)]
    distinct = list(dict.fromkeys(part for part in parts if part))
    return ", ".join(
        part
        for part in distinct
        if not any(part in other for other in distinct if other is not part)
    )


def _crossref_ids(affiliation: Json) -> tuple[str, ...]:
    return tuple(
        identifier
        for entry in _objects(affiliation, "id")
        if str(entry.get("id-type")).upper() == "ROR"
        for identifier in _strings(entry, "id")
    )


def _datacite(record: Json) -> Work:
    attributes = record.get("attributes", record)
    if not isinstance(attributes, Mapping):
        raise ValueError(f"attributes: is {json_kind(attributes)}, not an object")
    affiliations = (
        _datacite_affiliation(affiliation)
        for role in ("creators", "contributors")
        for person in _objects(attributes, role)
        for affiliation in _list(person, "affiliation")
    )
    key, holder = ("doi", attributes) if "doi" in attributes else ("id", record)
    return Work(doi(key, holder.get(key)), tuple(affiliations))


def _datacite_affiliation(affiliation: object) -> StatedAffiliation:
    """A text, or an object with the text and an identifier: DataCite gives both forms."""
    if isinstance(affiliation, str):
        return StatedAffiliation(affiliation)
    if not isinstance(affiliation, Mapping):
        raise ValueError(f"affiliation: is {json_kind(affiliation)}, not a string or an object")
    text = " ".join(_strings(affiliation, "name"))
    if str(affiliation.get("affiliationIdentifierScheme")).upper() != "ROR":
        return StatedAffiliation(text)
    return StatedAffiliation(text, tuple(_strings(affiliation, "affiliationIdentifier")))


def _openalex(record: Json) -> Work:
    written = record.get("id")
    match = _OPENALEX.fullmatch(written.strip()) if isinstance(written, str) else None
    if match is None:
        raise ValueError(f"id: {_shown(written)} is no id of an OpenAlex work, such as W2741809807")
    affiliations = (
        affiliation
        for authorship in _objects(record, "authorships")
        for affiliation in _openalex_affiliations(authorship)
    )
    return Work(match[1].upper(), tuple(affiliations))


def _openalex_affiliations(authorship: Json) -> Iterator[StatedAffiliation]:
    """Each text with the ROR ids of the institutions that OpenAlex matched it to.

    Older records list texts and institutions apart. There it is known which belong together only if
    there is one text.
    """
    institutions = [
        (institution.get("id"), ror)
        for institution in _objects(authorship, "institutions")
        for ror in _strings(institution, "ror")
    ]
    matched = _objects(authorship, "affiliations")
    for affiliation in matched:
        ids = _strings(affiliation, "institution_ids")
        yield StatedAffiliation(
            " ".join(_strings(affiliation, "raw_affiliation_string")),
            tuple(ror for institution, ror in institutions if institution in ids),
        )
    if not matched:
        texts = _strings(authorship, "raw_affiliation_strings") or _strings(
            authorship, "raw_affiliation_string"
        )
        rors = tuple(ror for _, ror in institutions) if len(texts) == 1 else ()
        yield from (StatedAffiliation(text, rors) for text in texts)


_WORKS: Mapping[Format, Callable[[Json], Work]] = {
    Format.CROSSREF: _crossref,
    Format.DATACITE: _datacite,
    Format.OPENALEX: _openalex,
}


def doi(field: str, written: object) -> str:
    """A DOI, bare or as an address, in lower case.

    Raises:
        ValueError: it is none; names the field that it stands in.
    """
    match = _DOI.fullmatch(written.strip()) if isinstance(written, str) else None
    if match is None:
        raise ValueError(f"{field}: {_shown(written)} is no DOI, such as 10.5555/12345678")
    return match[1].lower()


def _list(record: Json, key: str) -> list[Any]:
    """The values of a key: none where it is missing or null, one where it is no list."""
    value = record.get(key)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _objects(record: Json, key: str) -> list[Json]:
    values = _list(record, key)
    for value in values:
        if not isinstance(value, Mapping):
            raise ValueError(f"{key}: is {json_kind(value)}, not an object")
    return values


def _strings(record: Json, key: str) -> list[str]:
    values = [value for value in _list(record, key) if value is not None]
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{key}: is {json_kind(value)}, not a string")
    return values


def _shown(value: object) -> str:
    return ascii(value[:_SHOWN] if isinstance(value, str) else value)[: 2 * _SHOWN]
