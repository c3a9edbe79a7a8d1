"""``resolver backup`` and ``resolver restore``: all that cannot be made again, as one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from resolver.cli.index import restore_version
from resolver.cli.terminal import say
from resolver.database import due_answers, dumping, resolver_versions, schema
from resolver.errors import DatabaseOutdated
from resolver.service import service
from resolver.settings import load_settings


def backup(
    path: Annotated[Path, typer.Argument(help="The file to write; an old one is replaced.")],
) -> None:
    """Write the database to a file, while everything runs.

    The index is not in it: `resolver restore` builds it again from the database.
    """
    started = time.monotonic()
    with service.database(load_settings()) as engine:
        # Of whatever schema: a backup comes before the migration.
        if schema.current(engine) is None:
            raise DatabaseOutdated("the database is empty", remedy="run: resolver migrate")
        size = dumping.dump(engine, path)
    say(f"{path}: {size / 1e6:,.1f} MB in {time.monotonic() - started:.1f} s")


def restore(
    path: Annotated[Path, typer.Argument(help="A file that resolver backup wrote.")],
    index: Annotated[bool, typer.Option(help="Build the index of the version in use, too.")] = True,
) -> None:
    """Fill an empty database from a file, and build the index that its answers were given by.

    A file of an older version of the code is migrated.
    """
    settings = load_settings()
    with service.database(settings) as engine:
        started = time.monotonic()
        dumping.restore(engine, path)
        schema.upgrade(engine)
        say(f"database restored in {time.monotonic() - started:.1f} s")
        version = resolver_versions.current_resolver(engine)
        if version is None:
            say("no resolver version is in use: there is no index to build")
            return
        if index:
            started = time.monotonic()
            restored = restore_version(settings, engine, version)
            said = f"built in {time.monotonic() - started:.1f} s" if restored.made else "there"
            say(f"index {restored.manifest.version} {said}")
        say(
            f"resolver version {version.id} is in use, "
            f"{due_answers.due_count(engine, version.id):,} answers are due"
        )
