"""One string: its candidates, and the form that decides about it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from threading import Lock

import orjson
from cachetools import TTLCache
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from resolver.curation import review
from resolver.curation.review import Decision, Filters, Item, ItemDetails, ReviewState
from resolver.registry.ror_id import read_ror_id
from resolver.review.answering import KEPT, KEPT_SECONDS
from resolver.review.candidates import Shown, organisations_of, shown
from resolver.review.pages.forms import filters_of, whole_number
from resolver.review.pages.progress import Progress
from resolver.review.rendering import person_of
from resolver.review.site import PAUSE, Site

READ_AHEAD = 4
"""Strings whose answers are there before they are asked for. The models take some 40 ms for each,
and a person some seconds."""

RENEW_SECONDS = 120
"""How often an open page renews its lease."""

ASKED = ("Name of organization", "Website", "Organization type", "City", "Country",
         "Acronym/abbreviation")  # fmt: skip
"""Fields of ROR's form that are asked for beside the string; the list has all."""


@dataclass(frozen=True, slots=True)
class View:
    """A string as the database has it for a person. `mine`: they may decide. `last` is their latest
    decision, which undo would end."""

    details: ItemDetails
    mine: bool
    last: Decision | None
    lacking: Mapping[str, str]
    today: object


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A string with its candidates."""

    site: Site
    progress: Progress
    _forms: TTLCache[int, dict[str, str]] = field(
        default_factory=lambda: TTLCache(KEPT, KEPT_SECONDS)
    )
    _lock: Lock = field(default_factory=Lock)

    async def show(self, request: Request, affiliation_id: int) -> Response:
        """A string with its candidates; the person gets the lease of it."""
        filters, person = filters_of(request), person_of(request)
        undone = whole_number(request.query_params.get("undone"))
        saved = whole_number(request.query_params.get("saved"))

        def read() -> View | None:
            leased = review.lease(self.site.engine, affiliation_id, person)
            return self.view(affiliation_id, person, mine=leased)

        view = await run_in_threadpool(read)
        if view is None:
            raise HTTPException(404, "there is no such string, or it has no answer yet")
        known = (*view.details.decisions, *filter(None, [view.last]))
        by_id = {decision.id: decision for decision in known}
        return await self.page(
            request,
            filters,
            view,
            undone=_own(by_id.get(undone or 0), person),
            saved=_own(by_id.get(saved or 0), person),
        )

    def view(self, affiliation_id: int, person: str, *, mine: bool) -> View | None:
        """What the database has of a string, for a person."""
        details = review.item(self.site.engine, affiliation_id)
        if details is None:
            return None
        return View(
            details,
            mine,
            review.last_held(self.site.engine, person),
            self._lacking_fields(affiliation_id),
            review.today(self.site.engine, person),
        )

    def _lacking_fields(self, affiliation_id: int) -> dict[str, str]:
        """ROR's form, filled in: at most some minutes old, since it reads the whole group."""
        with self._lock:
            known = self._forms.get(affiliation_id)
        if known is None:
            known = review.lacking_fields(self.site.engine, affiliation_id)
            with self._lock:
                self._forms[affiliation_id] = known
        return known

    async def page(
        self,
        request: Request,
        filters: Filters,
        view: View,
        *,
        undone: Decision | None = None,
        saved: Decision | None = None,
        became: Markup | None = None,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        details, person = view.details, person_of(request)
        item = details.item
        if not view.mine and message is None:
            message = _why_not(item, person)
        ticked, before = _ticked(item, undone), _seen_before(undone)
        answered = await self.site.answers.of(item.affiliation_id, item.text, item.policy_id)
        organisations = await self.site.backend.organisations(
            answered.release_id, {*organisations_of(answered), *ticked, *before}
        )
        answer = shown(item.text, answered, organisations, ticked, before=before, blind=item.blind)
        version = self.site.backend.matching.service.version
        response = self.site.templates.page(
            request,
            "item.html",
            filters=filters,
            section="/next",
            message=message,
            headers=headers,
            item=item,
            details=details,
            shown=answer,
            mine=view.mine,
            undone=undone,
            saved=saved,
            became=became or (await self.progress.chip_of(saved.affiliation_id) if saved else ""),
            pending=self.progress.chip(item.affiliation_id, pending=True, tries=0)
            if details.pending
            else "",
            last=view.last,
            lacking=view.lacking,
            asked=ASKED,
            today=view.today,
            left=self.site.left(filters),
            request_id=uuid.uuid4(),
            renew_seconds=RENEW_SECONDS,
            seen=_seen(answer, version.id, version.release),
        )
        self.site.begin(self._read_ahead(filters, person), pause=PAUSE)
        return response

    async def _read_ahead(self, filters: Filters, person: str) -> None:
        upcoming = await run_in_threadpool(
            review.upcoming, self.site.engine, filters, person, READ_AHEAD
        )
        await self.site.answers.read_ahead(upcoming)
        for one in upcoming:
            await run_in_threadpool(self._lacking_fields, one.affiliation_id)
        await self.site.figure(
            ("remaining", filters), lambda: review.remaining(self.site.engine, filters)
        )

    def forget(self, affiliation_ids: Collection[int]) -> None:
        """Decisions about these strings were made or ended."""
        self.site.answers.forget(affiliation_ids)
        with self._lock:
            for affiliation_id in affiliation_ids:
                self._forms.pop(affiliation_id, None)


def _own(decision: Decision | None, person: str) -> Decision | None:
    return decision if decision and decision.author == person else None


def _why_not(item: Item, person: str) -> str:
    """Why a person may not decide about an item."""
    if item.state is ReviewState.DONE:
        return "This string is decided already."
    if person in item.barred:
        return "You have decided about this string; somebody else is to look at it now."
    if item.lease_by and item.lease_by != person:
        return f"{item.lease_by} has this string now."
    return "This string is not in the queue."


def _ticked(item: Item, undone: Decision | None) -> list[str]:
    """The organisations that are ticked when the page opens."""
    if undone is not None and undone.ror_ids:
        return list(undone.ror_ids)
    return [] if item.blind else [link.ror_id for link in item.links]


def _seen_before(undone: Decision | None) -> list[str]:
    """The candidates that a person saw when they made a decision that is undone."""
    candidates = undone.shown.get("candidates") if undone else None
    seen = []
    for candidate in candidates if isinstance(candidates, list) else ():
        try:
            seen.append(read_ror_id(candidate["ror_id"]))
        except (TypeError, KeyError, ValueError):
            # What a person saw came from their browser.
            continue
    return seen


def _seen(answer: Shown, version_id: int, release: str) -> str:
    """What a person sees, as it is stored with their decision."""
    return orjson.dumps(
        {
            "candidates": [
                {
                    "ror_id": candidate.ror_id,
                    "name": candidate.name,
                    "ticked": candidate.ticked,
                    "probability": candidate.probability and round(candidate.probability, 4),
                }
                for candidate in answer.candidates
            ],
            "reason": answer.reason,
            "resolver_version": version_id,
            "release": release,
        }
    ).decode()
