"""``resolver registry``: releases of the organisation registry, and what they changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from resolver.cli.tables import Table
from resolver.cli.terminal import console, progress, say, write_json
from resolver.database import releases
from resolver.errors import RegistryError
from resolver.registry.change import ChangeKind
from resolver.registry.organisation import Organisation
from resolver.registry.ror_id import ROR_URL, read_ror_id
from resolver.registry.zenodo import fetch as fetch_release
from resolver.release.load import load as load_release
from resolver.service.installation import Installation
from resolver.settings import load_settings

app = typer.Typer(help="Load, fetch, show and compare registry releases.", no_args_is_help=True)


@app.command()
def load(
    path: Annotated[Path, typer.Argument(help="ROR's zip, or its JSON, plain or gzipped.")],
    rejects: Annotated[
        Path | None, typer.Option(help="Where refused records are written (JSON lines).")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Load a release older than the loaded one.")
    ] = False,
) -> None:
    """Store a release. Invalid records are refused; a damaged file changes nothing.

    `resolver update` does this and all later steps.
    """
    settings = load_settings()
    with Installation(settings) as installation:
        engine = installation.engine
        rejects = rejects or settings.home / "rejects" / f"{path.name}.jsonl"
        with progress("organisations") as report:
            loaded = load_release(engine, path, rejects=rejects, force=force, progress=report)
    say(str(loaded))


@app.command()
def fetch(
    directory: Annotated[
        Path | None, typer.Option(help="Folder to store it in [RESOLVER_HOME/releases].")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Zenodo or a mirror of its API [RESOLVER_REGISTRY_URL].")
    ] = None,
) -> None:
    """Download the newest release from ROR's Zenodo community and check its checksum."""
    settings = load_settings()
    with progress("bytes") as report:
        path = fetch_release(
            directory or settings.home / "releases",
            base_url=base_url or settings.registry_url,
            progress=report,
        )
    console.print(str(path))
    say(f"next: resolver update {path}")


@app.command()
def show(
    ror_id: Annotated[
        str | None, typer.Argument(help="An organisation; without it, the releases.")
    ] = None,
) -> None:
    """Show the loaded release and earlier ones, or one of its organisations."""
    with Installation(load_settings()) as installation:
        engine = installation.engine
        release = releases.require_release(engine)
        if ror_id is None:
            console.print(_release_table(release))
            if len(loaded := releases.releases(engine)) > 1:
                console.print(_releases_table(loaded, release.id))
            return
        organisation = releases.find(engine, _read(ror_id))
        if organisation is None:
            raise RegistryError(f"{ror_id} is not in release {release.version}")
        console.print(_organisation_table(organisation))


def _read(ror_id: str) -> str:
    try:
        return read_ror_id(ror_id)
    except ValueError as error:
        raise RegistryError(
            str(error), remedy="give the id or the address of an organisation"
        ) from None


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A release that was loaded: v2.8.")],
    after: Annotated[str, typer.Argument(help="Another one: v2.9.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of a table.")
    ] = False,
) -> None:
    """Show what changed from one release to another: added, changed, merged, withdrawn."""
    with Installation(load_settings()) as installation:
        engine = installation.engine
        changes = releases.diff(
            engine,
            releases.find_release(engine, before).id,
            releases.find_release(engine, after).id,
        )
    if as_json:
        for change in changes:
            write_json(asdict(change))
        return
    counts = Counter(change.kind for change in changes)
    summary = Table(show_header=False, box=None)
    for kind in ChangeKind:
        if counts[kind]:
            summary.add_row(str(kind), f"{counts[kind]:,}")
    console.print(summary if changes else "nothing changed")
    rows = [change for change in changes if change.kind != ChangeKind.ADDED]
    if not rows:
        return
    table = Table("ROR id", "name", "what", "fields")
    for change in sorted(
        rows, key=lambda change: (list(ChangeKind).index(change.kind), change.ror_id)
    ):
        what = f"{change.kind} → {', '.join(change.successors)}" if change.successors else (
            str(change.kind)
        )  # fmt: skip
        table.add_row(change.ror_id, change.name, what, ", ".join(change.fields))
    console.print(table)


def _releases_table(loaded: Sequence[releases.StoredRelease], current: int) -> Table:
    table = Table("in use", "release", "released on", "organisations", "loaded at")
    for release in loaded:
        table.add_row(
            "●" if release.id == current else "",
            release.version,
            str(release.released_on or "unknown"),
            f"{release.organisation_count:,}",
            f"{release.loaded_at:%Y-%m-%d %H:%M %Z}",
        )
    return table


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
        table.add_row("", Text.assemble(name.value, (f"  {kinds} {name.language or ''}", "dim")))
    for place in organisation.places:
        parts = (place.city, place.region, place.country)
        table.add_row("place", ", ".join(part for part in parts if part))
    for relation in organisation.relations:
        table.add_row(relation.kind, Text.assemble(relation.label, (f"  {relation.ror_id}", "dim")))
    for website in organisation.websites:
        table.add_row("website", website)
    return table
