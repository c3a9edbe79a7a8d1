"""Overrides as a file, and as a change: what persons say → the database, and what it affects.

The file is CSV with the columns `COLUMNS`, in any order; others are ignored. What `write_csv` has
written, in UTF-8, `read_csv` reads back as it was.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, TextIO

from resolver.database import due_answers
from resolver.database import overrides as stored
from resolver.database.tables import Cause
from resolver.errors import SettingsError
from resolver.intake import delimited
from resolver.matching.override import Override, OverrideProblem, statement
from resolver.text.affiliation import text_hash

if TYPE_CHECKING:
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


def read_csv(
    lines: Iterable[tuple[int, str | None]], *, author: str
) -> Iterator[Override | BadLine]:
    """What a file says, line by line; `author` is whoever says what names nobody.

    `lines` are numbered and have their ends (`resolver.intake.lines`); between the columns is
    whatever makes the header name them. Of two lines on one affiliation and organisation that
    differ the later one is bad: there is no telling which is meant.

    Raises:
        SettingsError: a column is missing or there twice, or the header cannot be read.
    """
    numbered = iter(lines)
    first = next(numbered, (1, ""))
    delimiter = delimited.delimiter_of((first[1] or "").casefold(), REQUIRED[0], ",") or ","
    rows = delimited.rows(chain([first], numbered), delimiter=delimiter, quoted=True)
    header = _header(next(rows, None))
    seen: dict[tuple[str, str], tuple[Override, int]] = {}
    for row in rows:
        if isinstance(row, delimited.BadRow):
            yield BadLine(row.line, row.reason)
            continue
        if not any(row.cells):
            continue
        try:
            override = _read(header, row.cells, author)
        except ValueError as error:
            yield BadLine(row.line, str(error))
            continue
        before, where = seen.setdefault(override.key, (override, row.line))
        if before != override:
            yield BadLine(row.line, f"says otherwise of the same two than line {where}")
        elif where == row.line:
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


def _header(row: delimited.Row | delimited.BadRow | None) -> list[str]:
    if isinstance(row, delimited.BadRow):
        raise SettingsError(f"the first line cannot be read: {row.reason}")
    header = [name.strip().casefold() for name in row.cells] if row else []
    if missing := [column for column in REQUIRED if column not in header]:
        raise SettingsError(
            f"the file has no column {', '.join(map(repr, missing))}",
            remedy=f"its first line must name the columns: {','.join(COLUMNS)}",
        )
    if twice := delimited.repeated(header, COLUMNS):
        raise SettingsError(
            f"the file has {header.count(twice[0])} columns named {twice[0]!r}",
            remedy="rename all but the one that is meant",
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
    return due_answers.mark_texts(engine, sorted(map(text_hash, set(affiliations))), Cause.OVERRIDE)


def _batches(overrides: Iterable[Override]) -> Iterator[list[Override]]:
    waiting = iter(overrides)
    while batch := list(islice(waiting, BATCH)):
        yield batch
