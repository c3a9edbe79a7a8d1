"""``resolver restore``: the database from a backup, and the index of the version in use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from resolver.cli.terminal import progress, say
from resolver.database import due_answers, dumping, resolver_versions, schema
from resolver.release.switch import restore_version
from resolver.service.installation import Installation
from resolver.settings import load_settings


def restore(
    path: Annotated[Path, typer.Argument(help="A file that resolver backup wrote.")],
    index: Annotated[
        bool, typer.Option(help="Rebuild the index of the version in use, too.")
    ] = True,
) -> None:
    """Restore a backup into an empty database, and rebuild the index of its answers.

    A backup by an older version of the code is migrated.
    """
    with Installation(load_settings()) as installation:
        started = time.monotonic()
        engine = installation.engine_of_any_schema
        with progress("database: bytes") as report:
            dumping.restore(engine, path, progress=report)
        schema.upgrade(engine)
        say(f"database restored in {time.monotonic() - started:.1f} s")
        version = resolver_versions.current_resolver(engine)
        if version is None:
            say("no resolver version is in use: there is no index to rebuild")
            return
        if index:
            started = time.monotonic()
            with progress("index: names") as report:
                restored = restore_version(installation, version, progress=report)
            seconds = time.monotonic() - started
            state = f"built in {seconds:.1f} s" if restored.made else "exists"
            say(f"index {restored.manifest.version} {state}")
        say(
            f"resolver version {version.id} is in use, "
            f"{due_answers.due_count(engine, version.id):,} answers are due"
        )
