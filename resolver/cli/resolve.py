"""``resolver resolve``: link affiliations and print the links, without a database."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from resolver.cli import affiliation_files, completed_files
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
from resolver.cli.file_to_file import FileToFile, require_input
from resolver.cli.outcomes import for_a_person
from resolver.cli.policy_options import Choices, policy_options
from resolver.cli.terminal import console, say, write_json
from resolver.errors import SettingsError
from resolver.intake import whole_rows
from resolver.intake.columns import Columns
from resolver.intake.format import Format
from resolver.intake.record import AssertedRecord, SourceRecord
from resolver.matching.matcher import Matcher
from resolver.matching.outcome_object import as_object, linked_organisations
from resolver.service import garbage
from resolver.service.installation import Installation
from resolver.settings import load_settings

CHUNK = 64
"""Affiliations resolved together when they come from a file or a pipe."""


@policy_options
def resolve(
    affiliations: Annotated[
        list[str] | None,
        typer.Argument(
            help="Affiliations; without any, from --file or stdin. With --out, a file of them."
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A file, as for enqueue; - is stdin.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of a table.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the rows of the file with their organisations: .csv, .tsv, .jsonl or "
            ".parquet.",
        ),
    ] = None,
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

    With --out all columns of the file are kept, and organisations written beside them. Broken off
    and run again, it goes on where it was.
    """
    if out:
        if as_json:
            raise SettingsError("--json prints, and --out writes a file", remedy="leave one out")
        path = require_input(affiliations, file, out)
        completed_files.require_writable(out)
        _complete(
            FileToFile(
                lambda: whole_rows.read_rows(
                    path,
                    format=format,
                    affiliation=affiliation_column,
                    delimiter=affiliation_files.separator(delimiter),
                    quoted=quoted,
                    encoding=encoding,
                ),
                out,
            ),
            choices,
        )
        return
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
    with _matcher(choices) as matcher:
        for chunk in _chunks(records, 1 if sys.stdin.isatty() and not affiliations else CHUNK):
            outcomes = matcher.resolve([record.affiliation for record in chunk])
            # The table for people shows no places.
            organisations = linked_organisations(matcher.recall.index, outcomes) if as_json else {}
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


def _complete(work: FileToFile, choices: Choices) -> None:
    # Opened first, so that a wrong file is reported before the models are loaded.
    work.read().close()
    with _matcher(choices) as matcher:
        try:
            work.run(matcher)
        except KeyboardInterrupt:
            say("stopped; run the same command again to go on from here")
            raise typer.Exit(130) from None
    if work.refused.count:
        work.refused.print()
        say(f"{work.refused.count:,} rows refused; they are not in the output")
        raise typer.Exit(2)


@contextmanager
def _matcher(choices: Choices) -> Iterator[Matcher]:
    with (
        Installation(choices.over(load_settings())) as installation,
        installation.open_matcher() as matcher,
    ):
        garbage.spare_opened()
        yield matcher


def _key(record: SourceRecord) -> dict[str, object]:
    key = {"source": record.source, "id": record.external_id, "position": record.position}
    return key | ({"asserted": record.asserted} if isinstance(record, AssertedRecord) else {})


def _chunks(records: Iterable[SourceRecord], size: int) -> Iterator[list[SourceRecord]]:
    chunk: list[SourceRecord] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
