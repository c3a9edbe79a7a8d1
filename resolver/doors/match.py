"""``/match``: affiliations in bulk, a list in and a list out, and the form of Crossref's Marple."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from resolver.doors.backend import LARGEST_BATCH, Backend
from resolver.doors.batching import TextFailed
from resolver.doors.lines import JSON, NDJSON, Asked, asked_lines, content_type, json_of, read
from resolver.doors.matching import Answered, Choices
from resolver.doors.problems import Problem, documented, problem_of
from resolver.doors.ror.record import published
from resolver.matching import outcome
from resolver.registry.organisation import Organisation
from resolver.registry.ror_id import ROR_URL
from resolver.validation import json_kind

MAX_AFFILIATIONS = 1_000
"""Most affiliations of a JSON request: they are answered in one piece. Lines have no limit."""

Detail = Literal["none", "brief", "full"]

POLICY_NUMBERS = ("accept_probability", "target_precision", "ambiguity_margin")
POLICY_LISTS = ("types", "countries")


class Affiliation(BaseModel):
    """An affiliation with an id of the client's own, which comes back with its answer."""

    id: str | int | None = None
    affiliation: str


class Policy(BaseModel):
    """What to link (docs/tasks.md). What is left out is as the server's settings say."""

    accept_probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    target_precision: Annotated[float, Field(ge=0.5, le=0.999)] = 0.95
    max_links: Annotated[int, Field(ge=1, le=100)] = 10
    level: Literal["named", "most-specific", "top-parent", "both"] = "named"
    succession: Literal["keep", "roll-forward"] = "keep"
    types: list[str] = []
    countries: list[str] = []
    ambiguity_margin: Annotated[float, Field(ge=0, le=1)] = 0.01


class BriefOrganisation(BaseModel):
    """What ``"organizations": "brief"`` says of an organisation; ``full`` is its whole record."""

    id: str
    name: str
    city: str | None
    country: str | None
    country_code: str | None
    types: list[str]
    status: str
    website: str | None


class Link(BaseModel):
    """An organisation that the affiliation names, the most probable first."""

    ror_id: str
    name: str
    matched_name: str = Field(description="The name of the organisation that the affiliation has")
    probability: Annotated[float, Field(ge=0, le=1)]
    score: float | None = Field(
        description="The cross-encoder's logit; null where a curator decided and it was not read"
    )
    matched_text: str = Field(
        description="The part of `text` that the name stands on; empty where the name is written "
        "otherwise, as in another script"
    )
    start: Annotated[int, Field(ge=0, description="Where `matched_text` begins in `text`, from 0")]
    end: Annotated[int, Field(ge=0, description="Where it ends")]
    stands_for: list[str] = Field(
        description="ROR ids of what the affiliation names, where this organisation was put in "
        "their place, as `level` and `succession` ask for"
    )
    organization: dict[str, Any] | None = None


class Result(BaseModel):
    """The answer to an affiliation.

    ``refused``: it cannot be read. ``failed``: it could not be answered, and can be sent again.
    Neither says that nothing was found: that is ``no_match``.
    """

    index: Annotated[int, Field(ge=0)]
    id: str | int | None
    status: Literal["linked", "no_match", "refused", "failed"]
    text: str | None = Field(
        description="The affiliation as it was read: entities, tags and white space resolved, "
        "damage mended; null where it was refused or failed"
    )
    links: list[Link]
    reason: str | None


class Matches(BaseModel):
    """The answers in the order of the affiliations, all by one resolver version."""

    release: str
    resolver_version: str
    results: list[Result]


class MatchRequest(BaseModel):
    affiliations: Annotated[list[str | Affiliation], Field(max_length=MAX_AFFILIATIONS)]
    policy: Policy | None = None
    organizations: Detail = "none"


class MarpleItem(BaseModel):
    id: str
    confidence: float
    strategies: list[str]


class MarpleItems(BaseModel):
    items: list[MarpleItem]


class MarpleAnswer(BaseModel):
    """In the form of Crossref's matching service."""

    status: Literal["ok"]
    message_type: str
    message: MarpleItems


