"""Decisions about stored answers, made as the review page makes them."""

from __future__ import annotations

from uuid import UUID, uuid4

from sqlalchemy import Engine

from resolver.curation.review import (
    Action,
    Choice,
    Decided,
    ReviewState,
    Why,
    decide,
    item,
    labels,
)
from resolver.curation.review.deciding import is_sampled
from resolver.database import overrides
from resolver.database.connection import transaction
from resolver.text.affiliation import text_hash
from support.reviewing import ETH, GRAZ, NOT_THERE, Answer

WRONG = "Graz and Oxford"
"""It is linked to ETH too."""

KELMAR = "Kelmar Technical University, Oslo, Norway"

OTHER_KELMAR = "Dept. of Physics, Kelmar Technical Univ., Oslo, Norway"

TEXTS: dict[str, Answer] = {
    WRONG: {GRAZ: 0.9, ETH: 0.6},
    "ETH, Zurich": {ETH: 0.7},
    KELMAR: NOT_THERE,
    OTHER_KELMAR: NOT_THERE,
}


def choice(
    engine: Engine,
    of: int,
    action: Action,
    *ror_ids: str,
    author: str = "ada",
    second: bool = False,
    **options: object,
) -> Choice:
    """What a person sends from the page as it is now; `second` has it looked at again."""
    shown = item(engine, of)
    assert shown is not None
    requests = iter(range(10_000))
    texts = [shown.item.text, *(s.text for s in shown.similar)]
    request = next(
        made
        for number in requests
        if is_sampled(made := UUID(int=uuid4().int ^ number), text_hash(texts[0])) is second
        and not any(is_sampled(made, text_hash(other)) for other in texts[1:])
    )
    return Choice(request, of, action, author, ror_ids, seen=shown.seen, **options)  # type: ignore[arg-type]


def decided(engine: Engine, made: Choice) -> Decided:
    result = decide(engine, made)
    assert isinstance(result, Decided), result
    return result


def holding(engine: Engine, affiliation: str) -> set[tuple[str | None, str]]:
    return {
        (override.ror_id, override.verdict.value)
        for override in overrides.applying(engine, [affiliation]).get(affiliation, [])
    }


def state(engine: Engine, of: int) -> tuple[ReviewState, Why, set[str]]:
    details = item(engine, of)
    assert details is not None
    return details.item.state, details.item.why, set(details.item.barred)


def labelled(engine: Engine) -> dict[str, tuple[list[str], ...]]:
    return {
        label.affiliation: (
            sorted(label.ror_ids),
            sorted(label.ruled_out),
            sorted(label.maybe),
        )
        for label in labels(engine)
    }


def stored(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """All that a decision may write."""
    tables = ("review_decision", "link_override", "stale", "review_item", "review_lacking")
    with transaction(engine) as connection:
        return {
            table: [
                tuple(row)
                for row in connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1")
            ]
            for table in tables
        }
