"""``resolver worker``: resolve what is enqueued."""

from __future__ import annotations

from typing import Annotated

import typer

from resolver.settings import load_settings
from resolver.workers.app import run_worker
from resolver.workers.queues import QUEUES


def worker(
    queues: Annotated[str, typer.Option(help="Queues to serve, separated by commas.")] = ",".join(
        QUEUES
    ),
    concurrency: Annotated[int, typer.Option(min=1, help="Processes; one for each GPU.")] = 1,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Resolve enqueued affiliations until stopped; Ctrl-C lets the current chunk finish."""
    raise typer.Exit(
        run_worker(
            load_settings(),
            queues=[queue.strip() for queue in queues.split(",") if queue.strip()],
            concurrency=concurrency,
            log_level=log_level,
        )
    )