class Streamed(Response):
    """Lines that are sent as they are made, and read from a body that still comes.

    Starlette's own reads from the client, to see it go, and would lose pieces of the body.
    """

    def __init__(self, lines: AsyncIterator[bytes], *, media_type: str = NDJSON) -> None:
        self.lines = lines
        self.status_code = 200
        self.media_type = media_type
        self.background: BackgroundTask | None = None
        self.init_headers({"X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for line in self.lines:
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def router(backend: Backend) -> APIRouter:
    """The routes below ``/match``."""
    routes = APIRouter(tags=["match"])

    @routes.post(
        "/match",
        summary="Link affiliations to organisations",
        response_model=Matches,
        responses={
            200: {
                "content": {
                    NDJSON: {"schema": {"type": "string", "description": "A result a line"}}
                }
            },
            **documented(400, 413, 415, 422, 503),
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {"schema": {"$ref": "#/components/schemas/MatchRequest"}},
                    NDJSON: {
                        "schema": {
                            "type": "string",
                            "description": "A text in quotes, or an object, a line. The policy is "
                            "in the query string: ?target_precision=0.95&countries=CH,DE",
                        }
                    },
                },
            }
        },
    )
    async def match(request: Request) -> Response:
        """The answers come in the order of the affiliations. One that cannot be read is an entry of
        its own, and no error."""
        if content_type(request) == NDJSON:
            return await _match_lines(backend, request)
        return await _match_json(backend, request)

    @routes.get(
        "/match",
        summary="Link one affiliation, in the form of Crossref's matching service",
        response_model=MarpleAnswer,
        responses=documented(400, 422, 503),
    )
    async def marple(
        input: Annotated[str, Query(description="The affiliation")] = "",
        task: Annotated[str, Query(description="affiliation-matching")] = "affiliation-matching",
        strategy: Annotated[str, Query(description="Comes back; there is one")] = "default",
    ) -> Response:
        _require_task(task)
        (answer,) = await _in_time(backend, [input])
        return Response(orjson.dumps(_marple(answer, strategy)), media_type=JSON)

    @routes.post(
        "/match/bulk",
        summary="Link affiliations, in the form of Crossref's matching service",
        responses=documented(400, 413, 415, 422, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {
                        "schema": {
                            "type": "object",
                            "required": ["inputs"],
                            "properties": {
                                "inputs": {
                                    "type": "array",
                                    "items": {"type": "string"},
                                    "maxItems": MAX_AFFILIATIONS,
                                }
                            },
                        }
                    }
                },
            }
        },
    )
    async def marple_bulk(
        request: Request,
        task: Annotated[str, Query(description="affiliation")] = "affiliation",
        strategy: Annotated[str, Query(description="Comes back; there is one")] = "default",
    ) -> Response:
        _require_task(task)
        if content_type(request) != JSON:
            raise Problem(415, f"send {JSON}")
        body = json_of(await request.body())
        inputs = body.get("inputs") if isinstance(body, dict) else None
        if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
            raise Problem(422, "inputs: not a list of strings")
        _require_few(inputs)
        answers = await _in_time(backend, inputs)
        items = [_marple(answer, strategy)["message"] for answer in answers]
        return Response(
            orjson.dumps(
                {
                    "status": "ok",
                    "message_type": "matched-item-list",
                    "message": {
                        "items": [
                            {**item, "target_data": "ROR", "strategy": strategy} for item in items
                        ]
                    },
                }
            ),
            media_type=JSON,
        )

    return routes


async def _in_time(
    backend: Backend, texts: Sequence[str], choices: Choices = "{}"
) -> list[Answered | TextFailed]:
    async with asyncio.timeout(backend.settings.serve_seconds):
        return await backend.answers(texts, choices)


def read_document(body: object) -> tuple[list[Any], dict[str, object], Detail]:
    """The affiliations, the policy and the detail of a `MatchRequest`.

    Raises:
        Problem: 422, it is none. The policy's choices are checked by `Backend.choices`.
    """
    if not isinstance(body, dict):
        raise Problem(422, f"the body is {json_kind(body)}, not an object with affiliations")
    if unknown := sorted(body.keys() - {"affiliations", "policy", "organizations"}):
        raise Problem(422, f"{unknown[0][:80]}: no such key")
    affiliations = body.get("affiliations")
    if not isinstance(affiliations, list):
        raise Problem(422, f"affiliations: is {json_kind(affiliations)}, not a list")
    policy = body.get("policy")
    if policy is not None and not isinstance(policy, dict):
        raise Problem(422, f"policy: is {json_kind(policy)}, not an object")
    return affiliations, policy or {}, detail_of(body.get("organizations", "none"))


async def _match_json(backend: Backend, request: Request) -> Response:
    affiliations, policy, detail = read_document(json_of(await request.body()))
    _require_few(affiliations)
    choices = backend.choices(policy)
    asked = [read(index, value) for index, value in enumerate(affiliations)]
    texts = [entry.text for entry in asked if entry.text is not None]
    async with asyncio.timeout(backend.settings.serve_seconds):
        answers = await backend.answers(texts, choices)
        results = await results_of(backend, asked, answers, detail)
        made = next((a for a in answers if isinstance(a, Answered)), None)
        if made is None:
            # Nothing was there to be answered: what would have been used.
            version = backend.matching.service.version
            release, number = version.release, version.id
        else:
            release, number = made.release, made.version_id
    answer = {"release": release, "resolver_version": str(number), "results": results}
    return Response(orjson.dumps(answer), media_type=JSON)


