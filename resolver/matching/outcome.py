"""What became of an affiliation: links, or none with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from resolver.text.affiliation import Refusal


class Status(StrEnum):
    LINKED = "linked"
    NO_MATCH = "no_match"


class Reason(StrEnum):
    """Why there is no link."""

    EMPTY = Refusal.EMPTY.value
    """Nothing is left of the text when markup and what is invisible are gone."""

    TOO_LONG = Refusal.TOO_LONG.value
    """It is longer than any affiliation, and was not searched."""

    PLACE_ONLY = "place_only"
    """It names places, and nobody there."""

    PERSON_OR_NOISE = "person_or_noise"
    """It names persons or roles, or is a remark, an address on the web, a number."""

    DEPARTMENT_ONLY = "department_only"
    """It names departments or other units, and no organisation that they are part of."""

    NOT_IN_REGISTRY = "not_in_registry"
    """It names an organisation whose name no candidate covers."""

    AMBIGUOUS = "ambiguous"
    """Two or more organisations are as good, and nothing tells them apart."""

    NOT_ADMITTED = "not_admitted"
    """What it names is of a type or in a country that the policy excludes."""

    BELOW_THRESHOLD = "below_threshold"
    """An organisation is near, and not probable enough."""

    OVERRIDDEN = "overridden"
    """A person said that it is not what it would have been linked to, and nothing else is left."""


class CountryAgreement(StrEnum):
    """What the affiliation's countries say of an organisation's."""

    NAMED = "named"
    OTHER_NAMED = "other_named"
    NONE_NAMED = "none_named"


@dataclass(frozen=True, slots=True)
class OverrideNote:
    """Who said that a link is right, when, and what they noted.

    `id` is the override's key, and `date` (UTC) the day it was made; both None when it is not
    stored.
    """

    id: int | None
    author: str
    note: str
    date: date | None


@dataclass(frozen=True, slots=True)
class LinkEvidence:
    """Why a link was made.

    `text` is the part of the affiliation, as normalised, that the matched name stands on, from
    character `start` to before `end`; empty (and both 0) when the name is written otherwise, as in
    another script. `first_stage_rank` counts from 1; `sparse` and `dense` are the first stage's
    scores, None where it did not find the organisation that way. `runner_up` is the best rival
    for the same words, by ROR id, and `margin` the difference in probability; both None without
    a rival. `weighed` says what the kinds of evidence with the largest effect added to the log
    odds, the largest first.

    `override` says who made the link, where a person did. Then the rest is what the model found of
    the organisation: the rank is None if the first stage did not find it, and there is no rival.
    """

    text: str
    start: int
    end: int
    country: CountryAgreement
    city_named: bool
    first_stage_rank: int | None
    sparse: float | None
    dense: float | None
    runner_up: str | None = None
    runner_up_name: str | None = None
    margin: float | None = None
    weighed: tuple[tuple[str, float], ...] = ()
    override: OverrideNote | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """One organisation that the affiliation names.

    `score` is the reranker's logit, `probability` the judge's in [0, 1],
    `name` the organisation's display name, `matched_name` the name that was met,
    `rank` counts from 1, best first. `stands_for` holds the ROR ids of the organisations that the
    affiliation names when the policy put this one in their place: a successor or a top parent.
    Where a person made the link, `probability` is 1, and `score` None if the reranker did not read
    the organisation.
    """

    ror_id: str
    name: str
    matched_name: str
    score: float | None
    probability: float
    rank: int
    evidence: LinkEvidence | None = None
    stands_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer for one affiliation: `links` is empty exactly when `reason` is set.

    `overrides` are the keys of all that persons had said of it, whether or not it made a
    difference.
    """

    affiliation: str
    links: tuple[Link, ...] = ()
    reason: Reason | None = None
    overrides: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.links) == (self.reason is not None):
            raise ValueError("an outcome has links or a reason, never both and never neither")

    @property
    def status(self) -> Status:
        return Status.LINKED if self.links else Status.NO_MATCH
