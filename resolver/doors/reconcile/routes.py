"""The Reconciliation Service API, version 0.2 (W3C community group, "Reconciliation Service API
v0.2"), as OpenRefine speaks it.

A batch is never answered with an error when one of its queries cannot be: OpenRefine would drop all
of them without a word. When nothing can be answered the status is 429 with `Retry-After`, which
OpenRefine waits for.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qs, quote, urlencode

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response

import resolver
from resolver.doors.backend import Backend
from resolver.doors.batching import TextFailed
from resolver.doors.lines import JSON
from resolver.doors.problems import UNAVAILABLE, Problem, documented
from resolver.doors.reconcile import core
from resolver.doors.reconcile.core import KNOWN_TYPES, ORGANIZATION, Candidate
from resolver.doors.reconcile.properties import BY_ID, PROPERTIES, Entity, Property, Value
from resolver.registry.organisation import TYPES, Organisation
from resolver.registry.ror_id import ROR_URL

BATCH_SIZE = 50
"""Queries of a batch, as OpenRefine is told. On one core they take some two seconds; it waits for
60."""

MAX_QUERIES = 1_000
MAX_IDS = 1_000
"""Most queries of a batch, and ids of an extension, that are answered."""

MAX_HINTS = 50
"""Most hints of a query that are read."""

MAX_SUGGESTED = 20

PREVIEW_WIDTH, PREVIEW_HEIGHT = 430, 180

RETRY_SECONDS = 5

FORM = "application/x-www-form-urlencoded"

_CALLBACK = re.compile(r"[\w.$]{1,100}", re.ASCII)

_QUERIES = (
    'A JSON object: {"q0": {"query": "Univ. of York", "type": "education", "limit": 3, '
    '"properties": [{"pid": "country", "v": "GB"}]}}'
)
_EXTEND = 'A JSON object: {"ids": ["0..."], "properties": [{"id": "city"}]}'

Callback = Annotated[str | None, Query(description="A function's name, for JSONP")]


def router(backend: Backend) -> APIRouter:
    """The routes below ``/reconcile``."""
    routes = APIRouter(prefix="/reconcile", tags=["reconcile"])
    errors = documented(400, 413, 429)

    @routes.get("", summary="The manifest, or the answers to a batch", responses=errors)
    async def get(
        request: Request,
        queries: Annotated[str | None, Query(description=_QUERIES)] = None,
        extend: Annotated[str | None, Query(description=_EXTEND)] = None,
        callback: Callback = None,
    ) -> Response:
        if queries is None and extend is None:
            return _answer(manifest(backend, request), callback)
        return _answer(await _asked(backend, queries, extend), callback)

    @routes.post(
        "",
        summary="The answers to a batch of queries, or properties of organisations",
        responses=errors,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    FORM: {
                        "schema": {
                            "type": "object",
                            "properties": {
                                "queries": {"type": "string", "description": _QUERIES},
                                "extend": {"type": "string", "description": _EXTEND},
                            },
                        }
                    }
                },
            }
        },
    )
    async def post(request: Request, callback: Callback = None) -> Response:
        form = await _form(request)
        if not form.keys() & {"queries", "extend"}:
            raise Problem(400, "send a form with the field queries or extend")
        return _answer(await _asked(backend, form.get("queries"), form.get("extend")), callback)

    @routes.get("/suggest/entity", summary="Organisations by the beginning of a name",
                responses=errors)  # fmt: skip
    async def suggest_entity(
        prefix: str = "",
        cursor: Annotated[int, Query(ge=0, le=10_000)] = 0,
        callback: Callback = None,
    ) -> Response:
        return _answer({"result": await _entities(backend, prefix.strip(), cursor)}, callback)

    @routes.get("/suggest/property", summary="Properties by the beginning of a name",
                responses=errors)  # fmt: skip
    async def suggest_property(prefix: str = "", callback: Callback = None) -> Response:
        found = [_named(entry.id, entry.name) for entry in PROPERTIES]
        return _answer({"result": list(_beginning(found, prefix))}, callback)

    @routes.get("/suggest/type", summary="Types by the beginning of a name",
                responses=errors)  # fmt: skip
    async def suggest_type(prefix: str = "", callback: Callback = None) -> Response:
        found = [_named(kind, name) for kind, name in KNOWN_TYPES.items()]
        return _answer({"result": list(_beginning(found, prefix))}, callback)

    @routes.get("/properties", summary="Properties of a type that may be asked for",
                responses=errors)  # fmt: skip
    async def properties(
        type: str = ORGANIZATION,
        limit: Annotated[int, Query(ge=0, le=1_000)] = 0,
        callback: Callback = None,
    ) -> Response:
        found = [_named(entry.id, entry.name) for entry in PROPERTIES]
        chosen = found[:limit] if limit else found
        answer: dict[str, Any] = {"properties": chosen, "type": type}
        return _answer(answer | ({"limit": limit} if limit else {}), callback)

    @routes.get("/preview", summary="An organisation as a small page",
                response_class=HTMLResponse, responses=documented(404, 429))  # fmt: skip
    async def preview(id: str = "") -> Response:
        ror_id = core.bare_id(id)
        try:
            found = await backend.organisations(backend.release_id, [ror_id] if ror_id else [])
        except UNAVAILABLE as error:
            raise _later() from error
        if ror_id is None or ror_id not in found:
            raise Problem(404, "there is no such organisation in this release")
        return HTMLResponse(
            _page(found[ror_id]),
            headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
        )

    return routes


def manifest(backend: Backend, request: Request) -> dict[str, Any]:
    """What a client learns of the service first."""
    base = (backend.settings.serve_url or str(request.base_url)).rstrip("/") + "/reconcile"
    # OpenRefine can send a key in no other way, and knows these addresses from here alone.
    key = request.query_params.get("api_key")
    secret = f"?{urlencode({'api_key': key})}" if key else ""

    def service(path: str) -> dict[str, str]:
        return {"service_url": base, "service_path": path + secret}

    return {
        "versions": ["0.1", "0.2"],
        "name": "Affiliation resolver: ROR",
        "identifierSpace": ROR_URL,
        "schemaSpace": "https://schema.org/Organization",
        "serviceVersion": resolver.__version__,
        "batchSize": BATCH_SIZE,
        "defaultTypes": [_named(ORGANIZATION, KNOWN_TYPES[ORGANIZATION])],
        "documentation": base.removesuffix("/reconcile") + "/docs",
        "view": {"url": ROR_URL + "{{id}}"},
        "preview": {
            "url": f"{base}/preview?id={{{{id}}}}" + (f"&{secret[1:]}" if secret else ""),
            "width": PREVIEW_WIDTH,
            "height": PREVIEW_HEIGHT,
        },
        "suggest": {kind: service(f"/suggest/{kind}") for kind in ("entity", "property", "type")},
        "extend": {
            "propose_properties": service("/properties"),
            "property_settings": [
                {
                    "name": "limit",
                    "label": "At most",
                    "type": "number",
                    "default": 0,
                    "help_text": "Values of this property; 0: all",
                }
            ],
        },
    }


async def _asked(backend: Backend, queries: str | None, extend: str | None) -> dict[str, Any]:
    """The answer to one of the two.

    Raises:
        Problem: 400, it is not JSON of the right form; 413; 429, nothing can be answered now.
    """
    try:
        async with asyncio.timeout(backend.settings.serve_seconds):
            if queries is not None:
                return await _reconciled(backend, _object("queries", queries))
            return await _extended(backend, _object("extend", extend or ""))
    except (*UNAVAILABLE, TimeoutError) as error:
        raise _later() from error
    except ExceptionGroup as group:
        if group.subgroup(UNAVAILABLE):
            raise _later() from group
        raise


def _later() -> Problem:
    return Problem(
        429,
        "this server cannot answer now; send the batch again later",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def _object(field: str, value: str) -> dict[str, Any]:
    try:
        read = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"{field}: is not JSON: {error.msg}") from error
    if not isinstance(read, dict):
        raise Problem(400, f"{field}: is not a JSON object")
    return read


async def _reconciled(backend: Backend, batch: Mapping[str, Any]) -> dict[str, Any]:
    """An answer to each query, by the same keys. One that cannot be read has no candidates, and its
    error beside them."""
    if len(batch) > MAX_QUERIES:
        raise Problem(413, f"{len(batch):,} queries; {MAX_QUERIES:,} are the most of a batch")
    answers: dict[str, dict[str, Any]] = {}
    queries: dict[str, core.Query] = {}
    for key, raw in batch.items():
        read = read_query(raw)
        if isinstance(read, str):
            answers[key] = {"result": [], "error": read}
        else:
            queries[key] = read
    found = await core.candidates(backend, list(queries.values()))
    for key, candidates in zip(queries, found, strict=True):
        if isinstance(candidates, TextFailed):
            answers[key] = {"result": [], "error": candidates.problem}
        else:
            answers[key] = {"result": list(map(_candidate, candidates))}
    return {key: answers[key] for key in batch}


def read_query(raw: object) -> core.Query | str:
    """A query of a batch, or what is wrong with it. Hints and types that are not known, or empty,
    are left out."""
    if not isinstance(raw, Mapping):
        return "the query is not an object"
    text = raw.get("query", "")
    if not isinstance(text, str):
        return "query: is not a string"
    limit = raw.get("limit")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        limit = core.CANDIDATES
    given = raw.get("type", [])
    kinds = given if isinstance(given, list) else [given]
    names = [kind.get("id") if isinstance(kind, Mapping) else kind for kind in kinds]
    types = frozenset(name.lower() for name in names if isinstance(name, str)) & TYPES
    if any(name == ORGANIZATION for name in names):
        types = frozenset()
    hints: dict[str, list[str]] = {}
    properties = raw.get("properties")
    for entry in (properties if isinstance(properties, list) else [])[:MAX_HINTS]:
        if isinstance(entry, Mapping) and isinstance(pid := entry.get("pid"), str):
            hints.setdefault(pid, []).extend(_hinted(entry.get("v")))
    return core.Query(text, types, min(limit, core.MOST_CANDIDATES), hints)


def _hinted(value: object) -> list[str]:
    """The texts of a hint's value: a string, a number, an entity, or a list of them."""
    if isinstance(value, list):
        return [text for entry in value[:MAX_HINTS] for text in _hinted(entry)]
    if isinstance(value, Mapping):
        return _hinted(value.get("id") or value.get("name"))
    if isinstance(value, str) and value.strip():
        return [value.strip()]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [str(value)]
    return []


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "id": candidate.ror_id,
        "name": candidate.name,
        "description": candidate.description,
        "type": _types(candidate.types),
        "score": candidate.score,
        "match": candidate.match,
        "features": [{"id": name, "value": value} for name, value in candidate.features.items()],
    }


