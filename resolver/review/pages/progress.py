"""Whether a decision is in the stored answer by now: pending, or applied."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from resolver.curation import review
from resolver.review.pages.forms import whole_number
from resolver.review.site import Site


@dataclass(frozen=True, slots=True)
class Progress:
    """The word *pending* or *applied*, which asks again by itself until it is the latter."""

    site: Site

    async def show(self, request: Request, affiliation_id: int) -> Response:
        """Whether a decision is in the stored answer by now."""
        tries = whole_number(request.query_params.get("tries")) or 0
        return HTMLResponse(await self.chip_of(affiliation_id, tries))

    async def chip_of(self, affiliation_id: int | None, tries: int = 0) -> Markup:
        if affiliation_id is None:
            return Markup("")
        pending = await run_in_threadpool(review.pending, self.site.engine, [affiliation_id])
        return self.chip(affiliation_id, pending=bool(pending), tries=tries)

    def chip(self, affiliation_id: int, *, pending: bool, tries: int) -> Markup:
        return Markup(  # noqa: S704 - a template, which escapes what is put into it
            self.site.templates.html(
                "_progress.html",
                affiliation_id=affiliation_id,
                pending=pending,
                tries=tries,
            )
        )
