"""Overrides: curators' decisions about an affiliation, which take precedence over the model's.

An override is about one normalised text, and mostly about one organisation. Where a curator decided
that the text *is* some organisations, these are its links, and there are no others. An organisation
that it *is not* is left out before the model decides. A text that names *none* of the registry's
organisations has no link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum

from resolver.registry.organisation import OrganisationStatus
from resolver.registry.ror_id import read_ror_id
from resolver.text.affiliation import MAX_CHARACTERS, Affiliation, Refusal

MAX_AUTHOR = 200
"""Most characters of a curator's name."""

MAX_NOTE = 2_000
"""Most characters of a note: a sentence and an address, not a file."""


class Verdict(StrEnum):
    """Whether the affiliation names the organisation, or none at all."""

    IS = "is"
    IS_NOT = "is not"
    NONE = "none"
    """It names none of the registry's organisations; such an override has no ROR id."""


@dataclass(frozen=True, slots=True)
class Ending:
    """When an override ceased to hold, who ended it, and why."""

    at: datetime
    author: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """One decision. `affiliation` is normalised, `author` the curator. `ror_id` is None exactly
    when the verdict is `Verdict.NONE`.

    The text is empty where it was forgotten: the override is kept by the text's hash, and holds
    when the text comes again.

    `id` and `created_at` are None until it is stored; `ended` is None while it holds. `name` is
    the organisation's display name in the latest release that has it, None where that was not
    looked up.
    """

    id: int | None
    affiliation: str
    ror_id: str | None
    verdict: Verdict
    author: str
    note: str = ""
    created_at: datetime | None = None
    name: str | None = field(default=None, compare=False)
    ended: Ending | None = None

    def __post_init__(self) -> None:
        if (self.verdict is Verdict.NONE) != (self.ror_id is None):
            raise ValueError("an override has a ROR id, or the verdict none, never both")

    @property
    def key(self) -> Key:
        """(affiliation, ror_id): only one override with a key can hold at a time."""
        return self.affiliation, self.ror_id

    @property
    def date(self) -> date | None:
        """The day on which it was stored (UTC)."""
        return self.created_at and self.created_at.astimezone(UTC).date()


Key = tuple[str, str | None]
"""A normalised affiliation and the ROR id of an organisation, None for that it names none."""


def exclude(a: Verdict, b: Verdict) -> bool:
    """Whether these two verdicts on one text, about whatever organisations, cannot both hold."""
    return {a, b} == {Verdict.IS, Verdict.NONE}


@dataclass(frozen=True, slots=True)
class OverrideProblem:
    """An override that holds, about an organisation without an active record in the release in use.

    `status` is the record's, None where the release has no record. `successors` are the
    organisations that the registry names in its place, by ROR id.
    """

    override: Override
    status: OrganisationStatus | None
    successors: tuple[str, ...] = ()


def affirmed(overrides: Iterable[Override]) -> dict[str, Override]:
    """Those about organisations that the affiliation is, by ROR id, in the order of the ids:
    curators give no order."""
    affirming = {
        override.ror_id: override
        for override in overrides
        if override.verdict is Verdict.IS and override.ror_id
    }
    return dict(sorted(affirming.items()))


def denied(overrides: Iterable[Override]) -> frozenset[str]:
    """ROR ids of the organisations that the affiliation is not."""
    return frozenset(
        override.ror_id
        for override in overrides
        if override.verdict is Verdict.IS_NOT and override.ror_id
    )


def names_none(overrides: Iterable[Override]) -> bool:
    """Whether a curator decided that the affiliation names none of the registry's organisations."""
    return any(override.verdict is Verdict.NONE for override in overrides)


def ids(overrides: Sequence[Override]) -> tuple[int, ...]:
    """The keys of those that are stored, in order."""
    return tuple(sorted(override.id for override in overrides if override.id is not None))


def new_override(
    affiliation: str, ror_id: str, verdict: str, *, author: str, note: str = ""
) -> Override:
    """A new override as it will be stored: the text normalised, the ROR id as its nine characters,
    author and note with single spaces, so that each is one line. The ROR id is empty where the
    verdict is "none".

    Raises:
        ValueError: names the field that is wrong, and why.
    """
    normalised = Affiliation.of(affiliation)
    if normalised.refused is Refusal.EMPTY:
        raise ValueError("affiliation: there is no text")
    if normalised.refused:
        raise ValueError(f"affiliation: longer than {MAX_CHARACTERS:,} characters")
    try:
        decided = Verdict(" ".join(verdict.casefold().replace("-", " ").replace("_", " ").split()))
    except ValueError:
        raise ValueError(
            f"verdict: {verdict[:80]!r} is neither 'is' nor 'is not' nor 'none'"
        ) from None
    if not author.strip():
        raise ValueError("author: who says so?")
    return Override(
        None,
        normalised.text,
        _organisation(ror_id, decided),
        decided,
        remark("author", author, MAX_AUTHOR),
        remark("note", note, MAX_NOTE),
    )


def remark(part: str, text: str, most: int) -> str:
    """An author or a note as it is stored; `part` is the name of the field.

    Raises:
        ValueError: it is too long, or cannot be stored.
    """
    text = " ".join(text.split())
    if len(text) > most:
        raise ValueError(f"{part}: longer than {most:,} characters")
    if _UNSTORABLE.search(text):
        raise ValueError(f"{part}: holds NUL, or is not UTF-8")
    return text


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What a text in Postgres cannot contain: NUL, and surrogates that belong to no pair."""


def _organisation(ror_id: str, verdict: Verdict) -> str | None:
    if verdict is Verdict.NONE:
        if ror_id.strip():
            raise ValueError("ror_id: must be empty where the verdict is 'none'")
        return None
    try:
        return read_ror_id(ror_id)
    except ValueError as error:
        raise ValueError(f"ror_id: {error}") from None
