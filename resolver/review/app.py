"""The application of the review page: pages behind the guard, and what it opens and closes."""

from __future__ import annotations

import logging

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from resolver.doors import health
from resolver.doors.backend import Backend
from resolver.doors.health import Readiness
from resolver.doors.lifespan import lifespan_of
from resolver.doors.limits import OPEN, Bodies
from resolver.doors.requests import Requests
from resolver.observing.metrics import DoorMetrics
from resolver.review.guard import Guard, People
from resolver.review.guide import read_guide
from resolver.review.pages import router
from resolver.review.rendering import STATIC
from resolver.review.site import Site
from resolver.settings import Settings

log = logging.getLogger(__name__)

FOREVER = "public, max-age=31536000, immutable"
"""Of static files: their addresses change with what is in them."""


def create_app(settings: Settings, *, author: str | None) -> FastAPI:
    """The application of these settings. All decisions are `author`'s, unless
    `settings.review_user_header` says in which header a proxy names the person.

    `app.state` has `readiness`, and `failure`: the `ResolverError` with which it could not be
    opened.

    Raises:
        SettingsError: a setting cannot be used.
    """
    people = People.of(author, settings.review_user_header, settings.review_proxies)
    guide = read_guide(settings.review_guide)
    readiness, metrics = Readiness(), DoorMetrics()
    # With a broker workers store the answers, and the page may be a user who cannot.
    backend = Backend.of(
        settings, done=metrics.batch, explained=True, writes=settings.broker_url is None
    )
    site = Site(backend)

    app = FastAPI(
        title="Affiliation review",
        lifespan=lifespan_of(backend, readiness, site.running),
        openapi_url=None,
    )
    app.state.backend, app.state.readiness, app.state.failure = backend, readiness, None
    app.include_router(health.router(backend, readiness, metrics))
    app.include_router(router(site, guide))
    app.mount("/static", _Static(directory=STATIC))
    site.answer_errors(app)
    # The last is the outermost.
    app.add_middleware(Bodies)
    app.add_middleware(Guard, people=people, hosts=settings.review_hosts)
    app.add_middleware(Requests, metrics=metrics, door_of=_door_of)
    return app


def _door_of(path: str) -> str:
    return "health" if path in OPEN else "review"


class _Static(StaticFiles):
    async def get_response(self, path: str, scope: Scope):  # type: ignore[no-untyped-def]
        response = await super().get_response(path, scope)
        if response.status_code == 200 and b"v=" in scope["query_string"]:
            response.headers["Cache-Control"] = FOREVER
        return response
