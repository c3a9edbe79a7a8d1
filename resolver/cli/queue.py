"""``resolver enqueue``, ``worker`` and ``schedule``: the queue's ends, and its clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from resolver import intake
from resolver.cli.policy import Choices, policy_options
from resolver.cli.terminal import progress, say
from resolver.domain.affiliation import SourceRecord
from resolver.errors import IntakeError
from resolver.settings import load_settings
from resolver.workers import app as workers_app
from resolver.workers import client
from resolver.workers import schedule as workers_schedule
from resolver.workers.queues import QUEUES

TOLD = 10
"""Bad lines that are told one by one; the rest are counted."""


@policy_options
def enqueue(
    file: Annotated[
        Path | None,
        typer.Argument(help="jsonl, csv, tsv, txt (also .gz) or parquet; none or - is stdin."),
    ] = None,
    format: Annotated[
        intake.Format, typer.Option(help="How the file is written.")
    ] = intake.Format.AUTO,
    queue: Annotated[str, typer.Option(help="bulk, or interactive to overtake it.")] = "bulk",
    source: Annotated[
        str | None, typer.Option(help="Source of records that name none [the file's name].")
    ] = None,
    affiliation_column: Annotated[str, typer.Option(help="Its name in the file.")] = "affiliation",
    id_column: Annotated[str, typer.Option(help="Its name in the file.")] = "id",
    source_column: Annotated[str, typer.Option(help="Its name in the file.")] = "source",
    position_column: Annotated[str, typer.Option(help="Its name in the file.")] = "position",
    wait: Annotated[
        bool, typer.Option("--wait", help="While the queue is full, wait instead of ending.")
    ] = False,
    *,
    choices: Choices,
) -> None:
    """Send affiliations to the workers. A bad line is told and skipped; exit code 2 then.

    Sending a file twice is harmless: a record that is known is not resolved again. What is not
    said of what to link is for the workers' settings to say.
    """
    policy = choices.as_object()
    rows = intake.read_file(
        None if file is None or str(file) == "-" else file,
        format=format,
        source=source,
        columns=intake.Columns(
            affiliation=affiliation_column,
            id=id_column,
            source=source_column,
            position=position_column,
        ),
    )
    refused: list[IntakeError] = []
    with progress("records sent") as report:
        sent = client.enqueue(
            _good(rows, refused),
            settings=load_settings(),
            queue=queue,
            policy=policy,
            wait=wait,
            progress=report,
        )
    say(f"{sent.records:,} records in {sent.chunks:,} messages on queue {queue}")
    if refused:
        for error in refused[:TOLD]:
            say(Text.assemble(("refused", "yellow"), f" {error}"))
        say(f"{len(refused):,} records refused; the others were sent")
        raise typer.Exit(2)


def _good(
    rows: Iterator[SourceRecord | IntakeError], refused: list[IntakeError]
) -> Iterator[SourceRecord]:
    for row in rows:
        if isinstance(row, IntakeError):
            refused.append(row)
        else:
            yield row


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
    """
    workers_schedule.run_schedule(load_settings(), log_level=log_level)
