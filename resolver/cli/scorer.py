"""``resolver scorer``: compute the reranker for the workers of this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from resolver.errors import SettingsError
from resolver.observing import logs
from resolver.settings import load_settings


def scorer(
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Compute the reranker on one GPU for all workers of this machine, until stopped.

    It listens on the Unix socket RESOLVER_SCORER, or scorer.sock in RESOLVER_HOME, and loads
    RESOLVER_RERANKER on RESOLVER_DEVICE. Workers use it with RESOLVER_SCORER set to that path.
    Ctrl-C or SIGTERM lets it finish the requests that it took.
    """
    try:
        from resolver.scorer import serving
    except ImportError as error:
        raise SettingsError(
            f"{error.name} is not installed, which resolver scorer needs",
            remedy="pip install 'affiliation-resolver[http]'",
        ) from error
    settings = load_settings()
    logs.configure(settings, log_level.upper())
    raise typer.Exit(serving.run(settings))