async def _match_lines(backend: Backend, request: Request) -> Response:
    query = dict(request.query_params)
    query.pop("api_key", None)
    detail = detail_of(query.pop("organizations", "none"))
    choices = backend.choices(policy_in_query(query))
    results = match_stream(backend, asked_lines(request), choices, detail)
    # The first lines before the answer begins: what fails for all of them still gets its status.
    first = await anext(results, b"")

    async def lines() -> AsyncIterator[bytes]:
        yield first
        async for more in results:
            yield more

    return Streamed(lines())


async def match_stream(
    backend: Backend, asked: AsyncIterator[list[Asked]], choices: Choices, detail: Detail
) -> AsyncIterator[bytes]:
    """The results of affiliations that still come, as lines, in order.

    What fails when lines were sent already becomes results of the status ``failed``.

    Raises:
        Problem, ResolverError: the first affiliations cannot be answered.
    """
    in_work: deque[asyncio.Task[bytes]] = deque()
    sent, index = False, 0

    async def piece_of(entries: list[Asked], *, admitted: bool) -> bytes:
        try:
            return await _lines_of(backend, entries, choices, detail, admitted=admitted)
        except Exception as error:
            if not sent:
                raise
            reason = problem_of(error).detail
            return b"".join(_line(unanswered(entry, "failed", reason)) for entry in entries)

    try:
        try:
            async for entries in asked:
                index = entries[-1].index + 1
                for start in range(0, len(entries), LARGEST_BATCH):
                    piece = entries[start : start + LARGEST_BATCH]
                    admitted = sent or bool(in_work)
                    in_work.append(asyncio.create_task(piece_of(piece, admitted=admitted)))
                    # Two: one in work, and one that is gathered with what others ask.
                    if len(in_work) == 2:
                        lines = await in_work.popleft()
                        sent = True
                        yield lines
        except Problem as problem:
            if not sent and not in_work:
                raise
            while in_work:
                yield await in_work.popleft()
            yield _line(unanswered(Asked(index, None, None), "failed", problem.detail))
        while in_work:
            lines = await in_work.popleft()
            sent = True
            yield lines
    finally:
        for task in in_work:
            task.cancel()


async def _lines_of(
    backend: Backend, asked: Sequence[Asked], choices: Choices, detail: Detail, *, admitted: bool
) -> bytes:
    texts = [entry.text for entry in asked if entry.text is not None]
    async with asyncio.timeout(backend.settings.serve_seconds):
        answers = await backend.batch(texts, choices, admitted=admitted)
        results = await results_of(backend, asked, answers, detail)
    made = next((answer for answer in answers if isinstance(answer, Answered)), None)
    by = {"release": made.release, "resolver_version": str(made.version_id)} if made else {}
    return b"".join(_line(result | by) for result in results)


def _line(result: Mapping[str, object]) -> bytes:
    return orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE)


def detail_of(value: object) -> Detail:
    """What is said of linked organisations.

    Raises:
        Problem: 422, it is none of the three.
    """
    for known in get_args(Detail):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise Problem(422, f"organizations: not one of {', '.join(get_args(Detail))}")


def policy_in_query(query: Mapping[str, str]) -> dict[str, object]:
    """The choices of a policy in a query string; lists have commas between their values.

    Raises:
        Problem: 422, a number cannot be read. Other faults are found by `Backend.choices`.
    """
    policy: dict[str, object] = {}
    for name, value in query.items():
        try:
            if name in POLICY_NUMBERS:
                policy[name] = float(value)
            elif name == "max_links":
                policy[name] = int(value)
            elif name in POLICY_LISTS:
                policy[name] = [word for word in value.split(",") if word.strip()]
            else:
                policy[name] = value
        except ValueError as error:
            raise Problem(422, f"policy: {name}: is not a number") from error
    return policy


