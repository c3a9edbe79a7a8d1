"""``resolver update`` and ``resolver refresh``: a release taken in, and what it makes due."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from resolver.answering import refresh as refreshing
from resolver.cli.tables import Table
from resolver.cli.terminal import console, progress, say
from resolver.database import due_answers, resolver_versions, schema
from resolver.database.locks import updating_alone
from resolver.errors import SettingsError
from resolver.release import selection, switch
from resolver.release import update as updating
from resolver.service import service
from resolver.settings import load_settings
from resolver.workers import client


def update(
    path: Annotated[
        Path | None,
        typer.Argument(help="A release: ROR's zip, or its JSON; none: the newest is fetched."),
    ] = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="Build the index anew: no answer is carried over."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Take in a release older than the one in use.")
    ] = False,
    enqueue: Annotated[
        bool, typer.Option("--enqueue", help="Let workers resolve what is due, not this process.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh/--no-refresh", help="Resolve what is due.")
    ] = True,
    keep: Annotated[int, typer.Option(min=2, help="Index versions to keep.")] = switch.KEEP,
) -> None:
    """Take in a registry release: load, index, switch, and resolve again what it bears on.

    Workers go on meanwhile, and follow. Doing it twice changes nothing; what was interrupted is
    completed by doing it again.
    """
    if enqueue and not refresh:
        raise SettingsError("--enqueue and --no-refresh exclude each other")
    settings = load_settings()
    with service.database(settings) as engine:
        schema.require_schema(engine)
        report = updating.update(
            settings,
            engine,
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
        say(Text.assemble(("override", "yellow"), f" {updating.told(problem)}"))
    if report.left and not report.enqueued:
        say(f"{report.left:,} answers are due; run: resolver refresh")


def _enqueued(due: updating.Due) -> int:
    return client.enqueue_refresh(due, settings=load_settings()).records


def _table(report: updating.UpdateReport) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("release", f"{report.load.version}, {report.load.total:,} organisations")
    if report.load.rejected:
        table.add_row("refused records", f"{report.load.rejected:,}")
    _rows(table, "changed", report.kinds)
    made = "" if report.indexed else ", there already"
    table.add_row("index version", f"{report.index.version}{made}")
    came = "" if report.switched else ", in use already"
    table.add_row("resolver version", f"{report.version.id}{came}")
    _rows(table, "selected", report.selected)
    _rows(table, "given again by it", {fate: n for fate, n in report.fates.items() if n})
    if report.enqueued is not None:
        table.add_row("sent to the queue refresh", f"{report.enqueued:,}")
    table.add_row("due still", f"{report.left:,}")
    if report.pruned:
        table.add_row("index versions dropped", ", ".join(report.pruned))
    for name, seconds in report.seconds.items():
        table.add_row(f"seconds to {name}", f"{seconds:.1f}")
    return table


def _rows(table: Table, title: str, counts: Mapping[str, int]) -> None:
    """One line a kind; the title stands before the first."""
    for number, (kind, count) in enumerate(counts.items() or (("nothing", 0),)):
        table.add_row("" if number else title, f"{count:,} {kind}" if count else str(kind))


def refresh(
    enqueue: Annotated[
        bool, typer.Option("--enqueue", help="Let workers resolve what is due, not this process.")
    ] = False,
    select: Annotated[
        bool,
        typer.Option("--select", help="Look again which answers the release bears on."),
    ] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Resolve all again that another version answered."),
    ] = False,
) -> None:
    """Resolve again what is due: after a switch, a rollback, or an override.

    After a release that is what it could change, as far as that can be told without resolving;
    --all misses nothing and takes as long as the first time.
    """
    if select and everything:
        raise SettingsError("--select and --all exclude each other")
    settings = load_settings()
    with service.database(settings) as engine:
        schema.require_schema(engine)
        version = resolver_versions.current_resolver(engine)
        if version is None or version.index_version is None:
            with service.open_service(settings, engine) as opened:
                version = opened.version
        if everything:
            with updating_alone(engine):
                resolver_versions.carry_nothing(engine, version.id)
        elif select or version.selected_at is None:
            with updating_alone(engine), progress("select: affiliations") as report:
                selection.select(settings, engine, version, again=select, progress=report)
        if enqueue:
            with progress("answers sent", due_answers.due_count(engine, version.id)) as report:
                sent = client.enqueue_refresh(
                    refreshing.messages(engine, version.id, size=settings.chunk_size),
                    settings=settings,
                    progress=report,
                )
            say(f"{sent.records:,} answers in {sent.chunks:,} messages on queue refresh")
            return
        if not due_answers.due_count(engine, version.id):
            say("nothing is due")
            return
        with (
            service.open_service(settings, engine) as opened,
            progress("refresh: affiliations") as report,
        ):
            done = refreshing.refresh(opened, batch=settings.chunk_size, progress=report)
    table = Table(show_header=False, box=None)
    table.add_row("resolved again", f"{done.resolved:,}")
    _rows(table, "became", {fate: count for fate, count in done.fates.items() if count})
    table.add_row("due still", f"{done.left:,}")
    console.print(table)
