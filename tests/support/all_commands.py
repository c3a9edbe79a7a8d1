"""Every command of ``resolver``, as typer made it."""

from __future__ import annotations

import click
import typer.main

from resolver.cli import app


def commands(command: click.Command, path: str = "resolver") -> list[tuple[str, click.Command]]:
    """A command and all below it, each with how it is called."""
    found = [(path, command)]
    for name, child in getattr(command, "commands", {}).items():
        found += commands(child, f"{path} {name}")
    return found


ALL = commands(typer.main.get_command(app))
