"""``resolver backup``: all that cannot be made again, as one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from resolver.cli.terminal import progress, say
from resolver.database import dumping, revision
from resolver.errors import DatabaseOutdated
from resolver.service.installation import Installation
from resolver.settings import load_settings


def backup(
    path: Annotated[Path, typer.Argument(help="The file to write; an existing one is replaced.")],
) -> None:
    """Write the database to a file, while everything runs.

    The index is not in it: `resolver restore` rebuilds it from the database.
    """
    started = time.monotonic()
    with Installation(load_settings()) as installation:
        # A backup comes before the migration.
        engine = installation.engine_of_any_schema
        if revision.current(engine) is None:
            raise DatabaseOutdated("the database is empty", remedy="run: resolver migrate")
        with progress("bytes") as report:
            size = dumping.dump(engine, path, progress=report)
            report(size)
    say(f"{path}: {size / 1e6:,.1f} MB in {time.monotonic() - started:.1f} s")