def _types(kinds: Iterable[str]) -> list[dict[str, str]]:
    return [_named(kind, KNOWN_TYPES.get(kind, kind)) for kind in (ORGANIZATION, *kinds)]


def _named(identifier: str, name: str) -> dict[str, str]:
    return {"id": identifier, "name": name}


async def _extended(backend: Backend, extension: Mapping[str, Any]) -> dict[str, Any]:
    """Values of properties of organisations. Every id that was asked for has a row; of what is not
    known its values are empty."""
    ids = extension.get("ids")
    asked = extension.get("properties")
    if not isinstance(ids, list) or not isinstance(asked, list):
        raise Problem(400, "extend: ids and properties are not both lists")
    if len(ids) > MAX_IDS:
        raise Problem(413, f"{len(ids):,} ids; {MAX_IDS:,} are the most")
    properties: list[tuple[Property, int]] = []
    for entry in asked:
        if isinstance(entry, Mapping) and (known := BY_ID.get(str(entry.get("id")))):
            properties.append((known, _most(entry.get("settings"))))
    by_id = {str(given): core.bare_id(given) for given in ids}
    found = await backend.organisations(backend.release_id, set(filter(None, by_id.values())))
    return {
        "meta": [
            _named(entry.id, entry.name)
            | ({"type": _named(ORGANIZATION, ORGANIZATION)} if entry.of_entities else {})
            for entry, _ in properties
        ],
        "rows": {
            given: {
                entry.id: _cells(entry, found.get(ror_id) if ror_id else None, most)
                for entry, most in properties
            }
            for given, ror_id in by_id.items()
        },
    }


