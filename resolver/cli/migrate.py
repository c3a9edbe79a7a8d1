"""``resolver migrate``: the tables and views of the database."""

from __future__ import annotations

from typing import Annotated

import typer

from resolver.cli.terminal import say
from resolver.database import revision as revisions
from resolver.database import schema
from resolver.errors import SettingsError
from resolver.service.installation import Installation
from resolver.settings import load_settings


def migrate(
    revision: Annotated[
        str, typer.Argument(help="head, or the revision to upgrade or downgrade to.")
    ] = "head",
    yes: Annotated[
        bool, typer.Option("--yes", help="Downgrade even if stored data is deleted.")
    ] = False,
) -> None:
    """Migrate the database's tables and views to this version of the code.

    A downgrade that would delete stored data lists it, table by table, and needs --yes.
    """
    with Installation(load_settings()) as installation:
        engine = installation.engine_of_any_schema
        before = revisions.current(engine)
        if not yes and (lost := schema.losses(engine, revision)):
            raise SettingsError(
                f"going to {revision} deletes stored data: {lost}",
                remedy="keep it: resolver backup before.dump; then: "
                f"resolver migrate {revision} --yes",
            )
        lost = schema.migrate(engine, revision)
        after = revisions.current(engine)
    say(f"database at {after or 'base'}" + ("" if before != after else ", nothing to do"))
    if lost:
        say(f"deleted: {lost}")
