"""``resolver schedule``: send updates to the workers at set times."""

from __future__ import annotations

from typing import Annotated

import typer

from resolver.settings import load_settings
from resolver.workers.schedule import run_schedule


def schedule(
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Send updates to the workers at the times of RESOLVER_UPDATE_SCHEDULE, until stopped.

    A worker of the queue registry takes in the newest release, and one of the queue refresh gives
    due answers anew. RESOLVER_FORGET_SCHEDULE sets when old data is deleted (resolver forget),
    RESOLVER_REVIEW_SCHEDULE when the queue of the review is repaired (resolver review rebuild).
    """
    run_schedule(load_settings(), log_level=log_level)
