"""``resolver worker``: resolve what is enqueued."""

from __future__ import annotations

from typing import Annotated

import typer

from resolver.hardware import cores
from resolver.settings import load_settings
from resolver.workers.app import run_worker
from resolver.workers.queues import QUEUES


def worker(
    queues: Annotated[str, typer.Option(help="Queues to serve, separated by commas.")] = ",".join(
        QUEUES
    ),
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Processes [1; with --scorer one for each core]."),
    ] = None,
    scorer: Annotated[
        bool,
        typer.Option(
            "--scorer", help="Start a scorer, which computes the reranker for all processes."
        ),
    ] = False,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Resolve enqueued affiliations until stopped; Ctrl-C lets the current chunk finish."""
    raise typer.Exit(
        run_worker(
            load_settings(),
            queues=[queue.strip() for queue in queues.split(",") if queue.strip()],
            concurrency=concurrency or (cores() if scorer else 1),
            log_level=log_level,
            with_scorer=scorer,
        )
    )
