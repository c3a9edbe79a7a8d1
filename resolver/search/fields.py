"""The fields of a record that can be searched, by the names that ROR's schema 2 gives them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from enum import Enum
from fnmatch import fnmatchcase
from functools import lru_cache

from resolver.registry.organisation import Edit, Organisation, Place
from resolver.registry.ror_id import ROR_URL


class Kind(Enum):
    """How the values of a field are compared."""

    TEXT = "text"
    """Word by word, in lower case and without accents."""

    KEYWORD = "keyword"
    """As a whole, in the case that the record has."""

    WHOLE = "whole number"
    DATE = "date"
    DEGREES = "number"


Value = str | int | float

_Reader = Callable[[Organisation], Iterable[Value | None]]


def _edit(read: Callable[[Organisation], Edit | None], part: str) -> _Reader:
    def values(organisation: Organisation) -> Iterator[str | None]:
        edit = read(organisation)
        if edit is not None:
            yield getattr(edit, part)

    return values


def _places(read: Callable[[Place], Value | None]) -> _Reader:
    return lambda organisation: map(read, organisation.places)


_DETAILS = "locations.geonames_details"

_FIELDS: Mapping[str, tuple[Kind, _Reader]] = {
    "admin.created.date": (Kind.DATE, _edit(lambda o: o.created, "date")),
    "admin.created.schema_version": (Kind.KEYWORD, _edit(lambda o: o.created, "schema_version")),
    "admin.last_modified.date": (Kind.DATE, _edit(lambda o: o.last_modified, "date")),
    "admin.last_modified.schema_version": (
        Kind.KEYWORD,
        _edit(lambda o: o.last_modified, "schema_version"),
    ),
    "domains": (Kind.TEXT, lambda o: o.domains),
    "established": (Kind.WHOLE, lambda o: [o.established]),
    "external_ids.all": (Kind.KEYWORD, lambda o: [v for i in o.identifiers for v in i.values]),
    "external_ids.preferred": (Kind.KEYWORD, lambda o: [i.preferred for i in o.identifiers]),
    "external_ids.type": (Kind.KEYWORD, lambda o: [i.scheme for i in o.identifiers]),
    "id": (Kind.KEYWORD, lambda o: [ROR_URL + o.ror_id]),
    "links.type": (
        Kind.KEYWORD,
        lambda o: ["website"] * bool(o.websites) + ["wikipedia"] * bool(o.wikipedia),
    ),
    "links.value": (Kind.TEXT, lambda o: (*o.websites, *o.wikipedia)),
    "locations.geonames_id": (Kind.WHOLE, _places(lambda p: p.geonames_id)),
    f"{_DETAILS}.continent_code": (Kind.KEYWORD, _places(lambda p: p.continent_code)),
    f"{_DETAILS}.continent_name": (Kind.KEYWORD, _places(lambda p: p.continent)),
    f"{_DETAILS}.country_code": (Kind.KEYWORD, _places(lambda p: p.country_code)),
    f"{_DETAILS}.country_name": (Kind.KEYWORD, _places(lambda p: p.country)),
    f"{_DETAILS}.country_subdivision_code": (Kind.KEYWORD, _places(lambda p: p.region_code)),
    f"{_DETAILS}.country_subdivision_name": (Kind.KEYWORD, _places(lambda p: p.region)),
    f"{_DETAILS}.lat": (Kind.DEGREES, _places(lambda p: p.latitude)),
    f"{_DETAILS}.lng": (Kind.DEGREES, _places(lambda p: p.longitude)),
    f"{_DETAILS}.name": (Kind.KEYWORD, _places(lambda p: p.city)),
    "names.lang": (Kind.KEYWORD, lambda o: [n.language for n in o.names]),
    "names.types": (Kind.KEYWORD, lambda o: [k.value for n in o.names for k in n.kinds]),
    "names.value": (Kind.TEXT, lambda o: [n.value for n in o.names]),
    "relationships.id": (Kind.KEYWORD, lambda o: [ROR_URL + r.ror_id for r in o.relations]),
    "relationships.label": (Kind.TEXT, lambda o: [r.label for r in o.relations]),
    "relationships.type": (Kind.KEYWORD, lambda o: [r.kind.value for r in o.relations]),
    "status": (Kind.KEYWORD, lambda o: [o.status.value]),
    "types": (Kind.KEYWORD, lambda o: o.types),
}

FIELDS: Mapping[str, Kind] = {name: kind for name, (kind, _) in _FIELDS.items()}
"""The fields that a query may name (ROR's API, its documentation of ``query.advanced``)."""


def values(organisation: Organisation) -> Iterator[tuple[str, Kind, list[Value]]]:
    """Each field that the organisation has, with its distinct values. Dates are as `day` gives
    them; what cannot be read as a date is left out."""
    for name, (kind, read) in _FIELDS.items():
        distinct = dict.fromkeys(value for value in read(organisation) if value not in (None, ""))
        found: list[Value] = [value for value in distinct if value is not None]
        if kind is Kind.DATE:
            days = [day(str(value)) for value in found]
            found = [first for first, _ in filter(None, days)]
        if found:
            yield name, kind, found


def named(pattern: str) -> list[str]:
    """The fields of a name in which ``*`` stands for anything; none for a name that is unknown."""
    return [name for name in FIELDS if name == pattern or fnmatchcase(name, pattern)]


_DATE = re.compile(r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ].*)?)?)?", re.ASCII)


@lru_cache(maxsize=10_000)
def day(text: str) -> tuple[int, int] | None:
    """The first and the last day of a date, a month ("2026-03") or a year, as ordinals
    (`datetime.date.toordinal`); None for what is none of these."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    year, month, number = (int(part or 0) for part in match.groups())
    try:
        first = date(year, month or 1, number or 1)
    except ValueError:
        return None
    if number:
        return first.toordinal(), first.toordinal()
    following = (year + 1, 1) if not month or month == 12 else (year, month + 1)
    last = date(*following, 1).toordinal() - 1 if following[0] < 10_000 else date.max.toordinal()
    return first.toordinal(), last
