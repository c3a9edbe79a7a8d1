"""The ``resolver`` command: each command is in the module of its name.

A command reads its options, calls the core, and prints. The other modules here are what several of
them share: options (`policy_options`, `affiliation_files`) and output (`terminal`, `tables`,
`outcomes`, `evaluation_tables`, `query_files`). `resolve --out` is made of `file_to_file`,
`answer_store` and `completed_files`.
"""

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
    "resolve": "resolve.resolve",
    "explain": "explain.explain",
    "evaluate": "evaluate.evaluate",
    "enqueue": "enqueue.enqueue",
    "backfill": "backfill.app",
    "withdraw": "withdraw.withdraw",
    "forget": "forget.forget",
    "worker": "worker.worker",
    "scorer": "scorer.scorer",
    "serve": "serve.serve",
    "review": "review.app",
    "update": "update.update",
    "refresh": "refresh.refresh",
    "schedule": "schedule.schedule",
    "deadletters": "deadletters.app",
    "status": "status.status",
    "monitor": "monitor.monitor",
    "healthy": "healthy.healthy",
    "version": "version.app",
    "compare": "compare.compare",
    "override": "override.app",
    "unmatched": "unmatched.unmatched",
    "migrate": "migrate.migrate",
    "backup": "backup.backup",
    "restore": "restore.restore",
    "sql": "sql.sql",
    "train": "train.train",
    "demo": "demo.demo",
    "registry": "registry.app",
    "index": "index.app",
    "models": "models.app",
}
"""Where each command is, in the order of the help: ``module.function``, or ``module.app`` for a
group."""


class _Commands(UserDict[str, Any]):
    """The commands by name. Each is imported when it is used: to import them all takes longer than
    most of them run."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COMMANDS))

    def __getitem__(self, name: str) -> Any:
        command = self.data[name]
        if command is None:
            command = self.data[name] = _imported(name)
        return command


def _imported(name: str) -> Any:
    module, _, function = COMMANDS[name].partition(".")
    command = getattr(import_module(f"resolver.cli.{module}"), function)
    alone = typer.Typer()
    if isinstance(command, typer.Typer):
        alone.add_typer(command, name=name)
    else:
        alone.command(name)(command)
    return _literal(typer.main.get_group(alone).commands[name])


_LINE_BREAK = re.compile(r"(?<=\S)\n(?=\S)")
"""A line break within a paragraph."""


def _literal(command: Any) -> Any:
    """The command, with its help shown as it is written.

    Typer reads brackets as markup, so that "[the file's name]" would be left out; and it breaks
    lines where the source does.
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
        "Link raw affiliation strings to ROR organisations, and keep the links up to date.\n\n"
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
    # A memory-mapped file on a full disk ends the process; this prints where.
    faulthandler.enable()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except ResolverError as error:
        _fail(error.problem, error.remedy)
    except BrokenPipeError:
        # The reader of the output (head, less) has ended.
        _drop_output()
    except Exception as error:
        if disk.is_full(error):
            # The disk of stdout, perhaps: to write the rest of it would fail once more.
            _drop_output()
            _fail("the disk is full", "free space on it, or write elsewhere")
        elif isinstance(error, OSError) and error.filename is not None:
            belongs = "run as its owner, or make your user the owner with chown"
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
    """Drop what is not written to stdout yet: Python would write it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
