"""``resolver version``: list resolver versions, switch to one, roll back."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from resolver.cli.tables import Table
from resolver.cli.terminal import console, say
from resolver.database import due_answers, resolver_versions
from resolver.database.resolver_versions import ResolverVersion
from resolver.errors import SettingsError
from resolver.release import switch
from resolver.service.installation import Installation
from resolver.settings import load_settings

app = typer.Typer(
    help="List resolver versions, switch to another, roll back.", no_args_is_help=True
)


@app.command("list")
def list_() -> None:
    """List the resolver versions, newest first; the one in use is marked."""
    with Installation(load_settings()) as installation:
        versions = resolver_versions.resolvers(installation.engine)
        indexes = {manifest.version for manifest in installation.store.versions()}
    table = Table("in use", "id", "release", "index", "encoder", "reranker", "carries", "made")
    for version in versions:
        table.add_row(
            "●" if version.is_current else "",
            str(version.id),
            version.release,
            _index(version, indexes),
            version.encoder[0],
            version.reranker[0],
            str(version.carries_id or ""),
            f"{version.created_at:%Y-%m-%d %H:%M}",
        )
    console.print(table)
    if not versions:
        say("there is none yet; the first worker or update creates one")


def _index(version: ResolverVersion, indexes: set[str]) -> Text:
    if version.index_version is None:
        return Text("not named", style="dim")
    if version.index_version in indexes:
        return Text(version.index_version)
    return Text.assemble(version.index_version, ("  gone", "dim"))


@app.command()
def show(
    number: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="A version; by default the one in use.")
    ] = None,
) -> None:
    """Show a resolver version: its release, index, models and settings."""
    with Installation(load_settings()) as installation:
        engine = installation.engine
        version = _in_use(resolver_versions.current_resolver(engine)) if number is None else (
            resolver_versions.find_resolver(engine, number)
        )  # fmt: skip
        due = due_answers.due_count(engine, version.id) if version.is_current else None
    table = Table(show_header=False, box=None)
    table.add_row("id", f"{version.id}{', in use' if version.is_current else ''}")
    table.add_row("release", version.release)
    table.add_row("index version", version.index_version or "not named")
    table.add_row("encoder", _model(version.encoder))
    table.add_row("reranker", _model(version.reranker))
    for name, value in version.settings.items():
        table.add_row(name, str(value))
    if version.carries_id is not None:
        table.add_row("carries the answers of", str(version.carries_id))
    table.add_row("made", f"{version.created_at:%Y-%m-%d %H:%M %Z}")
    if due is not None:
        table.add_row("answers due", f"{due:,}")
    console.print(table)


def _model(of: tuple[str, str]) -> Text:
    name, fingerprint = of
    return Text.assemble(name, (f"  {fingerprint}", "dim"))


def _in_use(version: ResolverVersion | None) -> ResolverVersion:
    if version is None:
        raise SettingsError(
            "no resolver version is in use", remedy="run: resolver update, or start a worker"
        )
    return version


@app.command()
def use(
    number: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="A version; by default the settings.")
    ] = None,
) -> None:
    """Switch to a resolver version, or to the models that the settings name. Workers follow."""
    with Installation(load_settings()) as installation:
        switched = switch.use_version(installation, number)
        due = due_answers.due_count(installation.engine, switched.version.id)
    _report(switched, due)


@app.command()
def rollback() -> None:
    """Switch back to the resolver version that was in use before. Workers follow."""
    with Installation(load_settings()) as installation:
        switched = switch.roll_back(installation)
        due = due_answers.due_count(installation.engine, switched.version.id)
    _report(switched, due)


def _report(switched: switch.Switched, due: int) -> None:
    version, before = switched.version, switched.before
    if before is not None and before.id == version.id:
        say(f"resolver version {version.id} is in use already")
    else:
        say(f"resolver version {version.id} is in use (release {version.release})")
    if version.selected_at is None and version.carries_id is not None:
        say("which answers it may change is not known yet; run: resolver refresh")
    elif due:
        say(f"{due:,} answers are due; run: resolver refresh")
