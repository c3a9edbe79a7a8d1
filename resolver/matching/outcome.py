"""The answer for an affiliation: links, or none with a reason."""

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
    """Nothing is left of the text without markup and invisible characters."""

    TOO_LONG = Refusal.TOO_LONG.value
    """It is longer than any affiliation, and was not searched."""

    PLACE_ONLY = "place_only"
    """It names places, and no organisation there."""

    PERSON_OR_NOISE = "person_or_noise"
    """It names persons or roles, or is a remark, an address on the web, a number."""

    DEPARTMENT_ONLY = "department_only"
    """It names departments or other units, and no organisation that they are part of."""

    NOT_IN_REGISTRY = "not_in_registry"
    """It names an organisation, and no candidate is near."""

    AMBIGUOUS = "ambiguous"
    """Two or more organisations are equally good, and nothing tells them apart."""

    NOT_ADMITTED = "not_admitted"
    """What it names is of a type or in a country that the policy excludes."""

    BELOW_THRESHOLD = "below_threshold"
    """It names an organisation, and a candidate is near but not probable enough, or not where the
    text says."""

    OVERRIDDEN = "overridden"
    """A curator decided that it names none of the registry's organisations, or that it is not what
    it would have been linked to, and nothing else is left."""


class CountryAgreement(StrEnum):
    """Whether the affiliation names an organisation's country (`NAMED`), only those of other
    candidates (`OTHER_NAMED`), or none."""

    NAMED = "named"
    OTHER_NAMED = "other_named"
    NONE_NAMED = "none_named"


@dataclass(frozen=True, slots=True)
class OverrideNote:
    """Which curator made a link, when, and with what note.

    `id` is the override's key, and `date` (UTC) the day it was made; both are None when it is not
    stored.
    """

    id: int | None
    author: str
    note: str
    date: date | None


@dataclass(frozen=True, slots=True)
class LinkEvidence:
    """Why a link was made.

    `text` is the part of the normalised affiliation that matches the name, from character `start`
    to before `end`; empty (and both 0) when the name is written in another way, as in another
    script. `first_stage_rank` counts from 1; `sparse` and `dense` are the first stage's scores,
    None where it did not find the organisation that way. `runner_up` is the best rival for the same
    words, by ROR id, and `margin` the difference in probability; both are None without a rival.
    `weighed` has what each kind of evidence added to the log odds, for those with the largest
    effect, the largest first.

    `override` says which curator made the link, None where the model did. Where a curator did, the
    rest is what the model knows of the organisation: the rank is None if the first stage did not
    find it, and there is no rival.
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

    `score` is the reranker's logit, `probability` the judge's in [0, 1], `name` the organisation's
    display name, `matched_name` the one of its names that fits the affiliation best; `rank` counts
    from 1, best first. `stands_for` has the ROR ids of the organisations that the affiliation names
    where the policy puts this one in their place: a successor or a parent. Where a curator made the
    link, `probability` is 1, and `score` is None if the reranker did not read the organisation.
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
class Nearest:
    """The most probable candidate of an affiliation without a link, by ROR id; `probability` is the
    judge's in [0, 1]."""

    ror_id: str
    probability: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer for one affiliation: `links` is empty exactly when `reason` is set.

    `overrides` are the keys of all overrides that hold for it, whether or not they changed the
    answer. `nearest` is None where there are links, and where the reranker read no candidate.
    """

    affiliation: str
    links: tuple[Link, ...] = ()
    reason: Reason | None = None
    overrides: tuple[int, ...] = ()
    nearest: Nearest | None = None

    def __post_init__(self) -> None:
        if bool(self.links) == (self.reason is not None):
            raise ValueError("an outcome has links or a reason, never both and never neither")
        if self.links and self.nearest:
            raise ValueError("an outcome with links has no nearest candidate beside them")

    @property
    def status(self) -> Status:
        return Status.LINKED if self.links else Status.NO_MATCH
