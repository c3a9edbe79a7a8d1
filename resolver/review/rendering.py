"""The templates, and the words and numbers that they show."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from resolver.curation.review import Action, Decision, Filters, Why
from resolver.matching.explanation import REASONS

STATIC = Path(__file__).parent / "static"

WHYS = {
    Why.DOUBT: "doubt",
    Why.RELEASE: "changed by the last release",
    Why.SECOND: "second look",
    Why.DISAGREEMENT: "two people disagree",
}
"""Why an item is shown."""

PAGE_ELEMENT = "div#page"
"""What htmx replaces when a whole page is asked for: all but the head."""


class Templates:
    """Renders pages whole, or the part of them that htmx replaces."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("resolver.review"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
            auto_reload=False,
        )
        filters: dict[str, Callable[..., str]] = {
            "number": lambda number: f"{number:,}",
            "day": lambda moment: f"{moment:%-d %b %Y}",
            "moment": _moment,
            "probability": _probability,
        }
        self._environment.filters.update(filters)
        self._environment.globals |= {
            "static": _static_addresses().__getitem__,
            "said": said,
            "named": named,
            "share": _share,
            "whys": WHYS,
            "reasons_in_words": {reason.value: words for reason, words in REASONS.items()},
        }
        # Each takes some 30 ms to compile: not while somebody waits for a page.
        for name in self._environment.list_templates():
            self._environment.get_template(name)
        macros = self._environment.get_template("_macros.html").module
        for name in ("sure", "matched", "counted", "reason_chip"):
            self._environment.globals[name] = getattr(macros, name)

    def html(self, name: str, **values: Any) -> str:
        return self._environment.get_template(name).render(values)

    def page(
        self,
        request: Request,
        name: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        filters: Filters | None = None,
        message: str | None = None,
        today: object = None,
        **values: Any,
    ) -> HTMLResponse:
        """A page with its head and navigation; links between strings carry the filters."""
        html = self.html(
            name,
            part=wants_part(request),
            url=_addresses(filters or Filters()),
            section=values.pop("section", request.url.path),
            person=person_of(request),
            filters=filters or Filters(),
            message=message,
            today=today,
            **values,
        )
        return HTMLResponse(html, status, headers=dict(headers or {}))


def person_of(request: Request) -> str:
    """Who asks, as the guard found."""
    person: str = request.scope["state"]["holder"]
    return person


def from_htmx(request: Request) -> bool:
    return request.headers.get("hx-request") == "true" and (
        "hx-history-restore-request" not in request.headers
    )


def wants_part(request: Request) -> bool:
    """Whether the script of the page will replace a part of it with the answer."""
    return from_htmx(request) and request.headers.get("hx-target") == PAGE_ELEMENT


def address(path: str, filters: Filters, **more: object) -> str:
    """An address with the filters in it."""
    query = urlencode({**filters.as_query(), **more})
    return f"{path}?{query}" if query else path


def said(decision: Decision) -> str:
    """ "linked to 2 organisations"."""
    match decision.action:
        case Action.CONFIRM:
            return f"confirmed: {_organisations(len(decision.ror_ids))}"
        case Action.CHANGE:
            changed = f"changed to {_organisations(len(decision.ror_ids))}"
            return f"{changed}, {len(decision.denied)} taken away" if decision.denied else changed
        case Action.NONE:
            return "names none"
        case Action.LACKING:
            return "missing from the registry"
        case Action.UNSURE:
            return "unsure"
        case Action.SKIP:
            return "skipped"


def named(decision: Decision) -> list[str]:
    """The organisations that were ticked, by the names that the person saw; those that they had
    searched for by ROR id."""
    candidates = decision.shown.get("candidates")
    names = {
        candidate["ror_id"]: str(candidate["name"])
        # What a person saw came from their browser.
        for candidate in (candidates if isinstance(candidates, list) else ())
        if isinstance(candidate, dict) and {"ror_id", "name"} <= candidate.keys()
        if isinstance(candidate["ror_id"], str)
    }
    return [names.get(ror_id, ror_id) for ror_id in decision.ror_ids]


def _organisations(count: int) -> str:
    return f"{count} organisation{'' if count == 1 else 's'}"


def _addresses(filters: Filters) -> Callable[[str], str]:
    return lambda path: address(path, filters)


def _moment(moment: datetime) -> str:
    return f"{moment:%-d %b %Y, %H:%M}"


def _probability(probability: float) -> str:
    """With two digits; only what is certain is 1, and only what is impossible is 0."""
    if 0 < probability < 0.005:
        return "<0.01"
    return "1.00" if probability == 1 else f"{min(probability, 0.99):.2f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _static_addresses() -> dict[str, str]:
    """The address of each file, which changes with what is in it: browsers may keep it for ever."""
    return {
        path.name: f"/static/{path.name}?v={hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        for path in STATIC.iterdir()
    }
