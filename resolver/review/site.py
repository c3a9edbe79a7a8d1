"""What all pages of a server share: its answers, figures that are kept for a minute, work that no
page waits for, and how an error is shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from cachetools import TTLCache
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from resolver.curation.review import Filters, ReviewError
from resolver.doors.backend import Backend
from resolver.doors.problems import problem_of
from resolver.errors import ResolverError
from resolver.review.answering import KEPT, Answers
from resolver.review.finding import Finder, Found
from resolver.review.rendering import Templates, from_htmx

if TYPE_CHECKING:
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

PAGE_SIZE = 50
"""Rows of the queue and of the history."""

FIGURES_SECONDS = 60.0
"""How long figures are kept that take a look at every item."""

PAUSE = 0.1
"""Seconds before a page begins with what it does for later: until then it and the browser have all
cores."""


@dataclass(slots=True)
class Site:
    """What all pages of a server share. Opened and closed by its application."""

    backend: Backend
    templates: Templates = field(default_factory=Templates)
    answers: Answers = field(init=False)
    finder: Finder = field(init=False)
    _figures: TTLCache[object, Any] = field(default_factory=lambda: TTLCache(KEPT, FIGURES_SECONDS))
    _at_work: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.answers = Answers(self.backend)
        self.finder = Finder(self.backend)

    @property
    def engine(self) -> Engine:
        return self.backend.matching.engine

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the pages are served. At the end what was decided is still brought about."""
        self.begin(run_in_threadpool(self.finder.prepare, *await self.backend.search()))
        # The first text takes a second longer than any other: the places of the world are read.
        self.begin(self.backend.batch(["University of Oxford, Oxford, UK"], admitted=True))
        yield
        await asyncio.gather(*self._at_work, return_exceptions=True)

    async def find(self, typed: str) -> list[Found]:
        """Organisations whose names or ids begin like this, best first."""
        release_id, search = await self.backend.search()
        found = (
            await run_in_threadpool(self.finder.find, release_id, search, typed)
            if typed.strip()
            else []
        )
        self.begin(run_in_threadpool(self.finder.count))
        return found

    async def figure(self, key: object, count: Callable[[], Any]) -> Any:
        """A figure that takes a look at every item, at most `FIGURES_SECONDS` old."""
        known = self._figures.get(key)
        if known is None:
            known = self._figures[key] = await run_in_threadpool(count)
        return known

    def forget_figures(self) -> None:
        self._figures.clear()

    def left(self, filters: Filters) -> int | None:
        """How many items are left, as far as that is known without a look."""
        known = self._figures.get(("remaining", filters))
        return known.items if known else None

    def begin(self, work: Coroutine[Any, Any, Any], *, pause: float = 0) -> None:
        """Do something that no page waits for, after a pause in seconds."""

        async def done() -> None:
            try:
                await asyncio.sleep(pause)
                await work
            except ResolverError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("work beside a page failed")

        task = asyncio.create_task(done())
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    def answer_errors(self, app: FastAPI) -> None:
        """Every error as a page, or as a message on the page that is open."""

        async def answer(request: Request, error: Exception) -> Response:
            if isinstance(error, ReviewError):
                return self.message(request, 422, error.problem)
            problem = problem_of(error)
            return self.message(request, problem.status, problem.detail, problem.headers)

        for kind in (ResolverError, HTTPException, RequestValidationError, TimeoutError):
            app.add_exception_handler(kind, answer)

    def message(
        self, request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        if from_htmx(request):
            html = Markup('<p class="message">{}</p>').format(detail)
            return HTMLResponse(
                html,
                status,
                headers={
                    **(headers or {}),
                    "HX-Retarget": "#message",
                    "HX-Reswap": "innerHTML",
                },
            )
        return self.templates.page(
            request,
            "problem.html",
            status=status,
            headers=headers,
            title=HTTPStatus(status).phrase,
            detail=detail,
        )
