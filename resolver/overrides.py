"""Overrides as a file, and as a change: what persons say → the database, and what it affects.

The file is CSV in UTF-8 with the columns `COLUMNS`, in any order; others are ignored. What
`write_csv` has written, `read_csv` reads back as it was.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TextIO

from resolver.database import overrides as stored
from resolver.database import stale
from resolver.database.tables import Cause
from resolver.domain.affiliation import text_hash
from resolver.domain.override import Override, OverrideProblem, statement
from resolver.errors import SettingsError

if TYPE_CHECKING:
    from _csv import Reader

    from sqlalchemy import Engine

COLUMNS = ("affiliation", "ror_id", "verdict", "author", "note")
"""The text (any writing of it), the ROR id or its address, ``is`` or ``is not``, and who says so
and why."""

REQUIRED = COLUMNS[:3]

BATCH = 5_000
"""Statements stored in one transaction."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that says nothing that could be kept; `line` counts from 1, the header included."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def read_csv(file: TextIO, *, author: str) -> Iterator[Override | BadLine]:
    """What a file says, line by line; `author` is whoever says what names nobody.

    Of two lines on one affiliation and organisation that differ the later one is bad: there is no
    telling which is meant. `file` must be opened with ``newline=""``.

    Raises:
        SettingsError: a column is missing, or the header cannot be read.
    """
    rows = csv.reader(file, strict=True)
    header = _header(rows)
    seen: dict[tuple[str, str], tuple[Override, int]] = {}
    for line, row in _numbered(rows):
        if isinstance(row, csv.Error):
            yield BadLine(line, str(row))
            continue
        if not any(row):
            continue
        try:
            override = _read(header, row, author)
        except ValueError as error:
            yield BadLine(line, str(error))
            continue
        before, where = seen.setdefault(override.key, (override, line))
        if before != override:
            yield BadLine(line, f"says otherwise of the same two than line {where}")
        elif where == line:
            yield override


def write_csv(file: TextIO, overrides: Iterable[Override]) -> int:
    """Write overrides by affiliation and ROR id, for one state to be one file; returns how many.

    Those of forgotten texts are left out: nobody could read them in.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    ordered = sorted((one for one in overrides if one.affiliation), key=lambda one: one.key)
    writer.writerows(
        (one.affiliation, one.ror_id, one.verdict.value, one.author, one.note) for one in ordered
    )
    return len(ordered)


def _numbered(rows: Reader) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Each row, or what is wrong with it, with the number of its first line."""
    while True:
        line = rows.line_num + 1
        try:
            yield line, next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, error


def _header(rows: Reader) -> list[str]:
    try:
        header = [name.strip().casefold() for name in next(rows, [])]
    except csv.Error as error:
        raise SettingsError(f"the first line cannot be read: {error}") from error
    if missing := [column for column in REQUIRED if column not in header]:
        raise SettingsError(
            f"the file has no column {', '.join(map(repr, missing))}",
            remedy=f"its first line must name the columns: {','.join(COLUMNS)}",
        )
    return header


def _read(header: Sequence[str], row: Sequence[str], author: str) -> Override:
    if len(row) > len(header):
        raise ValueError(
            f"has {len(row)} cells, the header {len(header)}: quote texts with commas in them"
        )
    cells = dict(zip(header, row, strict=False))
    return statement(
        cells.get("affiliation", ""),
        cells.get("ror_id", ""),
        cells.get("verdict", ""),
        author=cells.get("author", "").strip() or author,
        note=cells.get("note", ""),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """`statements` that are new, other than before, or ended, and `answers` that are to be given
    anew for it."""

    statements: int
    answers: int

    def __add__(self, other: Change) -> Change:
        return Change(self.statements + other.statements, self.answers + other.answers)


def add(engine: Engine, overrides: Iterable[Override]) -> Change:
    """Store what persons say, and mark the answers that it affects. Done twice it changes nothing;
    interrupted anywhere, it is completed by doing it again.

    Raises:
        DatabaseUnavailable: no answer.
    """
    change = Change(0, 0)
    for batch in _batches(overrides):
        made = stored.add(engine, batch)
        change += Change(made, _mark(engine, (one.affiliation for one in batch)))
    return change


def end(engine: Engine, keys: Sequence[tuple[str, str]], *, author: str, note: str = "") -> Change:
    """End overrides, each by (normalised affiliation, ROR id), and mark what that affects.

    Raises:
        DatabaseUnavailable: no answer.
    """
    ended = stored.end(engine, keys, author, note)
    return Change(ended, _mark(engine, (affiliation for affiliation, _ in keys)))


def problems(engine: Engine, keys: Collection[tuple[str, str]]) -> list[OverrideProblem]:
    """What is wrong with overrides, each by (normalised affiliation, ROR id)."""
    return [problem for problem in stored.problems(engine) if problem.override.key in keys]


def _mark(engine: Engine, affiliations: Iterable[str]) -> int:
    return stale.mark_texts(engine, sorted(map(text_hash, set(affiliations))), Cause.OVERRIDE)


def _batches(overrides: Iterable[Override]) -> Iterator[list[Override]]:
    waiting = iter(overrides)
    while batch := list(islice(waiting, BATCH)):
        yield batch
