"""Decisions: saved, undone, and the lease of a string that is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from resolver.curation import review
from resolver.curation.review import Decided, Decision, Filters, Late
from resolver.review.pages.forms import choice_of, filters_of, form_of
from resolver.review.pages.item import ItemPage, View
from resolver.review.pages.progress import Progress
from resolver.review.pages.queue import QueuePage
from resolver.review.rendering import address, from_htmx, person_of
from resolver.review.site import PAUSE, Site


@dataclass(frozen=True, slots=True)
class Decisions:
    """Saves decisions and ends them; answers with the string that comes then."""

    site: Site
    queue: QueuePage
    item: ItemPage
    progress: Progress

    async def decide(self, request: Request, affiliation_id: int) -> Response:
        """Save a decision, and give the person the next string."""
        filters, person = filters_of(request), person_of(request)
        choice = choice_of(affiliation_id, person, await form_of(request))

        def save() -> tuple[Decided | Late, View | None]:
            decided = review.decide(self.site.engine, choice)
            item = review.take(self.site.engine, filters, person)
            view = self.item.view(item.affiliation_id, person, mine=True) if item else None
            return decided, view

        decided, view = await run_in_threadpool(save)
        message = None
        if isinstance(decided, Late):
            message = f"{decided.by or 'Somebody'} was quicker: nothing of yours was saved."
        else:
            await self._changed(decided.due, choice.affiliation_id, *choice.also)
            if decided.left_out:
                message = f"Saved, but {len(decided.left_out)} similar strings have changed hands."
        if view is None:
            return await self._after_the_last(request, filters, message)
        target = f"/item/{view.details.item.affiliation_id}"
        saved = decided.ids[0] if isinstance(decided, Decided) else None
        if not from_htmx(request) and message is None:
            return RedirectResponse(address(target, filters, saved=saved), 303)
        return await self.item.page(
            request,
            filters,
            view,
            saved=view.last if view.last and view.last.id == saved else None,
            became=self.progress.chip(
                affiliation_id, pending=isinstance(decided, Decided) and bool(decided.due), tries=0
            ),
            message=message,
            headers={"HX-Push-Url": address(target, filters)},
        )

    async def _after_the_last(
        self, request: Request, filters: Filters, message: str | None
    ) -> Response:
        if not from_htmx(request) and message is None:
            return RedirectResponse(address("/", filters), 303)
        self.site.forget_figures()
        return await self.queue.page(
            request,
            filters,
            message=message or "Saved. Nothing is left to review that nobody else has.",
            headers={"HX-Push-Url": address("/", filters)},
        )

    async def undo(self, request: Request, decision_id: int) -> Response:
        """End a decision of this person, and show its string as it was."""
        filters, person = filters_of(request), person_of(request)

        def end() -> tuple[review.Undone, View | None, Decision | None]:
            undone = review.undo(self.site.engine, decision_id, person)
            if undone.item is None:
                return undone, None, None
            view = self.item.view(undone.item.affiliation_id, person, mine=True)
            known = view.details.decisions if view else ()
            return undone, view, next((d for d in known if d.id == decision_id), None)

        undone, view, decision = await run_in_threadpool(end)
        if view is None:
            return await self.queue.page(request, filters, message="Undone; its text is gone.")
        await self._changed(undone.due, view.details.item.affiliation_id)
        target = f"/item/{view.details.item.affiliation_id}"
        if not from_htmx(request):
            return RedirectResponse(address(target, filters, undone=decision_id), 303)
        return await self.item.page(
            request,
            filters,
            view,
            undone=decision,
            message="Undone: here are its candidates and ticks as they were.",
            headers={"HX-Push-Url": address(target, filters, undone=decision_id)},
        )

    async def _changed(self, due: Sequence[tuple[int, int]], *affiliation_ids: int) -> None:
        """Decisions about these strings were made or ended: their answers are given again."""
        self.item.forget(affiliation_ids)
        if due:
            self.site.begin(self.site.answers.refresh(due), pause=2 * PAUSE)

    async def renew(self, request: Request, affiliation_id: int) -> Response:
        """Keep a string for the person who has it open."""
        held = await run_in_threadpool(
            review.renew, self.site.engine, affiliation_id, person_of(request)
        )
        if held:
            return Response(status_code=204)
        return self.site.message(request, 409, "You have had this string for so long that it is "
                             "somebody else's now. What you save here may be refused.")  # fmt: skip
