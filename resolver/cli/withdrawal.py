"""``resolver withdraw``: what a source has taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import click
import typer

from resolver import service
from resolver.cli.terminal import say
from resolver.database import connection, links
from resolver.errors import SettingsError
from resolver.settings import load_settings


def withdraw(
    source: Annotated[str, typer.Option(help="Who sent the records: crossref.")],
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="A record of it: a DOI; may be repeated.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A text file of ids, one a line; - is standard input.")
    ] = None,
    position: Annotated[
        int | None, typer.Option(min=0, help="One affiliation of each record [all of them].")
    ] = None,
) -> None:
    """Take records out that their source has withdrawn. Their history stays."""
    if not ids and file is None:
        raise SettingsError("no record was named", remedy="use --id or --file")
    keys = [(source, number, position) for number in (*(ids or ()), *_lines(file))]
    with service.database(load_settings()) as engine:
        connection.require_schema(engine)
        withdrawn = links.withdraw(engine, keys)
    say(f"{withdrawn:,} records withdrawn")


def _lines(file: Path | None) -> Iterator[str]:
    if file is None:
        return
    try:
        with click.open_file(str(file), encoding="utf-8") as lines:
            yield from (line.strip() for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from error
