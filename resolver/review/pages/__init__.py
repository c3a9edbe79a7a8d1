"""The pages: each module has what one of them shows, and what its forms do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from resolver.review.pages.decisions import Decisions
from resolver.review.pages.history import HistoryPage
from resolver.review.pages.item import ItemPage
from resolver.review.pages.labels import LabelsFile
from resolver.review.pages.lacking import LackingPage
from resolver.review.pages.progress import Progress
from resolver.review.pages.queue import QueuePage
from resolver.review.pages.search import SearchPage
from resolver.review.pages.state import StatePage
from resolver.review.site import Site

Handler = Callable[..., Coroutine[Any, Any, Response]]


def router(site: Site, guide: Markup) -> APIRouter:
    """The routes of all pages. `guide` is what the guide page shows."""
    queue, progress, lacking = QueuePage(site), Progress(site), LackingPage(site)
    item = ItemPage(site, progress)
    decisions = Decisions(site, queue, item, progress)

    async def show_guide(request: Request) -> Response:
        return site.templates.page(request, "guide.html", guide=guide)

    handlers: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "/", queue.show),
        ("GET", "/next", queue.next_item),
        ("GET", "/item/{affiliation_id}", item.show),
        ("POST", "/item/{affiliation_id}", decisions.decide),
        ("POST", "/undo/{decision_id}", decisions.undo),
        ("POST", "/renew/{affiliation_id}", decisions.renew),
        ("GET", "/became/{affiliation_id}", progress.show),
        ("GET", "/find", SearchPage(site).find),
        ("GET", "/history", HistoryPage(site).show),
        ("GET", "/state", StatePage(site).show),
        ("GET", "/lacking", lacking.show),
        ("POST", "/lacking/{cluster}", lacking.update),
        ("GET", "/lacking.csv", lacking.file),
        ("GET", "/labels.jsonl", LabelsFile(site).file),
        ("GET", "/guide", show_guide),
    )
    routes = APIRouter(default_response_class=HTMLResponse)
    for method, path, handler in handlers:
        routes.add_api_route(path, handler, methods=[method], response_class=HTMLResponse)
    return routes
