"""Curators' decisions (overrides): read from a file, written to one, stored; answers marked as due.

The file is CSV with the columns `COLUMNS`, in any order; other columns are ignored. `read_csv`
reads what `write_csv` has written, in UTF-8, without loss.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, TextIO

from resolver.database import due_answers
from resolver.database import overrides as stored
from resolver.database.connection import transaction
from resolver.errors import SettingsError
from resolver.intake import delimited
from resolver.matching.override import (
    Key,
    Override,
    OverrideProblem,
    Verdict,
    exclude,
    new_override,
)
from resolver.text.affiliation import text_hash

if TYPE_CHECKING:
    from sqlalchemy import Engine

COLUMNS = ("affiliation", "ror_id", "verdict", "author", "note")
"""The affiliation (in any spelling that normalises to the same), the ROR id or its address, ``is``
or ``is not``, who decided it, and why. With ``none``, the affiliation names none of the registry's
organisations, and the ROR id is empty."""

REQUIRED = COLUMNS[:3]

BATCH = 5_000
"""Overrides stored in one transaction."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no override; `line` counts from 1, the header included."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def read_csv(
    lines: Iterable[tuple[int, str | None]], *, author: str
) -> Iterator[Override | BadLine]:
    """The overrides of a file, a `BadLine` in the place of each line that is none.

    `author` is the author of overrides that name none. `lines` are numbered and have their ends
    (`resolver.intake.lines`); the delimiter is the one by which the header has the columns. Where
    two lines about the same affiliation and organisation differ, or one says that it is an
    organisation and one that it names none, the later one is bad: nothing shows which is meant.

    Raises:
        SettingsError: a column is missing or there twice, or the header cannot be read.
    """
    numbered = iter(lines)
    first = next(numbered, (1, ""))
    delimiter = delimited.delimiter_of((first[1] or "").casefold(), REQUIRED[0], ",") or ","
    rows = delimited.rows(chain([first], numbered), delimiter=delimiter, quoted=True)
    header = _header(next(rows, None))
    seen: dict[Key, tuple[Override, int]] = {}
    # The first line on each affiliation that says either that it is an organisation or that it
    # names none.
    naming: dict[str, tuple[Verdict, int]] = {}
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
        if override.verdict is not Verdict.IS_NOT:
            first_verdict, where = naming.setdefault(
                override.affiliation, (override.verdict, row.line)
            )
            if exclude(first_verdict, override.verdict):
                yield BadLine(row.line, f"contradicts line {where} on the same affiliation")
                continue
        before, where = seen.setdefault(override.key, (override, row.line))
        if before != override:
            yield BadLine(
                row.line, f"contradicts line {where} on the same affiliation and organisation"
            )
        elif where == row.line:
            yield override


def write_csv(file: TextIO, overrides: Iterable[Override]) -> int:
    """Write overrides, sorted by affiliation and ROR id: equal overrides give equal files. Returns
    how many were written.

    Overrides of forgotten texts are left out: without a text they cannot be read again.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    ordered = sorted(
        (override for override in overrides if override.affiliation),
        key=lambda override: (override.affiliation, override.ror_id or ""),
    )
    for override in ordered:
        writer.writerow(
            (
                override.affiliation,
                override.ror_id or "",
                override.verdict.value,
                override.author,
                override.note,
            )
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
    return new_override(
        cells.get("affiliation", ""),
        cells.get("ror_id", ""),
        cells.get("verdict", ""),
        author=cells.get("author", "").strip() or author,
        note=cells.get("note", ""),
    )


@dataclass(frozen=True, slots=True)
class Effect:
    """`statements` counts the overrides that are new, changed or ended, `answers` the answers that
    are due again because of them."""

    statements: int
    answers: int

    def __add__(self, other: Effect) -> Effect:
        return Effect(self.statements + other.statements, self.answers + other.answers)


def add(engine: Engine, overrides: Iterable[Override]) -> Effect:
    """Store overrides, and mark the answers that they affect as due. A second call with the same
    overrides changes nothing. Each `BATCH` of them is stored and marked in one transaction, and a
    call that was interrupted is completed by another one.

    Raises:
        DatabaseUnavailable: no answer.
    """
    effect = Effect(0, 0)
    for batch in _batches(overrides):
        hashes = {text_hash(override.affiliation) for override in batch}
        with transaction(engine) as connection:
            added = stored.add(connection, batch)
            effect += Effect(len(added.new), due_answers.mark_texts(connection, hashes))
    return effect


def end(engine: Engine, ids: Collection[int], *, author: str, note: str = "") -> Effect:
    """End overrides, by id, and mark the answers that this affects as due, in one transaction.

    Raises:
        DatabaseUnavailable: no answer.
    """
    with transaction(engine) as connection:
        ended = stored.end(connection, ids, author, note)
        return Effect(len(ended), due_answers.mark_texts(connection, set(ended.values())))


def problems(engine: Engine, keys: Collection[Key]) -> list[OverrideProblem]:
    """What is wrong with overrides, each by (normalised affiliation, ROR id)."""
    return [problem for problem in stored.problems(engine) if problem.override.key in keys]


def _batches(overrides: Iterable[Override]) -> Iterator[list[Override]]:
    waiting = iter(overrides)
    while batch := list(islice(waiting, BATCH)):
        yield batch
