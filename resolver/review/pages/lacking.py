"""Organisations that the registry lacks: the list, its forms, and the file for ROR."""

from __future__ import annotations

import io
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from resolver.curation import review
from resolver.curation.lacking_file import write_csv
from resolver.curation.review import LACKING_FIELDS, LackingState
from resolver.review.pages.forms import form_of, ror_fields, text_of
from resolver.review.rendering import person_of
from resolver.review.site import Site


@dataclass(frozen=True, slots=True)
class LackingPage:
    """Requests for new organisations, those of most records first."""

    site: Site

    async def show(self, request: Request) -> Response:
        """Organisations that the registry lacks."""
        return self.site.templates.page(
            request,
            "lacking.html",
            entries=await run_in_threadpool(review.lacking, self.site.engine),
            fields=LACKING_FIELDS,
            states=[state.value for state in LackingState],
        )

    async def update(self, request: Request, cluster: str) -> Response:
        """Change a request for an organisation that the registry lacks."""
        form = await form_of(request)
        try:
            key = bytes.fromhex(cluster)
            state = LackingState(text_of(form, "state") or LackingState.DRAFT)
        except ValueError as error:
            raise HTTPException(404, "there is no such request") from error
        await run_in_threadpool(
            review.update_lacking,
            self.site.engine,
            key,
            person_of(request),
            state=state,
            fields=ror_fields(form),
            ror_issue=text_of(form, "ror_issue") or None,
        )
        return RedirectResponse("/lacking", 303)

    async def file(self, _request: Request) -> Response:
        """The requests as CSV, for ROR's curators."""
        entries = await run_in_threadpool(review.lacking, self.site.engine)
        file = io.StringIO(newline="")
        write_csv(file, entries)
        return Response(
            file.getvalue().encode("utf-8-sig"),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="lacking.csv"'},
        )
