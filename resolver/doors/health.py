"""``/healthz``, ``/readyz`` and ``/metrics``: for those who watch over the server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from resolver.doors.backend import Backend
from resolver.errors import ResolverError
from resolver.observing.metrics import DoorMetrics

CHECK_SECONDS = 5
"""Longest that a look at the database and the index may take."""


@dataclass(slots=True)
class Readiness:
    """Whether new requests are welcome: not before all is open, and not after SIGTERM."""

    open: bool = False
    leaving: bool = False


def router(backend: Backend, readiness: Readiness, metrics: DoorMetrics) -> APIRouter:
    routes = APIRouter(tags=["health"], default_response_class=PlainTextResponse)
    not_ready: dict[int | str, dict[str, Any]] = {
        503: {
            "description": "Why it is not ready",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    }

    @routes.get("/healthz", summary="Whether the process lives", response_class=PlainTextResponse)
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    @routes.get(
        "/readyz",
        summary="Whether requests are answered now",
        response_class=PlainTextResponse,
        responses=not_ready,
    )
    async def readyz() -> Response:
        problem = await _problem(backend, readiness)
        if problem is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"{problem}\n", 503, headers={"Retry-After": "5"})

    @routes.get("/metrics", summary="Figures for Prometheus", response_class=PlainTextResponse)
    async def exposed() -> Response:
        metrics.waiting.set(backend.batcher.waiting)
        metrics.ready.set(await _problem(backend, readiness) is None)
        return Response(metrics.exposed(), media_type=CONTENT_TYPE_LATEST)

    return routes


async def _problem(backend: Backend, readiness: Readiness) -> str | None:
    """What keeps it from answering, without any name or address; None where nothing does."""
    if readiness.leaving:
        return "the server is stopping"
    if not readiness.open:
        return "the server is starting"
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await asyncio.to_thread(backend.matching.check)
    except TimeoutError:
        return "the database or the index takes too long"
    except ResolverError as error:
        return f"not now: {type(error).__name__}"
    return None
