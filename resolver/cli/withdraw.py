"""``resolver withdraw``: take out records that their source has withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from resolver.cli.terminal import progress, say
from resolver.database import records
from resolver.errors import IntakeError, SettingsError
from resolver.intake.format import Format, format_or_text
from resolver.intake.lines import not_in, opened
from resolver.intake.message import parse_key
from resolver.intake.record import Key
from resolver.service.installation import Installation
from resolver.settings import load_settings

MOST_PRINTED = 10
"""Ids that are printed; the others are counted."""


def withdraw(
    source: Annotated[str, typer.Option(help="Source of the records: crossref.")],
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Id of a record: a DOI; may be repeated.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A text file of ids, one a line; - is standard input.")
    ] = None,
    position: Annotated[
        int | None, typer.Option(min=0, help="Position in each record; by default all.")
    ] = None,
) -> None:
    """Withdraw records that their source has taken back. Their history stays.

    Ids that this source never sent are printed, with exit code 2. Running it twice is harmless.
    """
    if not ids and file is None:
        raise SettingsError("no record was given", remedy="use --id or --file")
    refused: list[IntakeError] = []
    keys = _keys(source, position, chain(enumerate(ids or (), 1), _lines(file)), refused)
    with Installation(load_settings()) as installation, progress("ids") as report:
        done = records.withdraw(installation.engine, keys, progress=report)
    say(f"{done.records:,} records withdrawn, of {done.found:,} ids of {done.keys:,}")
    if done.before:
        say(f"{done.before:,} ids were withdrawn before")
    for error in refused[:MOST_PRINTED]:
        say(Text.assemble(("refused", "yellow"), f" {error.reason}"))
    if refused:
        say(f"{len(refused):,} lines refused")
    for _, external_id, _ in done.examples:
        say(Text.assemble(("not found", "yellow"), f" {external_id}"))
    if done.unknown:
        say(f"{done.unknown:,} ids were never sent by {source}: check them, and --source")
    if done.unknown or refused:
        raise typer.Exit(2)


def _keys(
    source: str,
    position: int | None,
    ids: Iterator[tuple[int, str | None]],
    refused: list[IntakeError],
) -> Iterator[Key]:
    for number, external_id in ids:
        try:
            yield parse_key(
                {"source": source, "id": external_id, "position": position}, position=number
            )
        except IntakeError as error:
            refused.append(IntakeError(position=number, reason=f"line {number}: {error.reason}"))


def _lines(file: Path | None) -> Iterator[tuple[int, str | None]]:
    """The lines that are not blank.

    Raises:
        SettingsError: the file cannot be read, or is none of ids.
    """
    if file is None:
        return
    path = None if str(file) == "-" else file
    with opened(path) as start:
        form = format_or_text(path, start)
        if form is not Format.TXT:
            raise SettingsError(
                f"{start.name} is not a file of ids, one a line, but {form}",
                remedy="give the ids alone: jq -r .id FILE | resolver withdraw --file -",
            )
        encoding = start.encoding()
        for number, line in start.lines(encoding):
            if line is None or line.strip():
                yield number, None if line is None or not_in(encoding, line) else line.strip()
