"""The ``resolver`` command: thin shells over the processes, one module a group."""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import sys
from collections import UserDict
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main
from rich.logging import RichHandler
from rich.markup import escape
from rich.text import Text
from typer.core import TyperGroup

import resolver
from resolver import disk
from resolver.cli import terminal
from resolver.cli.terminal import console, errors, say
from resolver.errors import ResolverError

COMMANDS = {
    "resolve": "matching.resolve",
    "explain": "explain.explain",
    "evaluate": "evaluation.evaluate",
    "enqueue": "queue.enqueue",
    "withdraw": "withdrawal.withdraw",
    "forget": "forgetting.forget",
    "worker": "queue.worker",
    "update": "update.update",
    "refresh": "update.refresh",
    "schedule": "queue.schedule",
    "deadletters": "deadletters.app",
    "status": "status.status",
    "monitor": "status.monitor",
    "healthy": "healthy.healthy",
    "version": "version.app",
    "compare": "compare.compare",
    "override": "override.app",
    "unmatched": "unmatched.unmatched",
    "migrate": "sql.migrate",
    "backup": "backup.backup",
    "restore": "backup.restore",
    "sql": "sql.sql",
    "train": "training.train",
    "demo": "demo.demo",
    "registry": "registry.app",
    "index": "index.app",
    "models": "models.app",
}
"""Where each command is, in the order of the help: ``module.function``, or ``module.app`` for a
group."""


class _Commands(UserDict[str, Any]):
    """The commands by name, each imported when it is asked for: to import them all takes longer
    than most of them run."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COMMANDS))

    def __getitem__(self, name: str) -> Any:
        command = self.data[name]
        if command is None:
            command = self.data[name] = _imported(name)
        return command


def _imported(name: str) -> Any:
    module, _, what = COMMANDS[name].partition(".")
    found = getattr(import_module(f"resolver.cli.{module}"), what)
    alone = typer.Typer()
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    return _literal(typer.main.get_group(alone).commands[name])


_LINE_BREAK = re.compile(r"(?<=\S)\n(?=\S)")
"""One within a paragraph."""


def _literal(command: Any) -> Any:
    """The command, with its help as it is written.

    Typer reads brackets as markup, and leaves out "[the file's name]" as a style that there is none
    of; and it breaks lines where the source does.
    """
    for described in (command, *command.params):
        for what in ("help", "short_help", "epilog"):
            if text := getattr(described, what, None):
                setattr(described, what, escape(_LINE_BREAK.sub(" ", cleandoc(text))))
    for child in getattr(command, "commands", {}).values():
        _literal(child)
    return command


class _Group(TyperGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        _literal(self)
        self.commands = _Commands()


app = typer.Typer(
    name="resolver",
    cls=_Group,
    help=(
        "Link raw affiliation strings to ROR organisations, and keep the links true.\n\n"
        "Settings come from RESOLVER_* in the environment or a .env file (docs/settings.md). "
        "A service whose URL is not set runs embedded, under RESOLVER_HOME."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"affiliation-resolver {resolver.__version__}")
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
        format="%(name)s: %(message)s" if errors.watched else "%(levelname)s %(name)s: %(message)s",
        handlers=[RichHandler(console=errors, show_path=False)] if errors.watched else None,
    )


def main() -> None:
    """Run the command line; a `ResolverError` becomes one line on stderr and exit code 1."""
    terminal.prepare()
    # A file that is mapped and finds the disk full ends the process; at least it says where.
    faulthandler.enable()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except ResolverError as error:
        _fail(error.problem, error.remedy)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; nothing is left to say.
        _drop_output()
    except Exception as error:
        if disk.is_full(error):
            # Of stdout among others: what is left of it would fail once more.
            _drop_output()
            _fail("the disk is full", "free space on it, or write elsewhere")
        elif isinstance(error, OSError) and error.filename is not None:
            belongs = "run as the user that it belongs to, or give it to yours: chown"
            _fail(
                f"{_path(error.filename)}: {error.strerror}",
                belongs if isinstance(error, PermissionError) else None,
            )
        else:
            raise
    sys.exit(1)


def _fail(problem: str, remedy: str | None) -> None:
    say(Text.assemble(("error:", "bold red"), f" {problem}"))
    if remedy:
        say(Text.assemble(("remedy:", "bold"), f" {remedy}"))


def _path(name: str | bytes | int) -> str:
    return os.fsdecode(name) if isinstance(name, (str, bytes)) else f"file {name}"


def _drop_output() -> None:
    """Let what is still to be written to stdout go nowhere: Python writes it out at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
