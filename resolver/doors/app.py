"""The application: all doors behind keys, limits and logs, and what it opens and closes."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

import resolver
from resolver.doors import health, jobs, match, problems
from resolver.doors.backend import Backend
from resolver.doors.health import Readiness
from resolver.doors.lifespan import lifespan_of
from resolver.doors.limits import Bodies, Gate, Keys, Rates
from resolver.doors.problems import ProblemDocument
from resolver.doors.reconcile import routes as reconcile
from resolver.doors.requests import REQUEST_ID, Requests
from resolver.doors.ror import door as ror
from resolver.observing.metrics import DoorMetrics
from resolver.settings import Settings

log = logging.getLogger(__name__)

DESCRIPTION = (
    "Links affiliation strings to organisations of ROR. docs/serve.md has limits and settings."
)

SMALLEST_GZIPPED = 1_000
"""Bytes from which an answer is sent as gzip to those who take it."""


def create_app(settings: Settings) -> FastAPI:
    """The application of these settings. It opens the version in use before it takes requests, and
    answers what it took before it ends.

    ``app.state.readiness`` may be told that the server leaves; ``app.state.failure`` is the
    `ResolverError` with which it could not be opened.

    Raises:
        SettingsError: the keys or the rate cannot be used.
    """
    keys = Keys(settings.serve_keys) if settings.serve_keys else None
    rates = Rates(settings) if settings.serve_rate else None
    readiness, metrics = Readiness(), DoorMetrics()
    backend = Backend.of(settings, done=metrics.batch)
    jobs_door = jobs.Jobs(backend, set_aside=metrics.jobs_failed.inc)

    app = FastAPI(
        title="affiliation-resolver",
        version=resolver.__version__,
        description=DESCRIPTION,
        lifespan=lifespan_of(backend, readiness, jobs_door.running),
        redoc_url=None,
    )
    app.state.backend, app.state.readiness, app.state.failure = backend, readiness, None
    for router in (
        health.router(backend, readiness, metrics),
        match.router(backend),
        jobs.router(jobs_door),
        reconcile.router(backend),
        ror.door(backend),
    ):
        app.include_router(router)
    problems.install(app)
    # The last is the outermost.
    app.add_middleware(GZipMiddleware, minimum_size=SMALLEST_GZIPPED, compresslevel=5)
    app.add_middleware(Bodies)
    app.add_middleware(Gate, keys=keys, rates=rates)
    app.add_middleware(Requests, metrics=metrics)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"],
        allow_headers=["*", "Authorization"],
        expose_headers=[REQUEST_ID, "Location", "Retry-After"],
        max_age=86_400,
    )
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The description that `/openapi.json` serves, with the schemas of what is read by hand."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        models: list[type[BaseModel]] = [
            ProblemDocument,
            match.MatchRequest,
            match.Policy,
            match.Affiliation,
        ]
        _, definitions = models_json_schema(
            [(model, "validation") for model in models],
            ref_template="#/components/schemas/{model}",
        )
        known = schema.setdefault("components", {}).setdefault("schemas", {})
        for name, definition in definitions["$defs"].items():
            known.setdefault(name, definition)
        # What FastAPI says of parameters that cannot be read is a problem here, too.
        unread = problems.documented(422)[422]
        for operations in schema["paths"].values():
            for operation in operations.values():
                if "422" in operation["responses"]:
                    operation["responses"]["422"] = unread
        for name in ("HTTPValidationError", "ValidationError"):
            known.pop(name, None)
        app.openapi_schema = schema
    return app.openapi_schema
