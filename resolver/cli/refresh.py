"""``resolver refresh``: resolve again the answers that are due."""

from __future__ import annotations

from typing import Annotated

import typer

from resolver.answering.refresh import due_messages, refresh_due
from resolver.cli.tables import Table, add_counts
from resolver.cli.terminal import console, progress, say
from resolver.database import due_answers, resolver_versions
from resolver.database.locks import updating_alone
from resolver.errors import SettingsError
from resolver.release import selection
from resolver.service.installation import Installation
from resolver.service.service import open_service
from resolver.settings import load_settings
from resolver.workers import client


def refresh(
    enqueue: Annotated[
        bool, typer.Option("--enqueue", help="Let workers give due answers anew, not this process.")
    ] = False,
    select: Annotated[
        bool,
        typer.Option("--select", help="Select again the answers that the release may change."),
    ] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Give anew all answers of other resolver versions."),
    ] = False,
) -> None:
    """Give due answers anew: after a switch, a rollback, or an override.

    After a release these are the answers that it may change, as far as that can be known without
    resolving; --all misses none but takes as long as the first time.
    """
    if select and everything:
        raise SettingsError("--select and --all exclude each other")
    settings = load_settings()
    with Installation(settings) as installation:
        engine = installation.engine
        version = resolver_versions.current_resolver(engine)
        if version is None or version.index_version is None:
            with open_service(installation) as service:
                version = service.version
        if everything:
            with updating_alone(engine):
                resolver_versions.carry_nothing(engine, version.id)
        elif select or version.selected_at is None:
            with updating_alone(engine), progress("select: affiliations") as report:
                selection.select(installation, version, again=select, progress=report)
        due = due_answers.due_count(engine, version.id)
        if enqueue:
            with progress("answers sent", due) as report:
                sent = client.enqueue_refresh(
                    due_messages(engine, version.id, size=settings.chunk_size),
                    settings=settings,
                    progress=report,
                )
            say(f"{sent.records:,} answers in {sent.chunks:,} messages on queue refresh")
            return
        if not due:
            say("nothing is due")
            return
        with open_service(installation) as service, progress("refresh: affiliations") as report:
            done = refresh_due(service, batch=settings.chunk_size, progress=report)
    table = Table(show_header=False, box=None)
    table.add_row("resolved again", f"{done.resolved:,}")
    add_counts(table, "became", {kind: count for kind, count in done.replacements.items() if count})
    table.add_row("still due", f"{done.left:,}")
    console.print(table)
