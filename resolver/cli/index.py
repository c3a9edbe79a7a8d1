"""``resolver index``: the organisation index in Qdrant."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated

import typer

from resolver.cli.tables import Table
from resolver.cli.terminal import console, progress, say
from resolver.database import resolver_versions
from resolver.database.locks import updating_alone
from resolver.errors import IndexMissing
from resolver.release import switch
from resolver.release.index import KEEP, find_index
from resolver.release.index import prune as prune_indexes
from resolver.service.installation import Installation
from resolver.settings import load_settings

app = typer.Typer(help="Build, show and switch the organisation index.", no_args_is_help=True)


@app.command()
def build(
    full: Annotated[
        bool,
        typer.Option("--full", help="Embed all names, not only changed ones, with new statistics."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Build in full even if this version is complete.")
    ] = False,
) -> None:
    """Index the loaded release, beside the version in use, then switch to it.

    If a version of this encoder is in use, only changed names are embedded, and workers follow.
    """
    started = time.monotonic()
    with Installation(load_settings()) as installation:
        built = switch.build_index(installation, full=full, again=force, progress=progress)
    manifest, version, before = built.manifest, built.version, built.before
    say(
        f"index {manifest.version}: {manifest.organisations:,} organisations, "
        f"{manifest.points:,} names, active after {time.monotonic() - started:.0f} s"
    )
    if version and before and version.id != before.id:
        say(f"resolver version {version.id} is in use; run: resolver refresh")
    elif version is None and before and before.index_version:
        say("workers keep the index of their encoder; to switch: resolver version use")


@app.command()
def restore(
    version: Annotated[
        int | None, typer.Argument(help="A resolver version; by default the one in use.")
    ] = None,
) -> None:
    """Rebuild the lost index of a resolver version as it was.

    Its answers stay valid. `resolver index build` makes an index with statistics of its own
    instead, and then every answer may be due.
    """
    with Installation(load_settings()) as installation:
        engine = installation.engine
        chosen = (
            resolver_versions.current_resolver(engine)
            if version is None
            else resolver_versions.find_resolver(engine, version)
        )
        if chosen is None:
            raise IndexMissing(
                "no resolver version is in use, so there is no index to restore",
                remedy="run: resolver index build",
            )
        with progress("names") as report:
            restored = switch.restore_version(installation, chosen, progress=report)
    say(
        f"index {restored.manifest.version} of resolver version {chosen.id} "
        + ("is rebuilt" if restored.made else "exists: nothing to do")
    )


@app.command()
def show() -> None:
    """List the index versions; the active one is marked."""
    with Installation(load_settings()) as installation:
        active, versions = installation.store.active(), installation.store.versions()
    table = Table(
        "active", "version", "release", "encoder", "organisations", "names", "from", "built"
    )
    for manifest in versions:
        mark = "●" if active and active.version == manifest.version else ""
        table.add_row(
            mark,
            manifest.version,
            manifest.release,
            manifest.encoder,
            f"{manifest.organisations:,}",
            f"{manifest.points:,}",
            manifest.derived_from or "-",
            f"{datetime.fromisoformat(manifest.built_at):%Y-%m-%d %H:%M}",
        )
    console.print(table)
    if active is None:
        say("no version is active; run: resolver index build")


@app.command()
def activate(
    version: Annotated[str, typer.Argument(help="A version, as `resolver index show` lists it.")],
) -> None:
    """Let commands search another version. For workers use `resolver version use` instead."""
    with Installation(load_settings()) as installation:
        if find_index(installation.store, version) is None:
            raise IndexMissing(
                f"there is no index version {version}", remedy="see: resolver index show"
            )
        installation.store.activate(version)
    say(f"index {version} is active")


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="Versions to keep.")] = KEEP,
) -> None:
    """Drop the oldest versions, but neither the one in use nor the one before it."""
    with Installation(load_settings()) as installation, updating_alone(installation.engine):
        dropped = prune_indexes(installation, keep=keep)
    say(f"dropped: {', '.join(dropped)}" if dropped else "nothing to drop")
