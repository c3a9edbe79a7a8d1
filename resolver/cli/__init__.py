"""The ``resolver`` command: thin shells over the processes, one module a group."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.logging import RichHandler

import resolver
from resolver.cli import (
    demo,
    evaluation,
    explain,
    index,
    matching,
    models,
    queue,
    registry,
    sql,
    training,
    unmatched,
)
from resolver.cli.terminal import errors
from resolver.errors import ResolverError

app = typer.Typer(
    name="resolver",
    help=(
        "Link raw affiliation strings to ROR organisations, and keep the links true.\n\n"
        "Settings come from RESOLVER_* in the environment or a .env file (docs/settings.md). "
        "A service whose URL is not set runs embedded, under RESOLVER_HOME."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(registry.app, name="registry")
app.add_typer(index.app, name="index")
app.add_typer(models.app, name="models")
app.command()(matching.resolve)
app.command()(explain.explain)
app.command()(evaluation.evaluate)
app.command()(queue.enqueue)
app.command()(queue.worker)
app.command()(unmatched.unmatched)
app.command()(sql.migrate)
app.command()(sql.sql)
app.command()(training.train)
app.command()(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"affiliation-resolver {resolver.__version__}")
        raise typer.Exit


@app.callback()
def options(
    home: Annotated[
        Path | None,
        typer.Option(help="Folder of the embedded services and the index [RESOLVER_HOME]."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
    _version_wanted: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    if home is not None:
        # Processes that a command starts (workers) must see the same home.
        os.environ["RESOLVER_HOME"] = str(home)
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(name)s: %(message)s",
        handlers=[RichHandler(console=errors, show_path=False)],
    )


def main() -> None:
    """Run the command line; a `ResolverError` becomes one line on stderr and exit code 1."""
    try:
        app()
    except ResolverError as error:
        errors.print(f"[bold red]error:[/] {_escaped(error.problem)}", highlight=False)
        if error.remedy:
            errors.print(f"[bold]remedy:[/] {_escaped(error.remedy)}", highlight=False)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
