"""``resolver review``: the page on which people decide about doubtful answers."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from resolver.cli.terminal import output, progress, say
from resolver.curation import review
from resolver.curation.lacking_file import write_csv
from resolver.curation.review import LackingState
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

OutOption = Annotated[Path | None, typer.Option(help="A file [stdout].")]


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
def rebuild(
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Also read all texts again, as after an upgrade."),
    ] = False,
) -> None:
    """Make the queue from the stored answers again.

    Once after the upgrade that brings the review; later it repairs the numbers of records. People
    may work meanwhile, and it may be stopped and run again at any time.
    """
    with _database() as engine, progress("texts") as report:
        items = review.rebuild(engine, anew=anew, progress=report)
    say(f"{items:,} texts with an answer are in the queue")


@app.command()
def labels(out: OutOption = None) -> None:
    """Write what people decided as labels, which evaluate and train read.

    JSON lines: affiliation, ror_ids (all that it names), not (linked before, and not named), maybe
    (somebody was unsure), source.
    """
    count = 0
    with _database() as engine, output(out) as file:
        for label in review.labels(engine):
            file.write(orjson.dumps(label.as_object()).decode() + "\n")
            count += 1
    say(f"{count:,} labels")


@app.command()
def lacking(
    out: OutOption = None,
    state: Annotated[
        LackingState | None, typer.Option(help="Only requests that are so far.")
    ] = None,
) -> None:
    """Write the organisations that the registry lacks as CSV, for ROR's curators.

    The columns are the fields of ROR's form for new records; those in lower case are for whoever
    sends them.
    """
    with _database() as engine:
        requests = review.lacking(engine, state)
    with output(out) as file:
        count = write_csv(file, requests)
    say(f"{count:,} organisations")


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


@contextmanager
def _database() -> Iterator[Engine]:
    with Installation(load_settings()) as installation:
        yield installation.engine
