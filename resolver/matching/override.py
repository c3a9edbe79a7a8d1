"""Overrides: what a person says of an affiliation, over the head of the model.

An override is of one normalised text and one organisation. What *is* said makes the links, all of
them; what *is not* takes the organisation out before anything is decided.
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
"""Most characters of a name that a person goes by."""

MAX_NOTE = 2_000
"""Most characters of a note: a sentence and an address, not a file."""


class Verdict(StrEnum):
    """Whether the affiliation names the organisation."""

    IS = "is"
    IS_NOT = "is not"


@dataclass(frozen=True, slots=True)
class Ending:
    """When an override ceased to hold, who ended it, and why."""

    at: datetime
    author: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """One statement. `affiliation` is normalised, `author` whoever says so.

    The text is empty where it was forgotten: the statement is kept by its hash, and holds when the
    text comes again.

    `id` and `created_at` are None until it is stored; `ended` is None while it holds. `name` is
    the organisation's display name as the registry had it last, where the reader knows it.
    """

    id: int | None
    affiliation: str
    ror_id: str
    verdict: Verdict
    author: str
    note: str = ""
    created_at: datetime | None = None
    name: str | None = field(default=None, compare=False)
    ended: Ending | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What there can be only one of that holds: (affiliation, ror_id)."""
        return self.affiliation, self.ror_id

    @property
    def date(self) -> date | None:
        """The day on which it was stored (UTC)."""
        return self.created_at and self.created_at.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class OverrideProblem:
    """An override that holds, of an organisation that the release in use has no active record of.

    `status` is the record's, None where the release has none. `successors` are what the registry
    names in its place, by ROR id.
    """

    override: Override
    status: OrganisationStatus | None
    successors: tuple[str, ...] = ()


def said(overrides: Iterable[Override]) -> list[Override]:
    """Those that say what the affiliation is, by ROR id: persons do not rank."""
    return sorted(
        (one for one in overrides if one.verdict is Verdict.IS), key=lambda one: one.ror_id
    )


def denied(overrides: Iterable[Override]) -> frozenset[str]:
    """ROR ids of the organisations that the affiliation is not."""
    return frozenset(one.ror_id for one in overrides if one.verdict is Verdict.IS_NOT)


def ids(overrides: Sequence[Override]) -> tuple[int, ...]:
    """The keys of those that are stored, in order."""
    return tuple(sorted(one.id for one in overrides if one.id is not None))


def statement(
    affiliation: str, ror_id: str, verdict: str, *, author: str, note: str = ""
) -> Override:
    """What a person says, as it is stored: the text normalised, the organisation by its nine
    characters, author and note with single spaces, so that each is one line.

    Raises:
        ValueError: names the part that makes no sense, and why.
    """
    read = Affiliation.of(affiliation)
    if read.refused is Refusal.EMPTY:
        raise ValueError("affiliation: there is no text")
    if read.refused:
        raise ValueError(f"affiliation: longer than {MAX_CHARACTERS:,} characters")
    try:
        said = Verdict(" ".join(verdict.casefold().replace("-", " ").replace("_", " ").split()))
    except ValueError:
        raise ValueError(f"verdict: {verdict[:80]!r} is neither 'is' nor 'is not'") from None
    if not author.strip():
        raise ValueError("author: who says so?")
    return Override(
        None,
        read.text,
        _organisation(ror_id),
        said,
        remark("author", author, MAX_AUTHOR),
        remark("note", note, MAX_NOTE),
    )


def remark(part: str, text: str, most: int) -> str:
    """An author or a note as it is stored; `part` is its name.

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
"""What a text of Postgres cannot hold: NUL, and surrogates that belong to no pair."""


def _organisation(ror_id: str) -> str:
    try:
        return read_ror_id(ror_id)
    except ValueError as error:
        raise ValueError(f"ror_id: {error}") from None
