"""What the addresses and the forms of the pages say."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import orjson
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request

from resolver.curation.review import LACKING_FIELDS, Action, Choice, Filters, ReviewError
from resolver.registry.ror_id import read_ror_id

MOST_SEEN = 20_000
"""Characters of what a form says the person saw."""

MOST_SECONDS = 3_600.0
"""Longest that somebody is thought to have looked at a string."""

FORM_FIELD = "ror:"
"""What the names of inputs begin with that are fields of ROR's form."""


def filters_of(request: Request) -> Filters:
    """The filters in the address of a request.

    Raises:
        HTTPException: 422, one cannot be read.
    """
    return read_filters(request.query_params)


def read_filters(query: Mapping[str, str]) -> Filters:
    """The filters among the parameters of an address.

    Raises:
        HTTPException: 422, one cannot be read.
    """
    try:
        return Filters.of(query)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def whole_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


async def form_of(request: Request) -> FormData:
    return await request.form(max_files=0, max_fields=500)


def text_of(form: FormData, name: str) -> str:
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def texts_of(form: FormData, name: str) -> list[str]:
    return [value for value in form.getlist(name) if isinstance(value, str)]


def ror_fields(form: FormData) -> dict[str, str]:
    return {
        name: text_of(form, FORM_FIELD + name)
        for name in LACKING_FIELDS
        if FORM_FIELD + name in form
    }


def choice_of(affiliation_id: int, person: str, form: FormData) -> Choice:
    """What a form says.

    Raises:
        ReviewError: it contradicts itself.
    """
    try:
        # A press of "save" is confirmed or changed: the stored answer says which.
        pressed = text_of(form, "action")
        action = Action.CHANGE if pressed == "save" else Action(pressed)
        request_id = uuid.UUID(text_of(form, "request"))
        ticked = [read_ror_id(value) for value in texts_of(form, "ror_id")]
        if other := text_of(form, "other"):
            ticked.append(_other(other))
        seen = orjson.loads(text_of(form, "seen")[:MOST_SEEN] or "{}")
        decision = int(text_of(form, "decision") or 0)
        seconds = float(text_of(form, "seconds") or "nan")
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
            dict.fromkeys(n for v in texts_of(form, "also") if (n := whole_number(v)) is not None)
        ),
        note=text_of(form, "note"),
        shown=seen if isinstance(seen, dict) else {},
        seconds=min(seconds, MOST_SECONDS) if seconds >= 0 else None,
        lacking=ror_fields(form) if action is Action.LACKING else None,
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
