"""The queue: the strings to review, and the next of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from resolver.curation import review
from resolver.curation.review import LINKED, Filters
from resolver.matching.outcome import Reason
from resolver.registry.ror_id import read_ror_id
from resolver.review.finding import LONGEST, Found
from resolver.review.pages.forms import filters_of, read_filters
from resolver.review.rendering import address, person_of
from resolver.review.site import PAGE_SIZE, Site

REASONS = (LINKED, *(reason.value for reason in Reason))


@dataclass(frozen=True, slots=True)
class QueuePage:
    """The strings to review, those that would mend most first."""

    site: Site

    async def show(self, request: Request) -> Response:
        """The strings to review, by what they would mend."""
        query = dict(request.query_params)
        typed = query.pop("organisation", None)
        choices: list[Found] = []
        if typed is not None:
            query["ror_id"], choices = await self._organisation(
                typed.strip(), query.get("ror_id", "")
            )
        filters = read_filters(query)
        message = None
        if typed and not filters.ror_id:
            message = (
                f"Which organisation do you mean by “{typed[:LONGEST]}”?"
                if choices
                else f"No organisation has a name with words that begin like “{typed[:LONGEST]}”."
            )
        return await self.page(
            request,
            filters,
            after=_after(request),
            message=message,
            typed=(typed or "")[:LONGEST],
            choices=choices,
        )

    async def _organisation(self, typed: str, chosen: str) -> tuple[str, list[Found]]:
        """The organisation that the field of the filter means, by ROR id; else "" and those among
        which to choose. `chosen` is the one whose name was in the field when the page was made."""
        if not typed:
            return "", []
        with suppress(ValueError):
            return read_ror_id(typed), []
        with suppress(ValueError):
            if typed == await self._name_of(read_ror_id(chosen)):
                return chosen, []
        return "", await self.site.find(typed)

    async def _name_of(self, ror_id: str) -> str:
        """The organisation's name in the release in use; the id where it has none."""
        backend = self.site.backend
        records = await backend.organisations(backend.release_id, {ror_id})
        return records[ror_id].display_name if ror_id in records else ror_id

    async def page(
        self,
        request: Request,
        filters: Filters,
        *,
        after: tuple[float, int] | None = None,
        message: str | None = None,
        typed: str = "",
        choices: Sequence[Found] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        person = person_of(request)
        items = await run_in_threadpool(
            review.queue, self.site.engine, filters, person, limit=PAGE_SIZE, after=after
        )
        more = None
        if len(items) == PAGE_SIZE:
            last = items[-1]
            more = address("/", filters, after=f"{last.priority!r},{last.affiliation_id}")
        return self.site.templates.page(
            request,
            "queue.html",
            filters=filters,
            section="/",
            message=message,
            headers=headers,
            items=items,
            more=more,
            remaining=await self.site.figure(
                ("remaining", filters), lambda: review.remaining(self.site.engine, filters)
            ),
            counts=await self.site.figure("counts", lambda: review.counts(self.site.engine)),
            today=await run_in_threadpool(review.today, self.site.engine, person),
            reasons=REASONS,
            organisation=await self._name_of(filters.ror_id) if filters.ror_id else typed,
            choices=[(record, _with(filters, record)) for record in choices],
            sources=sorted({source for item in items for source in item.sources}),
            filtered=bool(filters.as_query()),
            now=datetime.now(UTC),
        )

    async def next_item(self, request: Request) -> Response:
        """Give the person the next string."""
        filters = filters_of(request)
        item = await run_in_threadpool(review.take, self.site.engine, filters, person_of(request))
        if item is None:
            return await self.page(
                request, filters, message="Nothing is left to review that nobody else has."
            )
        return RedirectResponse(address(f"/item/{item.affiliation_id}", filters), 303)


def _with(filters: Filters, record: Found) -> str:
    """The queue of these filters and an organisation."""
    return address("/", replace(filters, ror_id=record.organisation.ror_id))


def _after(request: Request) -> tuple[float, int] | None:
    priority, _, affiliation_id = request.query_params.get("after", "").partition(",")
    try:
        return float(priority), int(affiliation_id)
    except ValueError:
        return None
