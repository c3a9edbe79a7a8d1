"""``resolver review``: the page on which people decide about doubtful answers."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from resolver.cli.terminal import progress, say, stdout_for_programs
from resolver.curation import review
from resolver.errors import SettingsError
from resolver.observing import logs
from resolver.service.installation import Installation
from resolver.settings import load_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

app = typer.Typer(
    help="Review doubtful answers on a page in the browser. Without a command it serves the page.",
    invoke_without_command=True,
)


@app.callback()
def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every address of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    author: Annotated[
        str | None,
        typer.Option(help="Name that decisions are saved under [your user name]."),
    ] = None,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Serve the review page: the most doubtful answers of the most records, one after the other.

    Ctrl-C or SIGTERM lets what is in work finish. docs/review.md shows how to use it.
    """
    if context.invoked_subcommand is not None:
        return
    try:
        from resolver.review import serving
    except ImportError as error:
        raise SettingsError(
            f"{error.name} is not installed, which resolver review needs",
            remedy="pip install 'affiliation-resolver[http]'",
        ) from error
    settings = load_settings()
    logs.configure(settings, log_level.upper())
    say(f"the review page opens at http://{host}:{port} when its models are loaded; Ctrl-C ends it")
    raise typer.Exit(
        serving.run(settings, host=host, port=port, author=author, own_name=_user_name())
    )


@app.command()
def rebuild() -> None:
    """Make the queue anew from the stored answers. Decisions stay."""
    with _database() as engine, progress("items") as bar:
        count = review.rebuild(engine, progress=bar)
    say(f"{count:,} strings have an answer to review")


@app.command()
def labels() -> None:
    """Write people's decisions as labels, as resolver evaluate and resolver train read them."""
    with _database() as engine, stdout_for_programs() as out:
        for label in review.labels(engine):
            out.write(orjson.dumps(label.as_object(), option=orjson.OPT_APPEND_NEWLINE).decode())


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


@contextmanager
def _database() -> Iterator[Engine]:
    with Installation(load_settings()) as installation:
        yield installation.engine
