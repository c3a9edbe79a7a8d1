"""Filters of the review queue: read from an address, and as conditions in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date

from resolver.database.tables import ReviewState, Why
from resolver.matching.outcome import Reason
from resolver.registry.ror_id import read_ror_id
from resolver.text.text import Text

LINKED = "linked"
"""What `Filters.reason` has for items whose answer has links."""

ORDER = "ORDER BY r.priority DESC, r.affiliation_id"
"""The order of the queue."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which items are meant: those for which all that is given holds.

    `reason` is a reason for no link, or `LINKED`; `source` and `country` (ISO 3166-1 alpha-2) are
    those of its records and its text. `ror_id` finds the items that link this organisation, nearly
    linked it, or have it as a rival of a link. `least` and `below` bound the probability of the
    answer: at least, and less than. `words` is a text all of whose words the affiliation has.
    `since` and `until` (both included) are the days, in UTC, on which the answer was given.
    """

    reason: str | None = None
    source: str | None = None
    country: str | None = None
    ror_id: str | None = None
    least: float | None = None
    below: float | None = None
    words: str | None = None
    since: date | None = None
    until: date | None = None
    why: Why | None = None
    state: ReviewState = ReviewState.OPEN

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """The filters of an address; parameters that are empty or of another name are ignored.

        Raises:
            ValueError: a value cannot be read; names the parameter.
        """
        values: dict[str, object] = {}
        for field in fields(cls):
            if value := query.get(field.name, "").strip():
                try:
                    values[field.name] = _READERS[field.name](value)
                except ValueError as error:
                    raise ValueError(f"{field.name}: {error}") from None
        return cls(**values)  # type: ignore[arg-type]

    def as_query(self) -> dict[str, str]:
        """The parameters of an address, from which `of` makes these filters again."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.isoformat() if isinstance(value, date) else str(value)
            for name, value in given.items()
            if value is not None and (name, value) != ("state", ReviewState.OPEN)
        }


def _reason(value: str) -> str:
    return LINKED if value == LINKED else Reason(value).value


def _country(value: str) -> str:
    if len(value) != 2 or not value.isascii() or not value.isalpha():
        raise ValueError(f"{value[:20]!r} is no code of two letters")
    return value.upper()


def _share(value: str) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{value[:20]} is not in 0 to 1")
    return number


def _text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("holds NUL")
    return value[:500]


_READERS = {
    "reason": _reason,
    "source": _text,
    "country": _country,
    "ror_id": read_ror_id,
    "least": _share,
    "below": _share,
    "words": _text,
    "since": date.fromisoformat,
    "until": date.fromisoformat,
    "why": Why,
    "state": ReviewState,
}


def condition(filters: Filters) -> tuple[str, dict[str, object]]:
    """The filters as conditions on `review_item r`, made of constants alone, and their values."""
    conditions = [_STATE[filters.state], "r.records > 0"]
    values: dict[str, object] = {}
    for name, condition in _CONDITIONS.items():
        value = getattr(filters, name)
        if value is None:
            continue
        if name == "reason" and value == LINKED:
            conditions.append("r.reason IS NULL")
            continue
        if name == "words":
            value = list(dict.fromkeys(Text(value).units))
            if not value:
                continue
        if name == "why":
            # As the index of those that are not there for doubt wants it.
            conditions.append(_WHY[value])
            continue
        conditions.append(condition)
        values[name] = value
    return " AND ".join(conditions), values


def searches(filters: Filters, behind: str = "") -> tuple[tuple[str, ...], dict[str, object]]:
    """The filters as conditions to be tried one after the other, until there are items enough, and
    their values. `behind` is a further condition, with AND before it.

    Postgres looks for what it takes for frequent in the order of the queue: past all items, if
    nothing has it. It knows little of how rare a word is, and nothing of how probability and place
    in the queue go together. So what is looked up in arrays and by probability is looked for among
    the first of the queue, and then by an index of its own.
    """
    meant, values = condition(filters)
    if not (filters.source is filters.words is filters.ror_id is None):
        by_index = f"SELECT r.affiliation_id FROM review_item r WHERE {meant}"  # noqa: S608
    elif not (filters.least is filters.below is None):
        by_index = _OF_BANDS.format(
            condition=meant + behind,
            least="0" if filters.least is None else "CAST(:least AS real)",
            below="1.01" if filters.below is None else "CAST(:below AS real)",
            limit=_OF_BAND,
        )
    else:
        return (meant,), values
    first = _FIRST.format(state=_STATE[filters.state], behind=behind, many=_FIRST_ITEMS)
    by_index = f"r.affiliation_id = ANY(ARRAY({by_index}))"
    return (f"{meant} AND {first}", f"{meant} AND {by_index}"), values


_STATE = {state: f"r.state = '{state.value}'" for state in ReviewState}
"""Literals, since the indexes are for one state each."""

_WHY = {why: f"r.why = '{why.value}'" for why in Why}

_CONDITIONS = {
    "reason": "r.reason = :reason",
    "source": "r.sources @> ARRAY[CAST(:source AS text)]",
    "country": "r.country = :country",
    "ror_id": "r.organisations @> ARRAY[CAST(:ror_id AS text)]",
    "least": "r.probability >= CAST(:least AS real)",
    "below": "r.probability < CAST(:below AS real)",
    "words": "r.words @> CAST(:words AS text[])",
    "since": "r.answered_at >= CAST(:since AS date) AT TIME ZONE 'UTC'",
    "until": "r.answered_at < (CAST(:until AS date) + 1) AT TIME ZONE 'UTC'",
    "why": "",
}

_FIRST_ITEMS = 5_000
"""Items among which a word is looked for in the order of the queue. What is rarer than one in so
many is in so few texts that its index has them at once."""

_FIRST = """
    r.priority >= coalesce((
        SELECT r.priority FROM review_item r WHERE {state} {behind}
        ORDER BY r.priority DESC OFFSET {many} LIMIT 1
    ), 0)
"""

_OF_BAND = 100
"""Items of a band (a hundredth of probability) that are read: more than are shown, or leased."""

_OF_BANDS = """
    SELECT f.affiliation_id
    FROM generate_series(
        floor({least} * 100)::integer, floor({below} * 100 - 0.0001)::integer
    ) band (number)
    CROSS JOIN LATERAL (
        SELECT r.affiliation_id FROM review_item r
        WHERE r.band = band.number AND {condition}
        ORDER BY r.priority DESC, r.affiliation_id LIMIT {limit}
    ) f
"""
