"""``resolver enqueue``: send affiliations to the workers."""

from __future__ import annotations

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
from resolver.cli.policy_options import Choices, policy_options
from resolver.cli.terminal import progress, say
from resolver.errors import FileBroken, IntakeError, ResolverError
from resolver.intake.columns import Columns
from resolver.intake.format import Format
from resolver.settings import load_settings
from resolver.workers import client


@policy_options
def enqueue(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="jsonl, csv, tsv, txt or parquet, or works of Crossref, DataCite or OpenAlex, or "
            "JATS XML (also .tar); each also .gz. None or - is stdin."
        ),
    ] = None,
    queue: Annotated[str, typer.Option(help="bulk, or interactive for urgent records.")] = "bulk",
    source: Annotated[
        str | None,
        typer.Option(
            help="Source of records without one; by default the file's name, or crossref, "
            "datacite, openalex or jats."
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Records are complete: their other stored affiliations are withdrawn."
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait while the queue is full, instead of stopping.")
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
    """Send affiliations to the workers. Bad lines are printed and skipped, with exit code 2.

    Sending a file twice is harmless: known records are not resolved again. Rows of one id
    without positions are numbered in their order. What to link is set by the options; where one is
    not given, by the workers' settings.
    """
    policy = choices.as_object()
    rows = affiliation_files.read(
        file,
        format,
        Columns(affiliation_column, id_column, source_column, position_column),
        delimiter,
        quoted,
        encoding,
        source=source,
    )
    refused = affiliation_files.Refusals()
    done = 0
    with progress("records sent") as report:

        def count(records: int) -> None:
            nonlocal done
            done = records
            report(records)

        try:
            sent = client.enqueue(
                refused.good(rows),
                settings=load_settings(),
                queue=queue,
                policy=policy,
                wait=wait,
                replace=replace,
                progress=count,
            )
        except (FileBroken, IntakeError) as error:
            raise _stopped(error, done) from error
    say(f"{sent.records:,} records in {sent.chunks:,} messages on queue {queue}")
    affiliation_files.print_remarks(rows)
    if refused.count:
        refused.print()
        say(f"{refused.count:,} records refused; the others were sent")
        raise typer.Exit(2)


def _stopped(error: FileBroken | IntakeError, done: int) -> ResolverError:
    return ResolverError(
        f"{error.problem}; {done:,} records were sent before",
        remedy=error.remedy
        or "correct the file and send it again: records already sent are not resolved again",
    )
