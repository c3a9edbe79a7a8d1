"""What became of an affiliation: links, or none with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    LINKED = "linked"
    NO_MATCH = "no_match"


class Reason(StrEnum):
    """Why there is no link."""

    EMPTY = "empty"
    TOO_LONG = "too_long"
    NO_CANDIDATE = "no_candidate"
    BELOW_THRESHOLD = "below_threshold"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Link:
    """One organisation that the affiliation names.

    `score` is the reranker's logit, `probability` the judge's in [0, 1],
    `name` the organisation's display name, `matched_name` the name that was met,
    `rank` counts from 1, best first.
    """

    ror_id: str
    name: str
    matched_name: str
    score: float
    probability: float
    rank: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer for one affiliation: `links` is empty exactly when `reason` is set."""

    affiliation: str
    links: tuple[Link, ...] = ()
    reason: Reason | None = None

    def __post_init__(self) -> None:
        if bool(self.links) == (self.reason is not None):
            raise ValueError("an outcome has links or a reason, never both and never neither")

    @property
    def status(self) -> Status:
        return Status.LINKED if self.links else Status.NO_MATCH
