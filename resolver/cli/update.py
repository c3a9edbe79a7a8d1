"""``resolver update``: take in a release of the registry, and resolve what it makes due."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from resolver.cli.tables import Table, add_counts
from resolver.cli.terminal import console, progress, say
from resolver.errors import SettingsError
from resolver.release.index import KEEP
from resolver.release.update import DueMessages, UpdateReport, problem_line
from resolver.release.update import update as update_installation
from resolver.service.installation import Installation
from resolver.settings import load_settings
from resolver.workers import client


def update(
    path: Annotated[
        Path | None,
        typer.Argument(help="A release: ROR's zip, or its JSON; by default the newest."),
    ] = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="Build the index in full: no answer is carried over."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Take in a release older than the one in use.")
    ] = False,
    enqueue: Annotated[
        bool, typer.Option("--enqueue", help="Let workers give due answers anew, not this process.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh/--no-refresh", help="Give due answers anew.")
    ] = True,
    keep: Annotated[int, typer.Option(min=2, help="Index versions to keep.")] = KEEP,
) -> None:
    """Take in a registry release: load, index, switch, and give anew the answers it may change.

    Workers continue meanwhile, and follow. Running it twice changes nothing; an interrupted update
    is completed by running it again.
    """
    if enqueue and not refresh:
        raise SettingsError("--enqueue and --no-refresh exclude each other")
    with Installation(load_settings()) as installation:
        report = update_installation(
            installation,
            path,
            full=full,
            force=force,
            refresh=refresh,
            enqueue=_enqueued if enqueue else None,
            keep=keep,
            progress=progress,
        )
    if report.idle:
        say(f"release {report.load.version} is taken in already: nothing to do")
    else:
        console.print(_table(report))
    for problem in report.problems:
        say(Text.assemble(("override", "yellow"), f" {problem_line(problem)}"))
    if report.left and not report.enqueued:
        say(f"{report.left:,} answers are due; run: resolver refresh")


def _enqueued(due: DueMessages) -> int:
    return client.enqueue_refresh(due, settings=load_settings()).records


def _table(report: UpdateReport) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("release", f"{report.load.version}, {report.load.total:,} organisations")
    if report.load.rejected:
        table.add_row("refused records", f"{report.load.rejected:,}")
    add_counts(table, "changed", report.kinds)
    made = "" if report.indexed else ", exists already"
    table.add_row("index version", f"{report.index.version}{made}")
    came = "" if report.switched else ", in use already"
    table.add_row("resolver version", f"{report.version.id}{came}")
    add_counts(table, "selected", report.selected)
    add_counts(table, "given anew", {kind: n for kind, n in report.replacements.items() if n})
    if report.enqueued is not None:
        table.add_row("sent to the queue refresh", f"{report.enqueued:,}")
    table.add_row("still due", f"{report.left:,}")
    if report.pruned:
        table.add_row("index versions dropped", ", ".join(report.pruned))
    for name, seconds in report.seconds.items():
        table.add_row(f"seconds to {name}", f"{seconds:.1f}")
    return table