def _most(settings: object) -> int:
    """The number of values that a property's settings allow; 0: all."""
    limit = settings.get("limit") if isinstance(settings, Mapping) else 0
    try:
        return max(int(limit or 0), 0)
    except (TypeError, ValueError, OverflowError):
        return 0


def _cells(
    entry: Property, organisation: Organisation | None, most: int
) -> Sequence[dict[str, Any]]:
    if organisation is None:
        return []
    values = list(map(_cell, entry.values(organisation)))
    return values[:most] if most else values


def _cell(value: Value) -> dict[str, Any]:
    match value:
        case Entity():
            return _named(value.id, value.name)
        case int():
            return {"int": value}
    return {"str": value}


async def _entities(backend: Backend, prefix: str, cursor: int) -> list[dict[str, Any]]:
    try:
        if ror_id := core.bare_id(prefix):
            known = await backend.organisations(backend.release_id, [ror_id])
            found: Sequence[Organisation] = list(known.values())
        else:
            found = await core.beginning(backend, prefix[:200], cursor, MAX_SUGGESTED)
    except UNAVAILABLE as error:
        raise _later() from error
    return [
        _named(organisation.ror_id, organisation.display_name)
        | {"description": core.place_of(organisation), "notable": _types(organisation.types)}
        for organisation in found
    ]


