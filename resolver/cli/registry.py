"""``resolver registry``: releases of the organisation registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from resolver import service
from resolver.cli.terminal import console, progress, say
from resolver.database import connection, releases
from resolver.domain.organisation import ROR_URL, Organisation
from resolver.errors import RegistryError
from resolver.loading import load as load_release
from resolver.registry.zenodo import fetch as fetch_release
from resolver.settings import load_settings

app = typer.Typer(help="Load, fetch and show registry releases.", no_args_is_help=True)


@app.command()
def load(
    path: Annotated[Path, typer.Argument(help="ROR's zip, or its JSON, plain or gzipped.")],
    rejects: Annotated[
        Path | None, typer.Option(help="Where refused records are written (JSON lines).")
    ] = None,
) -> None:
    """Store a release. A bad record is refused and the load goes on; a bad file changes nothing."""
    settings = load_settings()
    with service.database(settings) as engine:
        connection.require_schema(engine)
        rejects = rejects or settings.home / "rejects" / f"{path.name}.jsonl"
        with progress("organisations") as report:
            loaded = load_release(engine, path, rejects=rejects, progress=report)
    say(str(loaded))


@app.command()
def fetch(
    directory: Annotated[
        Path | None, typer.Option(help="Where to keep it [RESOLVER_HOME/releases].")
    ] = None,
    base_url: Annotated[str, typer.Option(help="Zenodo or a mirror of its API.")] = (
        "https://zenodo.org"
    ),
) -> None:
    """Download the newest release from ROR's Zenodo community and check its checksum."""
    settings = load_settings()
    with progress("bytes") as report:
        path = fetch_release(
            directory or settings.home / "releases", base_url=base_url, progress=report
        )
    typer.echo(path)
    say(f"next: resolver registry load {path}")


@app.command()
def show(
    ror_id: Annotated[
        str | None, typer.Argument(help="An organisation; without it, the current release.")
    ] = None,
) -> None:
    """Show the current release, or one of its organisations."""
    with service.database(load_settings()) as engine:
        connection.require_schema(engine)
        release = releases.require_release(engine)
        if ror_id is None:
            console.print(_release_table(release))
            return
        organisation = releases.find(engine, ror_id.strip().removeprefix(ROR_URL))
        if organisation is None:
            raise RegistryError(f"{ror_id} is not in release {release.version}")
        console.print(_organisation_table(organisation))


def _release_table(release: releases.StoredRelease) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("release", release.version)
    table.add_row("released on", str(release.released_on or "unknown"))
    table.add_row("organisations", f"{release.organisation_count:,}")
    table.add_row("refused records", f"{release.rejected_count:,}")
    table.add_row("loaded at", f"{release.loaded_at:%Y-%m-%d %H:%M %Z}")
    table.add_row("sha256", release.sha256)
    return table


def _organisation_table(organisation: Organisation) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("id", ROR_URL + organisation.ror_id)
    table.add_row("name", organisation.display_name)
    table.add_row("status", organisation.status)
    table.add_row("types", ", ".join(organisation.types))
    for name in organisation.names:
        kinds = ", ".join(sorted(name.kinds))
        table.add_row("", f"{name.value}  [dim]{kinds} {name.language or ''}[/]")
    for place in organisation.places:
        parts = (place.city, place.region, place.country)
        table.add_row("place", ", ".join(part for part in parts if part))
    for relation in organisation.relations:
        table.add_row(relation.kind, f"{relation.label}  [dim]{relation.ror_id}[/]")
    for website in organisation.websites:
        table.add_row("website", website)
    return table
