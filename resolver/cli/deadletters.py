"""``resolver deadletters``: list messages that failed, show, send again or drop them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import orjson
import typer
from rich.text import Text

from resolver.cli.tables import Table
from resolver.cli.terminal import console, say, write_json
from resolver.errors import SettingsError
from resolver.settings import load_settings
from resolver.workers import deadletters
from resolver.workers.deadletters import DeadLetter, LetterContent

app = typer.Typer(
    help="Dead letters (messages that failed): list, show, send again, drop.", no_args_is_help=True
)

SHOWN = 50
"""Letters listed by default."""

RECORDS = 20
"""Records of a letter shown by default."""

LONGEST = 1_000
"""Most characters shown of a value of a message."""

NONE = Text("–", style="dim")
"""For what a message does not say."""

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
    say("what each says and what helps: resolver deadletters show ID")
    say("fix the cause, then: resolver deadletters retry --all; or drop those not needed")


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="Id of a dead letter, from the list.")],
    limit: Annotated[int, typer.Option(min=1, help="How many records to show at most.")] = RECORDS,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object, with the whole message.")
    ] = False,
) -> None:
    """Show the message of a dead letter, its error, and what helps. Nothing is changed."""
    content = deadletters.letter_content(load_settings(), id)
    if as_json:
        write_json(
            _object(content.letter)
            | {
                "sent_at": content.sent_at,
                "arguments": content.arguments,
                "body": content.body or None,
                "remedy": content.remedy,
            }
        )
        return
    console.print(_facts(content))
    arguments = content.arguments or {}
    records = arguments.get("records")
    if isinstance(records, list) and records:
        console.print(_records(records[:limit]))
        if len(records) > limit:
            say(f"{len(records) - limit:,} more records; see them with --limit {len(records)}")
    elif content.body:
        console.print(content.body)
    console.print(Text.assemble(("what helps: ", "bold"), content.remedy), soft_wrap=True)
    for command in ("retry", "drop"):
        console.print(Text(f"  resolver deadletters {command} {id}", style="dim"), soft_wrap=True)


def _facts(content: LetterContent) -> Table:
    letter = content.letter
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column()
    for name, value in (
        ("id", letter.id),
        ("queue", letter.queue),
        ("task", letter.task),
        ("sent", _time(content.sent_at)),
        ("failed", _time(letter.failed_at)),
        ("records", None if letter.records is None else f"{letter.records:,}"),
        *(
            (name.replace("_", " "), _shown(value))
            for name, value in (content.arguments or {}).items()
            if name != "records" and value not in (None, [], {})
        ),
        ("error", Text(letter.error, style="red")),
    ):
        table.add_row(name, value or NONE)
    return table


def _records(records: list[object]) -> Table:
    """A row for each record; one that is no record is shown as it is."""
    table = Table("source", "id", "position", "affiliation")
    for record in records:
        if isinstance(record, dict):
            table.add_row(
                *(
                    _shown(record[name]) if record.get(name) is not None else NONE
                    for name in ("source", "id", "position", "affiliation")
                )
            )
        else:
            table.add_row(NONE, NONE, NONE, _shown(record))
    return table


def _shown(value: object) -> str:
    """At most `LONGEST` characters: a message may hold anything."""
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _time(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else None


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
