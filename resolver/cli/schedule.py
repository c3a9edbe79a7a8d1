"""``resolver schedule``: send updates to the workers at set times."""

from __future__ import annotations

from typing import Annotated

import typer

from resolver.settings import load_settings
from resolver.workers.schedule import run_schedule


def schedule(
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Send an update to the workers whenever RESOLVER_UPDATE_SCHEDULE says, until stopped.

    A worker of the queue registry takes in the newest release then, one of refresh what is due.
    RESOLVER_FORGET_SCHEDULE says likewise when to delete what is over and old (resolver forget).
    """
    run_schedule(load_settings(), log_level=log_level)