def _beginning(found: Iterable[dict[str, str]], prefix: str) -> Iterable[dict[str, str]]:
    start = prefix.strip().lower()
    return (
        entry
        for entry in found
        if entry["id"].lower().startswith(start) or entry["name"].lower().startswith(start)
    )


def _page(organisation: Organisation) -> str:
    """The preview: a page for a frame, in which nothing runs."""
    values = {entry.id: list(entry.values(organisation)) for entry in PROPERTIES}
    shown = [
        core.place_of(organisation),
        ", ".join(map(str, values["types"])),
        ", ".join(map(str, values["acronyms"])),
        f"since {organisation.established}" if organisation.established else "",
    ]
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in shown if line)
    addresses = [ROR_URL + organisation.ror_id, *organisation.websites[:1]]
    links = " · ".join(
        f'<a href="{html.escape(quote(url, safe=_OF_ADDRESS))}" target="_blank" rel="noopener">'
        f"{html.escape(url)}</a>"
        for url in addresses
        if url.startswith(("http://", "https://"))
    )
    name = html.escape(organisation.display_name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        "<style>body{font:14px sans-serif;margin:8px}p{margin:3px 0}"
        f"h1{{font-size:16px;margin:0 0 6px}}</style></head>"
        f"<body><h1>{name}</h1>{lines}<p>{links}</p></body></html>"
    )


_OF_ADDRESS = ":/?#[]@!$&'()*+,;=%~"
"""What stays as it is in an address."""


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name. Read here, since the usual reader takes fields
    of a megabyte at most."""
    kind = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if kind != FORM:
        raise Problem(400, f"send the fields as {FORM}")
    body = await request.body()
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except (UnicodeDecodeError, ValueError) as error:
        raise Problem(400, "the form cannot be read") from error
    return {name: values[0] for name, values in fields.items()}


def _answer(answer: Mapping[str, Any], callback: str | None) -> Response:
    body = orjson.dumps(answer)
    if callback is None:
        return Response(body, media_type=JSON)
    if not _CALLBACK.fullmatch(callback):
        raise Problem(400, "callback: is not a function's name")
    # Two separators of lines that JSON has and older JavaScript has not.
    script = body.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return Response(
        b"/**/" + callback.encode() + b"(" + script + b");",
        headers={"X-Content-Type-Options": "nosniff"},
        media_type="application/javascript",
    )
