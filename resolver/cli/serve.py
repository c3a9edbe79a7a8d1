"""``resolver serve``: answer affiliations over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from resolver.errors import SettingsError
from resolver.observing import logs
from resolver.settings import load_settings


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every address of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes behind the port, each with its own models.")
    ] = 1,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Answer over HTTP: affiliations in bulk (/match, /jobs), ROR's API (/v2/organizations), and
    OpenRefine (/reconcile).

    Ctrl-C or SIGTERM lets the requests in work finish. /docs describes all requests.
    """
    try:
        from resolver.doors import serving
    except ImportError as error:
        raise SettingsError(
            f"{error.name} is not installed, which resolver serve needs",
            remedy="pip install 'affiliation-resolver[http]'",
        ) from error
    settings = load_settings()
    logs.configure(settings, log_level.upper())
    raise typer.Exit(serving.run(settings, host=host, port=port, processes=processes))
