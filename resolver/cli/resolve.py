"""``resolver resolve``: link affiliations and print the links, without a database."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from resolver.cli import affiliation_files
from resolver.cli.affiliation_files import (
    AffiliationColumn,
    Delimiter,
    Encoding,
    FormatOption,
    IdColumn,
    PositionColumn,
    Quoted,
    SourceColumn,
)
from resolver.cli.outcomes import as_object, for_a_person, linked_organisations
from resolver.cli.policy_options import Choices, policy_options
from resolver.cli.terminal import console, say, write_json
from resolver.errors import SettingsError
from resolver.intake.columns import Columns
from resolver.intake.format import Format
from resolver.intake.record import SourceRecord
from resolver.service.installation import Installation
from resolver.settings import load_settings

CHUNK = 64
"""Affiliations resolved together when they come from a file or a pipe."""


@policy_options
def resolve(
    affiliations: Annotated[
        list[str] | None, typer.Argument(help="Affiliations; without any, from --file or stdin.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A file, as for enqueue; - is stdin.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of a table.")
    ] = False,
    format: FormatOption = Format.AUTO,
    affiliation_column: AffiliationColumn = "affiliation",
    id_column: IdColumn = "id",
    source_column: SourceColumn = "source",
    position_column: PositionColumn = "position",
    delimiter: Delimiter = None,
    quoted: Quoted = None,
    encoding: Encoding = None,
    *,
    choices: Choices,
) -> None:
    """Link affiliations to organisations and print the links. Needs the index, not the database.

    For a file with ids, each JSON object has source, id and position too. Bad lines are printed and
    skipped, with exit code 2.
    """
    if affiliations and file:
        raise SettingsError("affiliations were given both as arguments and by --file")
    refused, rows = affiliation_files.Refusals(), None
    if affiliations:
        records: Iterator[SourceRecord] = (
            SourceRecord("", "", affiliation) for affiliation in affiliations
        )
    else:
        rows = affiliation_files.read(
            file,
            format,
            Columns(affiliation_column, id_column, source_column, position_column),
            delimiter,
            quoted,
            encoding,
            blank=True,
        )
        records = refused.good(rows)
    identified = rows is not None and rows.identified
    with (
        Installation(choices.over(load_settings())) as installation,
        installation.open_matcher() as matcher,
    ):
        for chunk in _chunks(records, 1 if sys.stdin.isatty() and not affiliations else CHUNK):
            outcomes = matcher.resolve([record.affiliation for record in chunk])
            organisations = linked_organisations(matcher.recall.index, outcomes)
            for record, outcome in zip(chunk, outcomes, strict=True):
                key = _key(record) if identified else {}
                if as_json:
                    write_json(key | as_object(outcome, organisations))
                else:
                    console.print(for_a_person(outcome, str(key.get("id", ""))))
            sys.stdout.flush()
    if rows is not None:
        affiliation_files.print_remarks(rows)
    if refused.count:
        refused.print()
        say(f"{refused.count:,} lines refused; the others were answered")
        raise typer.Exit(2)


def _key(record: SourceRecord) -> dict[str, object]:
    return {"source": record.source, "id": record.external_id, "position": record.position}


def _chunks(records: Iterable[SourceRecord], size: int) -> Iterator[list[SourceRecord]]:
    chunk: list[SourceRecord] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
