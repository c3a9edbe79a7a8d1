"""``resolver healthy``: whether a worker lives, for a container.

It is run often, so it imports little.
"""

from __future__ import annotations

import typer

from resolver.cli.terminal import say
from resolver.errors import SettingsError
from resolver.observing import heartbeat
from resolver.settings import load_settings


def healthy() -> None:
    """Check that the worker that writes RESOLVER_HEARTBEAT_FILE is alive; exit code 1 if not.

    For a container's health check. It reads this file only and contacts no service.
    """
    path = load_settings().heartbeat_file
    if path is None:
        raise SettingsError(
            "no heartbeat file is set",
            remedy="set RESOLVER_HEARTBEAT_FILE, for the worker too",
        )
    beat = heartbeat.last(path)
    if beat is None:
        say(f"no heartbeat yet: there is no {path}")
        raise typer.Exit(1)
    if not beat.fresh:
        say(f"the last heartbeat was {beat.age:.0f} s ago: the worker hangs, or its broker is down")
        raise typer.Exit(1)
    say(f"alive, {beat.age:.0f} s ago")