async def results_of(
    backend: Backend,
    asked: Sequence[Asked],
    answers: Sequence[Answered | TextFailed],
    detail: Detail,
) -> list[dict[str, Any]]:
    """The result of each entry; `answers` has one for each that has a text."""
    organisations = await organisations_of(
        backend,
        (
            (answer.release_id, [link.ror_id for link in answer.outcome.links])
            for answer in answers
            if isinstance(answer, Answered)
        ),
        detail,
    )
    left = iter(answers)
    results = []
    for entry in asked:
        if entry.text is None:
            results.append(unanswered(entry, "refused", entry.refusal))
            continue
        answer = next(left)
        if isinstance(answer, TextFailed):
            results.append(unanswered(entry, "failed", answer.problem))
        else:
            results.append(_result(entry, answer, organisations.get(answer.release_id), detail))
    return results


async def organisations_of(
    backend: Backend, linked: Iterable[tuple[int, Iterable[str]]], detail: str
) -> dict[int, dict[str, Organisation]]:
    """The organisations that answers link, by release; none where no detail is asked for.

    `linked` has the key of the release and the ROR ids of each answer.
    """
    wanted: dict[int, set[str]] = {}
    if detail != "none":
        for release_id, ror_ids in linked:
            wanted.setdefault(release_id, set()).update(ror_ids)
    return {
        release_id: await backend.organisations(release_id, ror_ids)
        for release_id, ror_ids in wanted.items()
    }


def unanswered(asked: Asked, status: str, reason: str | None) -> dict[str, Any]:
    """The result of an affiliation that was refused, or that failed."""
    return result_of(asked, status, None, [], reason)


def result_of(
    asked: Asked,
    status: str,
    text: str | None,
    links: Sequence[dict[str, Any]],
    reason: str | None,
) -> dict[str, Any]:
    """The result of an affiliation, as `Result`."""
    return {
        "index": asked.index,
        "id": asked.id,
        "status": status,
        "text": text,
        "links": links,
        "reason": reason,
    }


def link_of(
    link: outcome.Link,
    text: str,
    span: tuple[int, int],
    organisations: Mapping[str, Organisation] | None,
    detail: Detail,
) -> dict[str, Any]:
    """A link of a result, as `Link`. The name stands on the part `span` of `text`, the affiliation
    as it was read; `organisations` are those of its release, if any detail is asked for."""
    start, end = span
    shown: dict[str, Any] = {
        "ror_id": ROR_URL + link.ror_id,
        "name": link.name,
        "matched_name": link.matched_name,
        "probability": round(link.probability, 4),
        "score": None if link.score is None else round(link.score, 4),
        "matched_text": text[start:end],
        "start": start,
        "end": end,
        "stands_for": [ROR_URL + ror_id for ror_id in link.stands_for],
    }
    if detail != "none":
        organisation = (organisations or {}).get(link.ror_id)
        shown["organization"] = organisation and described(organisation, detail)
    return shown


def _result(
    asked: Asked,
    answer: Answered,
    organisations: Mapping[str, Organisation] | None,
    detail: Detail,
) -> dict[str, Any]:
    links = [
        link_of(
            link,
            answer.text,
            (link.evidence.start, link.evidence.end) if link.evidence else (0, 0),
            organisations,
            detail,
        )
        for link in answer.outcome.links
    ]
    reason = answer.outcome.reason
    return result_of(
        asked, answer.outcome.status.value, answer.text, links, reason and reason.value
    )


def described(organisation: Organisation, detail: Detail) -> dict[str, Any]:
    """An organisation as `BriefOrganisation`, or as ROR's API gives it."""
    if detail == "full":
        return published(organisation)
    place = organisation.place
    return {
        "id": ROR_URL + organisation.ror_id,
        "name": organisation.display_name,
        "city": place.city if place else None,
        "country": place.country if place else None,
        "country_code": place.country_code if place else None,
        "types": list(organisation.types),
        "status": organisation.status.value,
        "website": organisation.websites[0] if organisation.websites else None,
    }


def _require_few(affiliations: Collection[object]) -> None:
    if len(affiliations) > MAX_AFFILIATIONS:
        raise Problem(
            413,
            f"{len(affiliations):,} affiliations; {MAX_AFFILIATIONS:,} are the most in JSON: send "
            f"them as lines ({NDJSON}), or make a job of them (POST /jobs)",
        )


def _require_task(task: str) -> None:
    if task not in ("affiliation-matching", "affiliation"):
        raise Problem(422, "task: there is affiliation-matching alone")


def _marple(answer: Answered | TextFailed, strategy: str) -> dict[str, Any]:
    if isinstance(answer, TextFailed):
        raise answer
    return {
        "status": "ok",
        "message_type": "matched-item-list",
        "message": {
            "items": [
                {
                    "id": ROR_URL + link.ror_id,
                    "confidence": round(link.probability, 4),
                    "strategies": [strategy],
                }
                for link in answer.outcome.links
            ]
        },
    }
