"""``resolver migrate``: the tables and views of the database."""

from __future__ import annotations

from typing import Annotated

import typer

from resolver.cli.terminal import say
from resolver.database import schema
from resolver.errors import SettingsError
from resolver.service.installation import Installation
from resolver.settings import load_settings


def migrate(
    revision: Annotated[
        str, typer.Argument(help="head, or a revision to go up or down to.")
    ] = "head",
    yes: Annotated[
        bool, typer.Option("--yes", help="Yes, go down, and lose what is stored there.")
    ] = False,
) -> None:
    """Bring the database's tables and views to this version of the code.

    A way down that would lose anything stored says what, table by table, and is gone with --yes
    alone.
    """
    with Installation(load_settings()) as installation:
        engine = installation.engine_of_any_schema
        before = schema.current(engine)
        if not yes and (lost := schema.losses(engine, revision)):
            raise SettingsError(
                f"going to {revision} drops what is stored: {lost}",
                remedy="keep it: resolver backup before.dump; then: "
                f"resolver migrate {revision} --yes",
            )
        lost = schema.migrate(engine, revision)
        after = schema.current(engine)
    say(f"database at {after or 'base'}" + ("" if before != after else ", nothing to do"))
    if lost:
        say(f"gone: {lost}")
