"""``resolver deadletters``: list messages that failed, send them again, or drop them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from resolver.cli.tables import Table
from resolver.cli.terminal import console, say, write_json
from resolver.errors import SettingsError
from resolver.settings import load_settings
from resolver.workers import deadletters
from resolver.workers.deadletters import DeadLetter

app = typer.Typer(
    help="Dead letters (messages that failed): list, send again, drop.", no_args_is_help=True
)

SHOWN = 50
"""Letters listed by default."""

Ids = Annotated[list[str] | None, typer.Argument(help="Ids of dead letters, from the list.")]


@app.command("list")
def list_letters(
    limit: Annotated[
        int, typer.Option(min=1, help="How many to show at most, oldest first.")
    ] = SHOWN,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of a table.")
    ] = False,
) -> None:
    """List the messages that failed, with queue, records and error. Nothing is changed."""
    letters, count = deadletters.letters(load_settings(), most=limit)
    if as_json:
        for letter in letters:
            write_json(_object(letter))
        return
    if not count:
        say("no dead letters: nothing has failed")
        return
    table = Table(box=None)
    for name in ("id", "queue", "task", "records", "first record", "failed (UTC)", "error"):
        table.add_column(name, justify="right" if name == "records" else "left")
    for letter in letters:
        table.add_row(*_row(letter))
    console.print(table)
    if count > len(letters):
        say(f"{count - len(letters):,} more; see them with --limit {count}")
    say("fix the cause, then: resolver deadletters retry --all; or drop those not needed")


@app.command()
def retry(
    ids: Ids = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
) -> None:
    """Send dead letters back to their queues, to be processed again."""
    wanted = _chosen(ids, every, "retry")
    say(f"{deadletters.retry(load_settings(), wanted):,} messages are back in their queues")


@app.command()
def drop(
    ids: Ids = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm that all are deleted.")] = False,
) -> None:
    """Delete dead letters for good. Their messages are never processed."""
    wanted = _chosen(ids, every, "drop")
    if wanted is None and not yes:
        _, count = deadletters.letters(load_settings(), most=0)
        raise SettingsError(
            f"all {count:,} dead letters would be deleted for good",
            remedy="look at them first (resolver deadletters list); then: drop --all --yes",
        )
    say(f"{deadletters.drop(load_settings(), wanted):,} messages dropped")


def _chosen(ids: list[str] | None, every: bool, what: str) -> list[str] | None:
    """The ids; None for all."""
    if bool(ids) == every:
        raise SettingsError(
            "name dead letters by their ids, or all of them with --all",
            remedy=f"as in: resolver deadletters {what} --all; `list` shows the ids",
        )
    return None if every else ids


def _object(letter: DeadLetter) -> dict[str, object]:
    fields = asdict(letter)
    source, identifier = letter.first or (None, None)
    del fields["first"]
    return fields | {"first_source": source, "first_id": identifier}


def _row(letter: DeadLetter) -> list[str]:
    return [
        letter.id,
        letter.queue,
        letter.task or "–",
        "–" if letter.records is None else f"{letter.records:,}",
        " ".join(letter.first) if letter.first else "–",
        letter.failed_at.strftime("%Y-%m-%d %H:%M") if letter.failed_at else "–",
        letter.error,
    ]
