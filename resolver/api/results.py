"""What goes to `resolver serve` and what comes back: texts as lines, results as answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from resolver.api.answer import Answer, LinkedOrganisation
from resolver.api.choices import PolicyChoices
from resolver.matching.outcome import Reason
from resolver.registry.ror_id import ROR_URL
from resolver.text.affiliation import MAX_CHARACTERS

MAX_SENT = MAX_CHARACTERS + 1
"""Most characters sent of a text: enough for the server to see that it is too long."""

NDJSON = {"Content-Type": "application/x-ndjson"}
"""The header of a body of lines."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""What JSON cannot hold: surrogates that belong to no pair. A server would read them as U+FFFD."""

_THRESHOLDS = {"accept_probability", "target_precision"}


def sent(text: str) -> str:
    """A text as it is sent: it is read as the text itself would be."""
    return _SURROGATE.sub("\ufffd", text[:MAX_SENT])


def lines_of(texts: Iterable[str]) -> bytes:
    """Texts as the body of a request, one a line."""
    return b"".join(orjson.dumps(sent(text), option=orjson.OPT_APPEND_NEWLINE) for text in texts)


def merged(base: PolicyChoices, choices: PolicyChoices) -> dict[str, object]:
    """The choices of a policy: those of a call in place of those of `base`, without what is None.

    If a call sets one of the two thresholds, that replaces either of `base`.
    """
    made = {name: value for name, value in choices.items() if value is not None}
    kept = {
        name: value
        for name, value in base.items()
        if value is not None and not (name in _THRESHOLDS and _THRESHOLDS & made.keys())
    }
    return {
        name: sorted(value) if isinstance(value, set | frozenset | tuple | list) else value
        for name, value in (kept | made).items()
    }


def in_query(policy: Mapping[str, object]) -> dict[str, str]:
    """The choices of a policy as parameters of a query string."""
    return {
        name: ",".join(value) if isinstance(value, list) else str(value)
        for name, value in policy.items()
    }


def answer_of_result(result: Mapping[str, Any], affiliation: str) -> Answer:
    """The answer that a result of the status ``linked`` or ``no_match`` is, for the affiliation as
    it was given; the result must have been asked for with ``organizations=brief``.

    Raises:
        KeyError, TypeError, ValueError: it has another form.
    """
    reason = result["reason"]
    return Answer(
        affiliation=affiliation,
        text=result["text"],
        links=tuple(_linked(link, rank) for rank, link in enumerate(result["links"], start=1)),
        reason=None if reason is None else Reason(reason),
    )


def _linked(link: Mapping[str, Any], rank: int) -> LinkedOrganisation:
    registered = link["organization"] or {}
    return LinkedOrganisation(
        ror_id=link["ror_id"].removeprefix(ROR_URL),
        name=link["name"],
        matched_name=link["matched_name"],
        probability=link["probability"],
        score=link["score"],
        rank=rank,
        country_code=registered.get("country_code"),
        country=registered.get("country"),
        city=registered.get("city"),
        types=tuple(registered.get("types", ())),
        matched_text=link["matched_text"],
        start=link["start"],
        end=link["end"],
        stands_for=tuple(ror_id.removeprefix(ROR_URL) for ror_id in link["stands_for"]),
        website=registered.get("website"),
    )
