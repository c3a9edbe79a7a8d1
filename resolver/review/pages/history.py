"""The history: decisions with who made them and when, and undo."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from resolver.curation import review
from resolver.review.pages.forms import whole_number
from resolver.review.rendering import person_of
from resolver.review.site import PAGE_SIZE, Site


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """The latest decisions first."""

    site: Site

    async def show(self, request: Request) -> Response:
        """Decisions, one's own or all, with undo."""
        person, everybody = person_of(request), "all" in request.query_params
        decisions = await run_in_threadpool(
            review.decisions,
            self.site.engine,
            None if everybody else person,
            limit=PAGE_SIZE,
            before=whole_number(request.query_params.get("before")),
        )
        return self.site.templates.page(
            request,
            "history.html",
            decisions=decisions,
            everybody=everybody,
            page_size=PAGE_SIZE,
        )
