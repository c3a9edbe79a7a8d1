"""Errors as ``application/problem+json`` (RFC 9457): what every door but ROR's answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from resolver.doors.batching import BatcherClosed, BatcherFull, TextFailed
from resolver.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    IndexUnavailable,
    PolicyError,
    QueueFull,
    RerankerUnavailable,
    ResolverError,
    ResolverSuperseded,
)

log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"

RETRY_SECONDS = 5
"""What a client is told to wait while a service does not answer, or the server is full."""

UNAVAILABLE = (
    BatcherClosed,
    BatcherFull,
    BrokerUnavailable,
    DatabaseUnavailable,
    IndexUnavailable,
    QueueFull,
    RerankerUnavailable,
    ResolverSuperseded,
)
"""Errors that pass when one waits."""


class ProblemDocument(BaseModel):
    """A problem, as RFC 9457 describes it."""

    type: str = "about:blank"
    title: str = Field(description="The status in words")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What is wrong with this request, and what helps")


class Problem(Exception):
    """An answer that is an error, with its status and headers."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        super().__init__(detail)

    def response(self) -> Response:
        document = ProblemDocument(
            title=HTTPStatus(self.status).phrase, status=self.status, detail=self.detail
        )
        return Response(
            orjson.dumps(document.model_dump()),
            self.status,
            headers=self.headers,
            media_type=PROBLEM_JSON,
        )


def unavailable(detail: str, *, seconds: int = RETRY_SECONDS) -> Problem:
    """503 that says when to come back."""
    return Problem(503, detail, headers={"Retry-After": str(seconds)})


def problem_of(error: Exception) -> Problem:
    """The problem that an error becomes.

    One that may pass is a 503. Of one that cannot be the request's fault nothing is shown but its
    kind: it is in the log.
    """
    match error:
        case Problem():
            return error
        case TimeoutError():
            return unavailable("the answer took too long; send fewer affiliations, or try later")
        case PolicyError():
            return Problem(422, f"policy: {error.problem}")
        case TextFailed():
            return Problem(500, error.problem)
        case BatcherClosed() | BatcherFull() | QueueFull():
            return unavailable(error.problem)
        case _ if isinstance(error, UNAVAILABLE):
            log.warning("%s", error)
            return unavailable("a service that this server needs does not answer; try again later")
        case ResolverError():
            log.error("%s", error)
            return unavailable("this server cannot answer at present; its log says why", seconds=60)
        case RequestValidationError():
            return Problem(422, "; ".join(map(_of_parameter, error.errors())))
        case HTTPException():
            return Problem(error.status_code, error.detail, headers=error.headers)
    log.error("a request failed", exc_info=error)
    return Problem(500, "an error in this server; its log says more")


def _of_parameter(error: Mapping[str, Any]) -> str:
    """ "cursor: Input should be a valid integer"."""
    *_, name = error["loc"]
    return f"{name}: {error['msg']}"


def install(app: FastAPI) -> None:
    """Answer every error of the application in this form."""

    async def answer(_request: Request, error: Exception) -> Response:
        return problem_of(error).response()

    for kind in (Problem, ResolverError, RequestValidationError, HTTPException, TimeoutError):
        app.add_exception_handler(kind, answer)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses as OpenAPI's responses of a route."""
    headers = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
            **({"headers": headers} if status in (429, 503) else {}),
        }
        for status in statuses
    }
