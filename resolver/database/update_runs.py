"""How updates ended: a failed one must be seen by whoever looks, whenever that is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, text

from resolver.database.connection import transaction
from resolver.errors import DatabaseProblem, ResolverError

log = logging.getLogger(__name__)

MAX_PROBLEM = 1_000
"""Most characters of a problem that are kept."""


@dataclass(frozen=True, slots=True)
class UpdateRun:
    """An update; times are UTC.

    `scheduled`: a worker did it, as the schedule asked. `ended_at` is None while it runs, and for
    ever where its process was killed. `step` is the one that it is in, or ended in. `problem` is
    None where it did not fail.
    """

    scheduled: bool
    began_at: datetime
    ended_at: datetime | None
    step: str | None
    problem: str | None
    remedy: str | None


@contextmanager
def recorded(engine: Engine, *, scheduled: bool) -> Iterator[Callable[[str], None]]:
    """Record the update that the block does: when it began and ended, and why it failed.

    Yields what is called with the name of each step when it begins. Whatever the block raises is
    raised again, also where the database does not take the record of it: the update then looks as
    if its process had been killed.
    """
    with transaction(engine) as connection:
        run = connection.execute(
            text("INSERT INTO update_run (scheduled) VALUES (:scheduled) RETURNING id"),
            {"scheduled": scheduled},
        ).scalar_one()

    def at_step(name: str) -> None:
        with transaction(engine) as connection:
            connection.execute(
                text("UPDATE update_run SET step = :step WHERE id = :run"),
                {"step": name, "run": run},
            )

    try:
        yield at_step
    except BaseException as error:
        try:
            _end(engine, run, *_told(error))
        except DatabaseProblem as away:
            log.warning("how the update failed is not recorded: %s", away)
        raise
    _end(engine, run, None, None)


def last(engine: Engine) -> UpdateRun | None:
    """The update that began last; None before the first.

    Raises:
        DatabaseUnavailable: no answer.
    """
    with transaction(engine) as connection:
        row = connection.execute(
            text(
                "SELECT scheduled, began_at, ended_at, step, problem, remedy"
                " FROM update_run ORDER BY id DESC LIMIT 1"
            )
        ).one_or_none()
    if row is None:
        return None
    return UpdateRun(
        row.scheduled,
        row.began_at.astimezone(UTC),
        row.ended_at and row.ended_at.astimezone(UTC),
        row.step,
        row.problem,
        row.remedy,
    )


def _told(error: BaseException) -> tuple[str, str | None]:
    """Problem and remedy."""
    match error:
        case ResolverError():
            return error.problem, error.remedy
        case Exception():
            return f"{type(error).__name__}: {error}", None
        case _:
            return "it was stopped", None


def _end(engine: Engine, run: int, problem: str | None, remedy: str | None) -> None:
    with transaction(engine) as connection:
        connection.execute(
            text(
                "UPDATE update_run SET ended_at = clock_timestamp(), problem = :problem,"
                " remedy = :remedy WHERE id = :run"
            ),
            {
                # No NUL: Postgres stores none.
                "problem": problem and problem[:MAX_PROBLEM].replace("\0", "\ufffd"),
                "remedy": remedy,
                "run": run,
            },
        )
