"""The pages: what each address shows, and what its forms do."""

from __future__ import annotations

import asyncio
import io
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from cachetools import TTLCache
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from resolver.curation import review
from resolver.curation.lacking_file import write_csv
from resolver.curation.review import (
    LACKING_FIELDS,
    LINKED,
    Action,
    Choice,
    Decided,
    Decision,
    Filters,
    Item,
    ItemDetails,
    LackingState,
    Late,
    ReviewError,
    ReviewState,
)
from resolver.doors.backend import Backend
from resolver.doors.problems import problem_of
from resolver.errors import ResolverError
from resolver.matching.outcome import Reason
from resolver.registry.ror_id import read_ror_id
from resolver.review.answering import KEPT, KEPT_SECONDS, Answers
from resolver.review.candidates import Shown, organisations_of, shown
from resolver.review.finding import Finder, Found
from resolver.review.plots import Bar, bars
from resolver.review.rendering import (
    Templates,
    address,
    from_htmx,
    person_of,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

Result = TypeVar("Result")

PAGE_SIZE = 50
"""Rows of the queue and of the history."""

READ_AHEAD = 4
"""Strings whose answers are there before they are asked for. The models take some 40 ms for each,
and a person some seconds."""

FIGURES_SECONDS = 60.0
"""How long figures are kept that take a look at every item."""

PAUSE = 0.1
"""Seconds before a page begins with what it does for later: until then it and the browser have all
cores."""

RENEW_SECONDS = 120
"""How often an open page renews its lease."""

MOST_SEEN = 20_000
"""Characters of what a form says the person saw."""

MOST_SECONDS = 3_600.0
"""Longest that somebody is thought to have looked at a string."""

ASKED = ("Name of organization", "Website", "Organization type", "City", "Country",
         "Acronym/abbreviation")  # fmt: skip
"""Fields of ROR's form that are asked for beside the string; the list has all."""

FORM_FIELD = "ror:"
"""What the names of inputs begin with that are fields of ROR's form."""

REASONS = (LINKED, *(reason.value for reason in Reason))


@dataclass(slots=True)
class Pages:
    """All pages of a server. Opened and closed by its application."""

    backend: Backend
    guide: Markup
    templates: Templates = field(default_factory=Templates)
    answers: Answers = field(init=False)
    finder: Finder = field(init=False)
    _figures: TTLCache[object, Any] = field(default_factory=lambda: TTLCache(KEPT, FIGURES_SECONDS))
    _forms: TTLCache[int, dict[str, str]] = field(
        default_factory=lambda: TTLCache(KEPT, KEPT_SECONDS)
    )
    _lock: Lock = field(default_factory=Lock)
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
        self._begin(run_in_threadpool(self.finder.prepare, *await self.backend.search()))
        # The first text takes a second longer than any other: the places of the world are read.
        self._begin(self.backend.batch(["University of Oxford, Oxford, UK"], admitted=True))
        yield
        await asyncio.gather(*self._at_work, return_exceptions=True)

    def router(self) -> APIRouter:
        routes = APIRouter(default_response_class=HTMLResponse)
        pages: Sequence[tuple[str, str, Callable[..., Coroutine[Any, Any, Response]]]] = (
            ("GET", "/", self.queue),
            ("GET", "/next", self.next_item),
            ("GET", "/item/{affiliation_id}", self.item),
            ("POST", "/item/{affiliation_id}", self.decide),
            ("POST", "/undo/{decision_id}", self.undo),
            ("POST", "/renew/{affiliation_id}", self.renew),
            ("GET", "/became/{affiliation_id}", self.became),
            ("GET", "/find", self.find),
            ("GET", "/history", self.history),
            ("GET", "/state", self.state),
            ("GET", "/lacking", self.lacking),
            ("POST", "/lacking/{cluster}", self.update_lacking),
            ("GET", "/lacking.csv", self.lacking_file),
            ("GET", "/labels.jsonl", self.labels_file),
            ("GET", "/guide", self.guide_page),
        )
        for method, path, page in pages:
            routes.add_api_route(path, page, methods=[method], response_class=HTMLResponse)
        return routes

    # The queue

    async def queue(self, request: Request) -> Response:
        """The strings to review, by what they would mend."""
        filters = filters_of(request)
        return await self._queue_page(request, filters, after=_after(request))

    async def _queue_page(
        self,
        request: Request,
        filters: Filters,
        *,
        after: tuple[float, int] | None = None,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        person = person_of(request)
        items = await run_in_threadpool(
            review.queue, self.engine, filters, person, limit=PAGE_SIZE, after=after
        )
        more = None
        if len(items) == PAGE_SIZE:
            last = items[-1]
            more = address("/", filters, after=f"{last.priority!r},{last.affiliation_id}")
        return self.templates.page(
            request,
            "queue.html",
            filters=filters,
            section="/",
            message=message,
            headers=headers,
            items=items,
            more=more,
            remaining=await self._figure(
                ("remaining", filters), lambda: review.remaining(self.engine, filters)
            ),
            counts=await self._figure("counts", lambda: review.counts(self.engine)),
            today=await run_in_threadpool(review.today, self.engine, person),
            reasons=REASONS,
            sources=sorted({source for item in items for source in item.sources}),
            filtered=bool(filters.as_query()),
            now=datetime.now(UTC),
        )

    async def next_item(self, request: Request) -> Response:
        """Give the person the next string."""
        filters = filters_of(request)
        item = await run_in_threadpool(review.take, self.engine, filters, person_of(request))
        if item is None:
            return await self._queue_page(
                request, filters, message="Nothing is left to review that nobody else has."
            )
        return RedirectResponse(address(f"/item/{item.affiliation_id}", filters), 303)

    # One string

    async def item(self, request: Request, affiliation_id: int) -> Response:
        """A string with its candidates; the person gets the lease of it."""
        filters, person = filters_of(request), person_of(request)
        undone = _whole_number(request.query_params.get("undone"))
        saved = _whole_number(request.query_params.get("saved"))

        def read() -> _View | None:
            leased = review.lease(self.engine, affiliation_id, person)
            return self._view(affiliation_id, person, mine=leased)

        view = await run_in_threadpool(read)
        if view is None:
            raise HTTPException(404, "there is no such string, or it has no answer yet")
        known = (*view.details.decisions, *filter(None, [view.last]))
        by_id = {decision.id: decision for decision in known}
        return await self._item_page(
            request,
            filters,
            view,
            undone=_own(by_id.get(undone or 0), person),
            saved=_own(by_id.get(saved or 0), person),
        )

    def _view(self, affiliation_id: int, person: str, *, mine: bool) -> _View | None:
        """What the database has of a string, for a person."""
        details = review.item(self.engine, affiliation_id)
        if details is None:
            return None
        return _View(
            details,
            mine,
            review.last_held(self.engine, person),
            self._lacking_fields(affiliation_id),
            review.today(self.engine, person),
        )

    def _lacking_fields(self, affiliation_id: int) -> dict[str, str]:
        """ROR's form, filled in: at most some minutes old, since it reads the whole group."""
        with self._lock:
            known = self._forms.get(affiliation_id)
        if known is None:
            known = review.lacking_fields(self.engine, affiliation_id)
            with self._lock:
                self._forms[affiliation_id] = known
        return known

    async def _item_page(
        self,
        request: Request,
        filters: Filters,
        view: _View,
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
        answered = await self.answers.of(item.affiliation_id, item.text, item.policy_id)
        organisations = await self.backend.organisations(
            answered.release_id, {*organisations_of(answered), *ticked, *before}
        )
        answer = shown(item.text, answered, organisations, ticked, before=before, blind=item.blind)
        version = self.backend.matching.service.version
        response = self.templates.page(
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
            became=became or (await self._became(saved.affiliation_id) if saved else ""),
            pending=self._became_chip(item.affiliation_id, pending=True, tries=0)
            if details.pending
            else "",
            last=view.last,
            lacking=view.lacking,
            asked=ASKED,
            today=view.today,
            left=self._left(filters),
            request_id=uuid.uuid4(),
            renew_seconds=RENEW_SECONDS,
            seen=_seen(answer, version.id, version.release),
        )
        self._begin(self._read_ahead(filters, person), pause=PAUSE)
        return response

    async def _read_ahead(self, filters: Filters, person: str) -> None:
        upcoming = await run_in_threadpool(
            review.upcoming, self.engine, filters, person, READ_AHEAD
        )
        await self.answers.read_ahead(upcoming)
        for one in upcoming:
            await run_in_threadpool(self._lacking_fields, one.affiliation_id)
        await self._figure(("remaining", filters), lambda: review.remaining(self.engine, filters))

    async def decide(self, request: Request, affiliation_id: int) -> Response:
        """Save a decision, and give the person the next string."""
        filters, person = filters_of(request), person_of(request)
        choice = _choice(affiliation_id, person, await _form(request))

        def save() -> tuple[Decided | Late, _View | None]:
            decided = review.decide(self.engine, choice)
            item = review.take(self.engine, filters, person)
            view = self._view(item.affiliation_id, person, mine=True) if item else None
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
        return await self._item_page(
            request,
            filters,
            view,
            saved=view.last if view.last and view.last.id == saved else None,
            became=self._became_chip(
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
        self._figures.clear()
        return await self._queue_page(
            request,
            filters,
            message=message or "Saved. Nothing is left to review that nobody else has.",
            headers={"HX-Push-Url": address("/", filters)},
        )

    async def undo(self, request: Request, decision_id: int) -> Response:
        """End a decision of this person, and show its string as it was."""
        filters, person = filters_of(request), person_of(request)

        def end() -> tuple[review.Undone, _View | None, Decision | None]:
            undone = review.undo(self.engine, decision_id, person)
            if undone.item is None:
                return undone, None, None
            view = self._view(undone.item.affiliation_id, person, mine=True)
            known = view.details.decisions if view else ()
            return undone, view, next((d for d in known if d.id == decision_id), None)

        undone, view, decision = await run_in_threadpool(end)
        if view is None:
            return await self._queue_page(request, filters, message="Undone; its text is gone.")
        await self._changed(undone.due, view.details.item.affiliation_id)
        target = f"/item/{view.details.item.affiliation_id}"
        if not from_htmx(request):
            return RedirectResponse(address(target, filters, undone=decision_id), 303)
        return await self._item_page(
            request,
            filters,
            view,
            undone=decision,
            message="Undone: here are its candidates and ticks as they were.",
            headers={"HX-Push-Url": address(target, filters, undone=decision_id)},
        )

    async def _changed(self, due: Sequence[tuple[int, int]], *affiliation_ids: int) -> None:
        """Decisions about these strings were made or ended: their answers are given again."""
        self.answers.forget(affiliation_ids)
        with self._lock:
            for affiliation_id in affiliation_ids:
                self._forms.pop(affiliation_id, None)
        if due:
            self._begin(self.answers.refresh(due), pause=2 * PAUSE)

    async def renew(self, request: Request, affiliation_id: int) -> Response:
        """Keep a string for the person who has it open."""
        held = await run_in_threadpool(
            review.renew, self.engine, affiliation_id, person_of(request)
        )
        if held:
            return Response(status_code=204)
        return self._message(request, 409, "You have had this string for so long that it is "
                             "somebody else's now. What you save here may be refused.")  # fmt: skip

    async def became(self, request: Request, affiliation_id: int) -> Response:
        """Whether a decision is in the stored answer by now."""
        tries = _whole_number(request.query_params.get("tries")) or 0
        return HTMLResponse(await self._became(affiliation_id, tries))

    async def _became(self, affiliation_id: int | None, tries: int = 0) -> Markup:
        if affiliation_id is None:
            return Markup("")
        pending = await run_in_threadpool(review.pending, self.engine, [affiliation_id])
        return self._became_chip(affiliation_id, pending=bool(pending), tries=tries)

    def _became_chip(self, affiliation_id: int, *, pending: bool, tries: int) -> Markup:
        return Markup(  # noqa: S704 - a template, which escapes what is put into it
            self.templates.html(
                "_became.html",
                affiliation_id=affiliation_id,
                pending=pending,
                tries=tries,
            )
        )

    async def find(self, request: Request) -> Response:
        """Type-ahead, and a page of it for those without JavaScript."""
        typed = request.query_params.get("q") or request.query_params.get("other", "")
        release_id, search = await self.backend.search()

        def look() -> list[Found]:
            return self.finder.find(release_id, search, typed)

        found = await run_in_threadpool(look) if typed.strip() else []
        self._begin(run_in_threadpool(self.finder.count))
        if "part" in request.query_params:
            return HTMLResponse(self.templates.html("_found.html", found=found, typed=typed))
        return self.templates.page(request, "find.html", found=found, typed=typed)

    # The others

    async def history(self, request: Request) -> Response:
        """Decisions, one's own or all, with undo."""
        person, everybody = person_of(request), "all" in request.query_params
        decisions = await run_in_threadpool(
            review.decisions,
            self.engine,
            None if everybody else person,
            limit=PAGE_SIZE,
            before=_whole_number(request.query_params.get("before")),
        )
        return self.templates.page(
            request,
            "history.html",
            decisions=decisions,
            everybody=everybody,
            page_size=PAGE_SIZE,
        )

    async def state(self, request: Request) -> Response:
        """Figures about the answers and the decisions."""
        figures = await self._figure("figures", lambda: review.figures(self.engine))
        return self.templates.page(
            request,
            "state.html",
            f=figures,
            histogram=_histogram(figures.histogram),
            pace=_pace(figures.pace),
        )

    async def lacking(self, request: Request) -> Response:
        """Organisations that the registry lacks."""
        return self.templates.page(
            request,
            "lacking.html",
            entries=await run_in_threadpool(review.lacking, self.engine),
            fields=LACKING_FIELDS,
            states=[state.value for state in LackingState],
        )

    async def update_lacking(self, request: Request, cluster: str) -> Response:
        """Change a request for an organisation that the registry lacks."""
        form = await _form(request)
        try:
            key = bytes.fromhex(cluster)
            state = LackingState(_text(form, "state") or LackingState.DRAFT)
        except ValueError as error:
            raise HTTPException(404, "there is no such request") from error
        await run_in_threadpool(
            review.update_lacking,
            self.engine,
            key,
            person_of(request),
            state=state,
            fields=_ror_fields(form),
            ror_issue=_text(form, "ror_issue") or None,
        )
        return RedirectResponse("/lacking", 303)

    async def lacking_file(self, _request: Request) -> Response:
        """The requests as CSV, for ROR's curators."""
        entries = await run_in_threadpool(review.lacking, self.engine)
        file = io.StringIO(newline="")
        write_csv(file, entries)
        return _file(file.getvalue().encode("utf-8-sig"), "lacking.csv", "text/csv; charset=utf-8")

    async def labels_file(self, _request: Request) -> Response:
        """Decisions as labels, for evaluation and training."""
        lines = (
            orjson.dumps(label.as_object(), option=orjson.OPT_APPEND_NEWLINE)
            for label in review.labels(self.engine)
        )
        return StreamingResponse(
            lines,
            media_type="application/x-ndjson",
            headers={"Content-Disposition": 'attachment; filename="labels.jsonl"'},
        )

    async def guide_page(self, request: Request) -> Response:
        """What a right link is."""
        return self.templates.page(request, "guide.html", guide=self.guide)

    # What all use

    async def _figure(self, key: object, count: Callable[[], Any]) -> Any:
        """A figure that takes a look at every item, at most `FIGURES_SECONDS` old."""
        known = self._figures.get(key)
        if known is None:
            known = self._figures[key] = await run_in_threadpool(count)
        return known

    def _left(self, filters: Filters) -> int | None:
        """How many items are left, as far as that is known without a look."""
        known = self._figures.get(("remaining", filters))
        return known.items if known else None

    def _begin(self, work: Coroutine[Any, Any, Any], *, pause: float = 0) -> None:
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
                return self._message(request, 422, error.problem)
            problem = problem_of(error)
            return self._message(request, problem.status, problem.detail, problem.headers)

        for kind in (ResolverError, HTTPException, RequestValidationError, TimeoutError):
            app.add_exception_handler(kind, answer)

    def _message(
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


@dataclass(frozen=True, slots=True)
class _View:
    """A string as the database has it for a person. `mine`: they may decide. `last` is their latest
    decision, which undo would end."""

    details: ItemDetails
    mine: bool
    last: Decision | None
    lacking: Mapping[str, str]
    today: object


def filters_of(request: Request) -> Filters:
    """The filters in an address.

    Raises:
        HTTPException: 422, one cannot be read.
    """
    try:
        return Filters.of(request.query_params)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _after(request: Request) -> tuple[float, int] | None:
    priority, _, affiliation_id = request.query_params.get("after", "").partition(",")
    try:
        return float(priority), int(affiliation_id)
    except ValueError:
        return None


def _whole_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


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


async def _form(request: Request) -> FormData:
    return await request.form(max_files=0, max_fields=500)


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def _texts(form: FormData, name: str) -> list[str]:
    return [value for value in form.getlist(name) if isinstance(value, str)]


def _ror_fields(form: FormData) -> dict[str, str]:
    return {
        name: _text(form, FORM_FIELD + name) for name in LACKING_FIELDS if FORM_FIELD + name in form
    }


def _choice(affiliation_id: int, person: str, form: FormData) -> Choice:
    """What a form says.

    Raises:
        ReviewError: it contradicts itself.
    """
    try:
        # A press of "save" is confirmed or changed: the stored answer says which.
        pressed = _text(form, "action")
        action = Action.CHANGE if pressed == "save" else Action(pressed)
        request_id = uuid.UUID(_text(form, "request"))
        ticked = [read_ror_id(value) for value in _texts(form, "ror_id")]
        if other := _text(form, "other"):
            ticked.append(_other(other))
        seen = orjson.loads(_text(form, "seen")[:MOST_SEEN] or "{}")
        decision = int(_text(form, "decision") or 0)
        seconds = float(_text(form, "seconds") or "nan")
    except ValueError as error:
        raise ReviewError(f"the form cannot be read: {error}") from error
    saves = action is Action.CHANGE
    if saves and not ticked:
        raise ReviewError("Tick an organisation, or say that it names none.")
    return Choice(
        request=request_id,
        affiliation_id=affiliation_id,
        action=action,
        author=person,
        # Who is unsure says which ones it may be.
        ror_ids=tuple(dict.fromkeys(ticked)) if saves or action is Action.UNSURE else (),
        seen=decision,
        also=tuple(
            dict.fromkeys(n for v in _texts(form, "also") if (n := _whole_number(v)) is not None)
        ),
        note=_text(form, "note"),
        shown=seen if isinstance(seen, dict) else {},
        seconds=min(seconds, MOST_SECONDS) if seconds >= 0 else None,
        lacking=_ror_fields(form) if action is Action.LACKING else None,
    )


def _other(text: str) -> str:
    """The id in the field for another organisation, which only those without JavaScript send.

    Raises:
        ReviewError: it is none.
    """
    try:
        return read_ror_id(text)
    except ValueError as error:
        raise ReviewError(f"{text[:80]!r} is no ROR id; look it up at /find") from error


def _histogram(counts: Sequence[int]) -> Markup:
    drawn = [
        Bar(
            f"{place / len(counts):.1f}",
            count,
            f"{place / len(counts):.2f} to {(place + 1) / len(counts):.2f}: {count:,} links",
        )
        for place, count in enumerate(counts)
    ]
    return bars(drawn, label="Links by probability", every=4, end="1.0")


def _pace(pace: Iterable[review.Pace]) -> Markup:
    days: dict[Any, int] = {}
    for entry in sorted(pace, key=lambda entry: entry.day):
        days[entry.day] = days.get(entry.day, 0) + entry.decisions
    drawn = [
        Bar(f"{day:%-d %b}", count, f"{day:%-d %b}: {count:,} decisions")
        for day, count in days.items()
    ]
    return bars(drawn, label="Decisions by day", every=max(1, len(drawn) // 6))


def _file(content: bytes, name: str, media_type: str) -> Response:
    return Response(
        content,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
