"""The parameters of a list of organisations: read, checked, and what is wrong with them in ROR's
words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from resolver.search.fields import FIELDS

PAGE_SIZE = 20
MAX_PAGE = 500
"""ROR's API: organisations of a page, and the last page that can be asked for."""

_PARAMETERS = ("query", "page", "filter", "query.advanced", "all_status")
_ALL_STATUS = ("", "true", "false")

_DETAILS = "locations.geonames_details"

_FILTERS: Mapping[str, str] = {
    "status": "status",
    "types": "types",
    "country.country_code": "country_code",
    f"{_DETAILS}.country_code": "country_code",
    "country.country_name": "country_name",
    f"{_DETAILS}.country_name": "country_name",
    f"{_DETAILS}.continent_code": "continent_code",
    f"{_DETAILS}.continent_name": "continent_name",
}
"""Keys of a filter, and the column of `resolver.search.columns` that each reads."""

_FIELD_ENDINGS = (*FIELDS, "_exists_", "\\", "\\*")
"""What may stand before a colon in query.advanced, words before it included."""

_ROR_ID = re.compile(r"(?:(?:https?://)?ror\.org/)?(0\w{6}\d{2})", re.ASCII)

ENCODINGS = 2
"""Times that an id may be percent-encoded beyond what the server has decoded."""


def ror_id_of(text: str) -> str | None:
    """The nine characters of a ROR id, bare or as an address; None for what has not its form.

    As with ROR, an id in upper case is another one, and check digits are not looked at.
    """
    for _ in range(ENCODINGS):
        text = unquote(text)
    match = _ROR_ID.fullmatch(text)
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class ListRequest:
    """`filters` has the wanted values by column; `statuses` are those that are searched where no
    filter says, None for all. `page` counts from 1."""

    query: str | None
    advanced: str | None
    ror_id: str | None
    filters: Mapping[str, frozenset[str]]
    statuses: frozenset[str] | None
    page: int


def read(params: Mapping[str, str]) -> ListRequest | list[str]:
    """The request of these parameters, or all that is wrong with them, in ROR's words and order."""
    errors = _errors(params)
    if errors:
        return errors
    query, advanced = params.get("query"), params.get("query.advanced")
    ror_id = None if query is None or advanced is not None else ror_id_of(query)
    filters = _wanted(params.get("filter", ""))
    every = params.get("all_status", "false").lower() != "false"
    by_status = advanced is not None and any(
        field.endswith("status") for field in _before_colons(advanced)
    )
    restricted = not (every or by_status or ror_id or "status" in filters)
    return ListRequest(
        query=query,
        advanced=advanced,
        ror_id=ror_id,
        filters=filters,
        statuses=frozenset({"active"}) if restricted else None,
        page=int(params.get("page", "1")),
    )


def _errors(params: Mapping[str, str]) -> list[str]:
    illegal = [name for name in params if name not in _PARAMETERS]
    errors = [f"query parameter '{name}' is illegal" for name in illegal]
    if not illegal:
        if params.get("all_status", "").lower() not in _ALL_STATUS:
            errors.append(
                "allowed values for all_status parameter are empty (no value), true or false"
            )
        if "query" in params and "query.advanced" in params:
            errors.append(
                "query and query.advanced parameters cannot be combined. "
                "please use either query OR query.advanced"
            )
    errors += [
        f"string '{field}' contains an illegal field name"
        for field in _before_colons(params.get("query.advanced", ""))
        if not field.endswith(_FIELD_ENDINGS)
    ]
    filters = _listed(params.get("filter", ""))
    errors += [f"filter '{f}' is not in the key:value form" for f in filters if ":" not in f]
    keys = [f.partition(":")[0] for f in filters if ":" in f]
    errors += [f"filter key '{key}' is illegal" for key in keys if key not in _FILTERS]
    if "page" in params:
        try:
            page = int(params["page"])
        except ValueError:
            errors.append(f"page '{params['page']}' is not an integer")
        else:
            if not 1 <= page <= MAX_PAGE:
                errors.append(f"page '{page}' outside of range 1-{MAX_PAGE}")
    return errors


def _before_colons(query: str) -> list[str]:
    """What stands before each colon, back to the one before it."""
    return query.split(":")[:-1]


def _listed(filters: str) -> list[str]:
    return [part for part in filters.split(",") if part]


def _wanted(filters: str) -> dict[str, frozenset[str]]:
    """By column, the values as the registry writes them. Values of one key are alternatives."""
    wanted: dict[str, set[str]] = {}
    for part in _listed(filters):
        key, _, value = part.partition(":")
        value = " ".join(value.partition(":")[0].split())
        column = _FILTERS[key]
        if column in ("status", "types"):
            value = value.lower()
        elif column == "country_code":
            value = value.upper()
        elif column == "country_name":
            value = value.casefold()
        wanted.setdefault(column, set()).add(value)
    return {column: frozenset(values) for column, values in wanted.items()}
