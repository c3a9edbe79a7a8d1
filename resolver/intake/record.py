"""What a message may hold: records, keys of records, and records that are refused."""

from __future__ import annotations

from dataclasses import dataclass

MAX_SOURCE = 100
"""Most characters of a source's name."""

MAX_EXTERNAL_ID = 500
"""Most characters of a record's id: with `MAX_SOURCE` four-byte characters each
this still fits an index entry of Postgres (2,704 bytes)."""


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One affiliation as a source sent it.

    `source` names the sender ("crossref"), `external_id` its record (a DOI), and
    `position` tells several affiliations of one record apart, from 0.
    """

    source: str
    external_id: str
    affiliation: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class AssertedRecord(SourceRecord):
    """An affiliation that came with ROR ids beside it: `asserted`, as the source wrote them.

    They are evidence for evaluation, and are neither sent to a worker nor stored.
    """

    asserted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """An incoming record that cannot be taken; `payload` is what came, as far as it is text."""

    reason: str
    payload: str
    source: str | None = None
    external_id: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class WholeRecord:
    """A record that a source has sent whole: `positions` are all that it has, and stored answers at
    other positions of it are withdrawn."""

    source: str
    external_id: str
    positions: tuple[int, ...]


Key = tuple[str, str, int | None]
"""Source, external id and position; position None means all positions of that record."""
