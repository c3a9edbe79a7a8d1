"""``resolver index``: the organisation index in Qdrant."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.table import Table

from resolver import service
from resolver.cli.terminal import console, progress, say
from resolver.database import connection, releases
from resolver.indexing import build as build_index
from resolver.settings import load_settings

app = typer.Typer(help="Build and show the organisation index.", no_args_is_help=True)


@app.command()
def build(
    force: Annotated[
        bool, typer.Option("--force", help="Build again even if this version is complete.")
    ] = False,
) -> None:
    """Embed the current release's organisations into a new index version, then switch to it."""
    settings = load_settings()
    started = time.monotonic()
    with service.database(settings) as engine:
        connection.require_schema(engine)
        release = releases.require_release(engine)
        with progress("names") as report:
            manifest = build_index(
                releases.organisations(engine, release.id),
                release=release.version,
                release_sha256=release.sha256,
                encoder=service.encoder(settings),
                store=service.index_store(settings),
                progress=report,
                force=force,
            )
    say(
        f"index {manifest.version}: {manifest.organisations:,} organisations, "
        f"{manifest.points:,} names, active after {time.monotonic() - started:.0f} s"
    )


@app.command()
def show() -> None:
    """List the index versions; the active one is marked."""
    store = service.index_store(load_settings())
    active = store.active()
    table = Table("", "version", "release", "encoder", "organisations", "names", "built")
    for manifest in store.versions():
        mark = "●" if active and active.version == manifest.version else ""
        table.add_row(
            mark,
            manifest.version,
            manifest.release,
            manifest.encoder,
            f"{manifest.organisations:,}",
            f"{manifest.points:,}",
            manifest.built_at,
        )
    console.print(table)
    if active is None:
        say("no version is active; run: resolver index build")
