"""The search for an organisation that is not among the candidates."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from resolver.review.site import Site

FIELDS = ("q", "other", "organisation")
"""Names of the fields that ask: of the page itself, of a string's form, of the queue's filters."""


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Organisations by name, acronym or ROR id."""

    site: Site

    async def find(self, request: Request) -> Response:
        """Type-ahead, and a page of it for those without JavaScript."""
        typed = next((text for name in FIELDS if (text := request.query_params.get(name, ""))), "")
        found = await self.site.find(typed)
        if "part" in request.query_params:
            return HTMLResponse(self.site.templates.html("_found.html", found=found, typed=typed))
        return self.site.templates.page(request, "find.html", found=found, typed=typed)
