"""The routes of ROR's API for FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from resolver.doors.ror.api import Answer, RorApi, failed
from resolver.errors import ResolverError

RETRY_SECONDS = 5
"""What a client is told to wait while a service does not answer, or the server is full."""

_ERRORS = {
    "type": "object",
    "properties": {"errors": {"type": "array", "items": {"type": "string"}}},
    "required": ["errors"],
}


def _parameter(name: str, description: str, *, where: str = "query") -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "description": description,
        "required": where == "path",
        "schema": {"type": "string"},
    }


_LIST: dict[str, Any] = {
    "parameters": [
        _parameter("query", "Words of a name, an identifier of another registry, or a ROR id"),
        _parameter("query.advanced", "A query in Lucene's syntax over all fields"),
        _parameter("filter", "key:value,key:value"),
        _parameter("page", "1 to 500, of 20 organisations each"),
        _parameter("all_status", "Empty or true: organisations that have ended, too"),
        _parameter("affiliation", "An affiliation to match; what is above does not count then"),
        _parameter("single_search", "The matching of ROR's default; the value does not matter"),
        _parameter("multisearch", "ROR's matching types of before; the value does not matter"),
    ]
}

_ONE: dict[str, Any] = {
    "parameters": [
        _parameter("ror_id", "A ROR id: 052gg0110, ror.org/052gg0110, https://…", where="path")
    ]
}


def _answers(*statuses: int, errors: bool = True) -> dict[int | str, dict[str, Any]]:
    """These statuses as OpenAPI's responses of a route; 200 is any JSON object."""
    described = {
        200: "The organisations, or what is wrong with the request",
        302: "The same with query in the place of query.name",
        404: "There is no such organisation",
        410: "Version 1 is gone",
        503: "A service does not answer; Retry-After says when to try again",
    }
    answers: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        schema = {"type": "object"} if status == 200 or not errors else _ERRORS
        answers[status] = {"description": described[status]}
        if status != 302:
            answers[status]["content"] = {"application/json": {"schema": schema}}
    return answers


def router(api: RorApi) -> APIRouter:
    """All routes, at the addresses that ROR has them at, for the root of a server."""
    routes = APIRouter(tags=["ROR's API"])

    async def organizations(request: Request) -> Response:
        """Organisations by name, identifier or field; or those that an affiliation names."""
        return await _sent(api.organizations(request.url.path, request.query_params.multi_items()))

    async def organization(request: Request) -> Response:
        """One organisation, whatever its status."""
        return await _sent(api.organization(request.path_params["ror_id"]))

    async def heartbeat(_request: Request) -> Response:
        """Whether organisations can be searched."""
        return await _sent(api.heartbeat())

    async def root(request: Request) -> Response:
        """Where the organisations are."""
        return _response(api.root(str(request.base_url).rstrip("/")))

    async def version_1(_request: Request) -> Response:
        return _response(api.version_1())

    for prefix in ("/v2", ""):
        shown = bool(prefix)
        routes.add_api_route(
            f"{prefix}/organizations",
            organizations,
            methods=["GET"],
            summary="Search organisations, or match an affiliation",
            responses=_answers(200, 302, 503),
            openapi_extra=_LIST,
            include_in_schema=shown,
        )
        routes.add_api_route(
            f"{prefix}/organizations/{{ror_id:path}}",
            organization,
            methods=["GET"],
            summary="One organisation",
            responses=_answers(200, 404, 503),
            openapi_extra=_ONE,
            include_in_schema=shown,
        )
        routes.add_api_route(
            f"{prefix}/heartbeat", heartbeat, methods=["GET"], include_in_schema=False
        )
    routes.add_api_route(
        "/", root, methods=["GET"], summary="The address of the search", responses=_answers(200)
    )
    for path in ("/v1", "/v1/{rest:path}"):
        routes.add_api_route(
            path, version_1, methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False
        )
    return routes


async def _sent(answer: Awaitable[Answer]) -> Response:
    """The answer; where it cannot be given, ROR's form of an error, with when to try again."""
    try:
        return _response(await answer)
    except ResolverError as error:
        response = _response(failed(error.problem, status=503))
        response.headers["Retry-After"] = str(RETRY_SECONDS)
        return response


def _response(answer: Answer) -> Response:
    headers = dict(answer.headers)
    if isinstance(answer.body, str):
        return HTMLResponse(answer.body, answer.status, headers=headers)
    return Response(
        orjson.dumps(answer.body), answer.status, headers=headers, media_type="application/json"
    )
