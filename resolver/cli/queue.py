"""``resolver enqueue``, ``worker`` and ``schedule``: the queue's ends, and its clock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resolver.cli import incoming
from resolver.cli.incoming import (
    AffiliationColumn,
    Delimiter,
    Encoding,
    FormatOption,
    IdColumn,
    PositionColumn,
    Quoted,
    SourceColumn,
)
from resolver.cli.policy import Choices, policy_options
from resolver.cli.terminal import progress, say
from resolver.errors import FileBroken, IntakeError, ResolverError
from resolver.intake.columns import Columns
from resolver.intake.format import Format
from resolver.settings import load_settings
from resolver.workers import app as workers_app
from resolver.workers import client
from resolver.workers import schedule as workers_schedule
from resolver.workers.queues import QUEUES


@policy_options
def enqueue(
    file: Annotated[
        Path | None,
        typer.Argument(help="jsonl, csv, tsv, txt or parquet, also .gz; none or - is stdin."),
    ] = None,
    queue: Annotated[str, typer.Option(help="bulk, or interactive to overtake it.")] = "bulk",
    source: Annotated[
        str | None, typer.Option(help="Source of records that name none; else the file's name.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Records are whole: withdraw what else is stored of them."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="While the queue is full, wait instead of ending.")
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
    """Send affiliations to the workers. A bad line is told and skipped; exit code 2 then.

    Sending a file twice is harmless: a record that is known is not resolved again. Rows of one id
    that have no position get theirs by their order. What is not said of what to link is for the
    workers' settings to say.
    """
    policy = choices.as_object()
    rows = incoming.read(
        file,
        format,
        Columns(affiliation_column, id_column, source_column, position_column),
        delimiter,
        quoted,
        encoding,
        source=source,
    )
    refused = incoming.Refusals()
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
    incoming.tell_remarks(rows)
    if refused.count:
        refused.tell()
        say(f"{refused.count:,} records refused; the others were sent")
        raise typer.Exit(2)


def _stopped(error: FileBroken | IntakeError, done: int) -> ResolverError:
    return ResolverError(
        f"{error.problem}; {done:,} records were sent before",
        remedy=error.remedy or "mend the file, and send it again: what was sent is known",
    )


def worker(
    queues: Annotated[str, typer.Option(help="Queues to serve, separated by commas.")] = ",".join(
        QUEUES
    ),
    concurrency: Annotated[int, typer.Option(min=1, help="Processes; one for each GPU.")] = 1,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Resolve what is enqueued until stopped; Ctrl-C lets the chunk at hand finish."""
    raise typer.Exit(
        workers_app.run_worker(
            load_settings(),
            queues=[queue.strip() for queue in queues.split(",") if queue.strip()],
            concurrency=concurrency,
            log_level=log_level,
        )
    )


def schedule(
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Send an update to the workers whenever RESOLVER_UPDATE_SCHEDULE says, until stopped.

    A worker of the queue registry takes in the newest release then, one of refresh what is due.
    RESOLVER_FORGET_SCHEDULE says likewise when to delete what is over and old (resolver forget).
    """
    workers_schedule.run_schedule(load_settings(), log_level=log_level)
