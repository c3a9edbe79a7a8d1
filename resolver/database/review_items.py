"""The queue of the review page: one item for each affiliation text that has an answer.

An item shows the answer under the policy that most of the text's records were sent with. Its
*priority* is the number of records times the doubt, how probable it is that the answer is wrong:
the records that are expected to be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime

from resolver.database.tables import ReviewState, Why
from resolver.matching.outcome import Reason
from resolver.registry.ror_id import read_ror_id

LINKED = "linked"
"""What `Filters.reason` has for items whose answer has links."""


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


@dataclass(frozen=True, slots=True)
class ItemLink:
    """An organisation that the answer of an item links."""

    ror_id: str
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the queue, with the stored answer that it shows.

    `probability` is that of the least probable link, or of the nearest organisation where there
    is no link; None where nothing was near. `country` is the one that the text names, else that of
    the first link. `lease_by` and `lease_until` are set while somebody has the item. `barred` are
    persons who may not decide about it, since they have.
    """

    affiliation_id: int
    text: str
    policy_id: int
    records: int
    sources: tuple[str, ...]
    doubt: float
    priority: float
    probability: float | None
    reason: str | None
    country: str | None
    why: Why
    state: ReviewState
    barred: tuple[str, ...]
    lease_by: str | None
    lease_until: datetime | None
    answered_at: datetime
    links: tuple[ItemLink, ...]

    @property
    def blind(self) -> bool:
        """Whether the person who decides must see neither the answer nor earlier decisions."""
        return self.why is Why.SECOND

    @property
    def ror_ids(self) -> frozenset[str]:
        return frozenset(link.ror_id for link in self.links)


@dataclass(frozen=True, slots=True)
class Remaining:
    """How many open items a filter has, of how many records, and how many of these records are
    expected to be wrong."""

    items: int
    records: int
    expected_wrong: float


@dataclass(frozen=True, slots=True)
class Upcoming:
    """An item that a person will probably be given soon."""

    affiliation_id: int
    text: str
    policy_id: int


@dataclass(frozen=True, slots=True)
class Similar:
    """Another open item that the same decision may settle. `by` says what is the same: the
    unlinked name (`NAME`), or organisation and words of a link (`LINK`)."""

    affiliation_id: int
    text: str
    records: int
    by: str
    links: tuple[ItemLink, ...]


NAME, LINK = "name", "link"
